"""What a study and its trials say of themselves in MLflow's UI: descriptions in Markdown, tags, and the plan for machines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray_study import plan_judges
from ray_study.cards import escaped, inline
from ray_study.config import AXES, Study
from ray_study.grid import PlannedRun, planned
from ray_study.plan import Plan
from ray_study.plan_power import for_machines
from ray_study.provenance import package_versions
from ray_study.rows import BenchmarkCard
from ray_study.store import Result

MOST_LISTED = 12
"""Failures, or owed cells, that a description lists; the report has them all."""
UNTESTED = "untested"
"""In place of a verdict where a trajectory could not be looked at for a dip: too few steps or items, or no attempts."""

_ROWS = re.compile(r"^## \d+ random rows$", re.MULTILINE)
_PICTURE = re.compile(r"^!\[.*$\n?", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a study stands when its report is written."""

    answer: Sequence[str]
    """The report's sentences."""
    final: Sequence[Mapping[str, Any]]
    """The report's final table: a row for each run and benchmark."""
    failed: Sequence[str]
    owed: Sequence[str]

    @property
    def status(self) -> str:
        """The state of the study in words."""
        failed = f"{len(self.failed)} failed" if self.failed else ""
        return ", ".join(part for part in (failed, f"{len(self.owed)} owed" if self.owed else "") if part) or "complete"


def read_outcome(report: Path, failed: Sequence[str], owed: Sequence[str]) -> Outcome:
    """The outcome by a written report, in its directory."""
    found = json.loads((report / "report.json").read_text(encoding="utf-8"))
    return Outcome(answer=found["answer"], final=found["final"], failed=failed, owed=owed)


def axes_of(study: Study, run: PlannedRun) -> dict[str, str]:
    """What the sweep varies of a run's training settings; a pretraining stands before the grid and has none."""
    if run.stage == "pretrain":
        return {}
    swept = dict.fromkeys([*study.sweep.training_axes, *(key for point in study.sweep.points for key in point)])
    return {key: _word(getattr(run.training, key)) for key in swept if key not in AXES}


def study_tags(study: Study, commit: str, status: str) -> dict[str, str]:
    """The tags of the parent run: which study, made by what, and how it stands."""
    versions = {f"version/{name}": version for name, version in package_versions().items()}
    source = {"mlflow.source.name": "ray-study", "mlflow.source.type": "LOCAL", "mlflow.source.git.commit": commit}
    return {"study": study.name, "ray_study.git_commit": commit, "ray_study.status": status, **source, **versions}


def group_tags(study: Study) -> dict[str, str]:
    """The group of each benchmark."""
    return {f"group/{name}": benchmark.group for name, benchmark in study.evaluation.benchmarks.items()}


