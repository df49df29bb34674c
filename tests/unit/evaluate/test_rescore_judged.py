"""Cells that judges decided are judged again from what the judges said, without asking them: the same scores, or every flip named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import ChatServer, Said, completion, serving
from sitting import Bench, Open

from ray_study import tables
from ray_study.capped import at_caps, not_comparable
from ray_study.owed import answers_mark, verdicts_mark
from ray_study.rescore import rescore
from ray_study.results import score_cell
from ray_study.rows import Attempt, GradedAttempt, Score
from ray_study.verify import VERSION
from ray_study.verify.rubrics import judge_literal

EXAM = {"problems": "held_out", "group": "safety", "items": 8, "judge": "grader"}


def settings(server: ChatServer, rubric: str = "policy", **more: object) -> dict[str, Any]:
    endpoint = {"url": server.url, "model": "judge-1", "timeout_seconds": 5, "requests_at_once": 2}
    judge = {"endpoint": endpoint, "rubric": rubric, **more}
    return {"judges": {"grader": judge}, "evaluation/benchmarks": {"harm": EXAM, "sums": {**EXAM, "group": "in_domain", "judge": []}}}


def judged(open_bench: Open, said: str = "Level: 4", **more: Any) -> Bench:
    """A bench whose step 8 is scored; the judge's server is gone."""
    with serving(lambda body, before: Said(body=completion(said if before else "Lovely weather."))) as server:
        bench = open_bench(settings(server, **more))
        assert all(cell.verdicts is not None for cell in bench.score(8).values())
    return bench


def mark(bench: Bench) -> str:
    return answers_mark(bench.lab.study, "harm", bench.checkpoints[8].fingerprint, "tiny")


def verdicts_of(bench: Bench, version: int = VERSION) -> Path:
    return Path(bench.lab.store.path(f"verdicts-{verdicts_mark(bench.lab.study, 'harm', mark(bench), version)}"))


def judgements_of(bench: Bench, of: str) -> list[Path]:
    """The directories of a judge's replies whose inputs name that."""
    found = Path(bench.lab.store.root).glob("judgements-*")
    return [path for path in found if of in json.loads((path / "record.json").read_text())["inputs"]]


def contents(bench: Bench) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(bench.lab.store.root).rglob("*") if path.is_file() and "claims" not in str(path)}


def rewrite_first(directory: Path, row_type: type, **changes: object) -> Any:
    """The first stored row of a result, which has other values from now on."""
    shard = sorted((directory / "rows").glob("*.parquet"))[0]
    rows = tables.read(shard, row_type)
    tables.write([replace(rows[0], **changes), *rows[1:]], shard, row_type)
    return rows[0]


def as_of_version(bench: Bench, version: int) -> Path:
    """Makes the stored verdicts into those of an older version of the verifier."""
    directory, older = verdicts_of(bench), verdicts_of(bench, version)
    record: dict[str, Any] = json.loads((directory / "record.json").read_text())
    record |= {"fingerprint": older.name.removeprefix("verdicts-"), "inputs": {**record["inputs"], "verify": version}}
    (directory / "record.json").write_text(json.dumps(record))
    directory.rename(older)
    return older


def scores(bench: Bench) -> Mapping[str, Score]:
    exam = next(each for each in bench.exams if each.name == "harm")
    return {each.metric: each for each in score_cell(bench.score(8)["harm"], exam)[0]}


def test_e11_judged_scores_are_exactly_the_same_when_nothing_changed_and_nothing_is_written(open_bench: Open) -> None:
    bench = judged(open_bench)
    before = contents(bench)
    found = rescore(bench.lab, ["harm", "sums"])
    assert (found.num_attempts, found.flips, found.judged_anew, found.left_alone) == (8 + 8, [], 0, [])
    assert contents(bench) == before


def test_another_reading_of_a_stored_reply_flips_its_verdict_and_nobody_is_asked(open_bench: Open) -> None:
    bench = judged(open_bench)
    (replies,) = judgements_of(bench, "attempts")
    # A reader that changed reads other things out of what is stored; here what is stored changed under the reader.
    reply = rewrite_first(replies, Attempt, text="Level: 5")
    before = contents(bench)
    (flip,) = rescore(bench.lab, ["harm"]).contradictions
    was = "error" if reply.text == "Lovely weather." else "correct"
    assert (f"{flip.item}/{flip.sample}/answer", flip.change, flip.step) == (reply.problem_id, f"{was} -> wrong", 8)
    assert contents(bench) == before


def test_verdicts_of_an_older_reader_stay_and_todays_are_made_of_the_stored_replies_with_the_judges_error_rates(open_bench: Open) -> None:
    bench = judged(open_bench, "Answer: yes", rubric="refusal", validate_on=["refusals"])
    whole = scores(bench)
    assert "share_refused_corrected" in whole
    older = as_of_version(bench, VERSION - 1)
    was = rewrite_first(older, GradedAttempt, verdict="timeout")
    kept = {path: path.read_bytes() for path in older.rglob("*") if path.is_file()}
    found = rescore(bench.lab, ["harm"])
    assert (found.judged_anew, found.contradictions) == (1, [])
    assert [(flip.item, flip.change, flip.version) for flip in found.flips] == [(was.problem_id, f"timeout -> {was.verdict}", VERSION - 1)]
    assert {path: path.read_bytes() for path in older.rglob("*") if path.is_file()} == kept
    assert scores(bench) == whole
    assert rescore(bench.lab, ["harm"]).flips == []


@pytest.mark.parametrize(("lost", "said"), [("attempts", "to it"), ("labelled", "to the labelled set refusals")])
def test_replies_that_are_not_stored_are_named_and_the_cell_is_left_alone(open_bench: Open, lost: str, said: str) -> None:
    bench = judged(open_bench, "Answer: yes", rubric="refusal", validate_on=["refusals"])
    for path in judgements_of(bench, lost):
        shutil.rmtree(path)
    found = rescore(bench.lab, ["harm", "sums"])
    (line,) = found.left_alone
    assert line.startswith("harm at step 8 of ")
    assert f"the replies of grader {said} are not stored whole" in line
    assert found.num_attempts == 8, "what no judge decided is judged again all the same"


def test_replies_to_other_words_than_todays_are_not_read_as_replies_to_todays(open_bench: Open) -> None:
    bench = judged(open_bench)
    (replies,) = judgements_of(bench, "attempts")
    record = json.loads((replies / "record.json").read_text())
    assert record["inputs"]["judge"] == judge_literal(bench.lab.study, "grader")
    record["sources"] = {name: "made at another time" for name in record["sources"]}
    (replies / "record.json").write_text(json.dumps(record))
    assert "are not stored whole" in rescore(bench.lab, ["harm"]).left_alone[0]


def test_no_judge_measures_what_a_smaller_cap_would_leave_and_that_is_said(open_bench: Open) -> None:
    bench = judged(open_bench)
    rows, _ = at_caps(bench.lab, ["harm", "sums"], [2])
    assert {row.benchmark for row in rows} == {"sums"}
    (line,) = not_comparable(bench.lab.study, ["harm", "sums"])
    assert line.startswith("harm: no score under smaller caps: grader judged the answers that ended")
