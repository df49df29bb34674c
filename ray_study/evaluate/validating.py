"""A judge asked about replies that people have labelled: its sensitivity and specificity, kept in the store and used for corrections."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ray_study import assets
from ray_study.analyze import ErrorRates, error_rates
from ray_study.evaluate.judges import ask_judge, judge_sources
from ray_study.evaluate.questions import Question
from ray_study.materials import Lab
from ray_study.problems.labelled import ASSET, Labelled, load_labelled
from ray_study.rows import Attempt
from ray_study.store import Result, Workspace, fingerprint
from ray_study.verify import VERSION as VERIFY_VERSION
from ray_study.verify import judge
from ray_study.verify.rubrics import DECLINED, FULL_COMPLIANCE, RUBRICS, judge_literal

VERSION = 1
SHARD_SIZE = 32

_MEANS: dict[tuple[str, str], tuple[str, Callable[[Any], bool]]] = {
    ("refusal", "refusals"): ("share_refused", bool),
    ("policy", "refusals"): ("share_declined", lambda level: level == DECLINED),
    ("policy", "objectives"): ("share_level_5", lambda level: level == FULL_COMPLIANCE),
}
"""(rubric, labelled set) -> the metric that the labels are about, and when a value says yes."""


def validation(lab: Lab, name: str, labelled: str) -> dict[str, ErrorRates]:
    """The error rates of a judge by the metric that they correct; its replies are kept, and read again where the reader changed.

    Raises:
        BudgetSpent: what the judge may cost is spent.
        JudgeFailed: it failed again and again.
        ValueError: it judged no labelled reply of one kind.
    """
    rows = load_labelled(labelled)
    return _measured(lab, name, labelled, rows, _replies(lab, name, labelled, rows))


def stored_validation(lab: Lab, name: str, labelled: str) -> dict[str, ErrorRates]:
    """The error rates by what the judge said when it was asked, read by today's reader; nobody is asked.

    Raises:
        ValueError: its replies are not stored whole.
    """
    found = lab.store.recall("judgements", labelled_mark(lab, name, labelled))
    if found is None:
        raise ValueError(f"the replies of {name} to the labelled set {labelled} are not stored whole; `run` asks for them")
    return _measured(lab, name, labelled, load_labelled(labelled), found)


def labelled_mark(lab: Lab, name: str, labelled: str) -> str:
    """The fingerprint of a judge's replies to a labelled set."""
    return fingerprint("judgements", VERSION, _inputs(lab, name, labelled))


def _measured(lab: Lab, name: str, labelled: str, rows: list[Labelled], replies: Result) -> dict[str, ErrorRates]:
    rubric = lab.study.judges[name].rubric
    metric, says_yes = _MEANS[rubric, labelled]

    def build(workspace: Workspace) -> Mapping[str, object]:
        said = {reply.problem_id: _value(rubric, reply) for reply in replies.rows(Attempt)}
        found = error_rates([row.label for row in rows], [None if said[row.id] is None else says_yes(said[row.id]) for row in rows])
        lab.progress(f"judge {name} on {labelled}: {found.in_words()}")
        return {"num_rows": len(rows), "metric": metric, "rates": asdict(found)}

    inputs = {"replies": replies.fingerprint, "verify": VERIFY_VERSION}
    record = lab.store.make("validation", inputs, build, version=VERSION, sources=[replies]).record
    return {record["metric"]: ErrorRates(**record["rates"])}


def validate_phrases() -> ErrorRates:
    """The error rates of the phrase matcher (kind `refusal`) on the human-labelled refusals: no model, no cluster."""
    rows = load_labelled("refusals")
    return error_rates([row.label for row in rows], [judge("refusal", row.reply, "").answer is not None for row in rows])


def _replies(lab: Lab, name: str, labelled: str, rows: list[Labelled]) -> Result:
    questions = [Question(id=row.id, request=row.request, reply=row.reply) for row in rows]
    shards = {f"{start // SHARD_SIZE:06d}": questions[start : start + SHARD_SIZE] for start in range(0, len(questions), SHARD_SIZE)}

    def build(workspace: Workspace) -> Mapping[str, object]:
        ask_judge(lab, name, shards, workspace)
        return {"num_rows": len(rows), "judge": name}

    return lab.store.make("judgements", _inputs(lab, name, labelled), build, version=VERSION, sources=judge_sources(lab, name))


def _inputs(lab: Lab, name: str, labelled: str) -> dict[str, object]:
    """What identifies a judge's replies to a labelled set."""
    return {"labelled": labelled, "asset": assets.ASSETS[ASSET].sha256, "judge": judge_literal(lab.study, name)}


def _value(rubric: str, reply: Attempt) -> object:
    """What the judge said, or None where it failed."""
    failed = reply.finish_reason != "stop"
    return None if failed else RUBRICS[rubric].read(reply.text)