def verdict_tags(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The verdict on each trajectory of one run, from its rows of the final table."""
    return {f"verdict/{row['benchmark']}": row["shape"] or UNTESTED for row in rows}


def plan_json(study: Study, plan: Plan) -> str:
    """The plan for machines: what `plan` says, every run with its settings, what each benchmark could show and judges would cost."""
    runs = [
        {
            "id": run.id,
            "name": run.name,
            "stage": run.stage,
            "axes": {"model": run.model, "dataset": run.dataset, "seed": run.seed, **axes_of(study, run)},
            "training": run.training.model_dump(mode="json"),
        }
        for run in planned(study)
    ]
    checkpoints = study.checkpoints.model_dump(mode="json")
    groups = {name: benchmark.group for name, benchmark in study.evaluation.benchmarks.items()}
    found = {"study": study.name, "lines": plan.lines, "faults": plan.faults, "runs": runs, "power": for_machines(plan.dips)}
    found["judges"] = plan_judges.for_machines(plan.judges)
    return json.dumps({**found, "checkpoints": checkpoints, "benchmarks": groups}, indent=1, ensure_ascii=False)


def study_note(study: Study, cards: Sequence[BenchmarkCard], outcome: Outcome | None = None) -> str:
    """The description of the parent run: question, answer, what is missing, and where everything is."""
    return "\n".join([*_question(study, outcome), *_where(study), *_benchmarks(cards)])


def _question(study: Study, outcome: Outcome | None) -> Iterator[str]:
    yield f"# {escaped(study.question)}\n"
    if outcome is None:
        yield "The study is at work, or was interrupted: the answer comes with its report.\n"
        return
    yield "## Answer\n"
    yield from (f"- {escaped(sentence)}" for sentence in outcome.answer)
    for title, found in (("Failed", outcome.failed), ("Owed", outcome.owed)):
        if found:
            yield f"\n## {title}: {len(found)}\n"
            yield from (f"- {escaped(each[:300])}" for each in found[:MOST_LISTED])
            if len(found) > MOST_LISTED:
                yield f"- and {len(found) - MOST_LISTED} more, in the report"
    yield ""


def _where(study: Study) -> Iterator[str]:
    yield "## Where things are\n"
    yield "- **The report**: Artifacts, `report/index.html`; its tables beside it in `report/data`."
    yield "- **The plan** and the sweep file: Artifacts, `plan.txt`, `plan.json`, `sweep.yaml`; cards of data sets in `datasets`."
    yield f"- **Trials**: the {len(planned(study))} child runs. What the sweep varies are their parameters `model`, `dataset`, `seed`"
    yield "  and the swept settings by name; what is the same in all is `settings/…`. Scores by step are their metrics `eval/…`."
    yield "- **Is there a dip?** Child runs have a tag `verdict/BENCHMARK`: `dip_and_recovery`, `dip_only`, `monotone`, `flat`,"
    yield f"  `underpowered` or `{UNTESTED}`. Filter by it: tags.`verdict/BENCHMARK` = 'dip_and_recovery'."
    yield "- **Which checkpoint is best?** Models (of the experiment), sorted by a metric of the table below."
    yield "- **What it took of machines**: System metrics, here by node and in each trial of its workers.\n"


def _benchmarks(cards: Sequence[BenchmarkCard]) -> Iterator[str]:
    if cards:
        yield "## Benchmarks\n"
        yield "| benchmark | group | sort models by | items |\n|---|---|---|---|"
        for card in cards:
            yield f"| {card.benchmark} | {card.group} | `eval/{card.benchmark}/{card.metric}` | {card.num_items} |"


def trial_note(study: Study, run: PlannedRun, dataset: Result | None, rows: Sequence[Mapping[str, Any]] = ()) -> str:
    """The description of a child run: what it is, what became of each benchmark, and the card of what it learns from."""
    return "\n".join([*_trial(study, run), *_scores(rows), *_card(run, dataset)])


def _trial(study: Study, run: PlannedRun) -> Iterator[str]:
    what = "is pretrained on" if run.stage == "pretrain" else "learns from"
    swept = "".join(f", {key} {inline(value)}" for key, value in axes_of(study, run).items())
    yield f"Model {inline(run.model)} {what} {inline(run.dataset)}: seed {run.seed}{swept}.\n"


def _scores(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield "## First and last step\n"
    yield "| benchmark | group | metric | first | last | verdict | deepest fall, in points |\n|---|---|---|---|---|---|---|"
    for row in rows:
        first, last = _at(row["first_value"], row["first_step"]), _at(row["last_value"], row["last_step"])
        yield (f"| {row['benchmark']} | {row['group']} | {row['metric']} | {first} | {last} | {row['shape'] or UNTESTED} | {_falls(row)} |")
    yield "\nDepths are measured on items that did not choose the step. The report says how sure each is.\n"


def _at(value: float | None, step: int | None) -> str:
    return "missing" if value is None or step is None else f"{value:.3f} at step {step}"


def _fall(row: Mapping[str, Any]) -> str:
    if row["shape"] not in ("dip_and_recovery", "dip_only"):
        seen = row["detectable"]
        return "" if seen is None else f"none clear; {100 * seen:.1f} would have been seen"
    recovered = row["share_recovered"]
    regained = "" if recovered is None else f", {100 * recovered:.0f} % regained"
    return f"{100 * row['dip_depth']:.1f} [{100 * row['dip_low']:.1f}, {100 * row['dip_high']:.1f}] at step {row['bottom_step']}{regained}"


def _falls(row: Mapping[str, Any]) -> str:
    """The fall below step 0, and that from a later high where one is established: of that the verdict says nothing."""
    if not row.get("peak_established"):
        return _fall(row)
    return f"{_fall(row)}; {100 * row['peak_fall']:.1f} from the high at step {row['peak_step']} to step {row['peak_low_step']}"


def _card(run: PlannedRun, dataset: Result | None) -> Iterator[str]:
    if dataset is None:
        yield f"The data set {inline(run.dataset)} is not made."
        return
    path = Path(dataset.path) / "card.md"
    if path.is_file():
        # Without its rows, which may be long and are anybody's text, and the picture, which lies elsewhere.
        text = _PICTURE.sub("", _ROWS.split(path.read_text(errors="replace"))[0])
        yield re.sub(r"^#", "##", text, flags=re.MULTILINE).rstrip()
    yield f"\nThe whole card, with rows: the study's run, Artifacts, `datasets/{run.dataset}/card.md`."


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
