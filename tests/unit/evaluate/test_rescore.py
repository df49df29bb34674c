"""Stored attempts are judged again: the same scores where nothing changed, every flip named where something did."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from labs import make_datasets
from sitting import EXAMS, Bench, Open, replies
from studies import sweep_file

from ray_study import tables
from ray_study.__main__ import main
from ray_study.analyze.trajectories import study_trajectories
from ray_study.capped import at_caps, cap_table
from ray_study.claims import claim
from ray_study.grid import planned
from ray_study.owed import answers_mark, verdicts_mark
from ray_study.publish import SweepFile
from ray_study.recall import stored_findings
from ray_study.rescore import Flip, as_csv, flip_table, rescore
from ray_study.results import score_cell
from ray_study.rows import Attempt, GradedAttempt, Problem
from ray_study.runs import BASES
from ray_study.serving import Reply, Request
from ray_study.verify import VERSION, grade
from ray_study.verify.again import changes_between, judge_again


def answering(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
    """Answers of different lengths, some of which are right."""
    texts = ["\\boxed{7}", "I do not know", "It is 12", "<think>without end"]
    found = replies(checkpoint, requests)
    return [replace(reply, text=texts[number % 4], num_tokens=3 + 9 * (number % 4)) for number, reply in enumerate(found)]


@pytest.fixture
def scored(open_bench: Open) -> Bench:
    bench = open_bench()
    bench.engines.answer = answering
    start = bench.checkpoints[0]
    bench.lab.store.write_json(BASES, {start.run: {"fingerprint": start.fingerprint, "path": start.path}})
    for step in (0, 2, 8):
        assert all(cell.verdicts is not None for cell in bench.score(step).values())
    return bench


def verdicts_of(bench: Bench, step: int, benchmark: str) -> Path:
    mark = answers_mark(bench.lab.study, benchmark, bench.checkpoints[step].fingerprint, "tiny")
    return Path(bench.lab.store.path(f"verdicts-{verdicts_mark(bench.lab.study, benchmark, mark)}"))


def judged_as(directory: Path, verdict: str) -> GradedAttempt:
    """The first stored verdict of a result, which is `verdict` from now on."""
    shard = sorted((directory / "rows").glob("*.parquet"))[0]
    rows = tables.read(shard, GradedAttempt)
    tables.write([replace(rows[0], verdict=verdict), *rows[1:]], shard, GradedAttempt)  # type: ignore[arg-type]
    return rows[0]


def contents(bench: Bench) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(bench.lab.store.root).rglob("*") if path.is_file() and "claims" not in str(path)}


def test_scores_are_exactly_the_same_when_nothing_changed_and_nothing_is_written(scored: Bench) -> None:
    before = contents(scored)
    found = rescore(scored.lab, ["sums", "more"])
    assert (found.num_attempts, found.flips, found.judged_anew, found.left_alone) == (3 * (8 + 12), [], 0, [])
    assert contents(scored) == before


def test_one_version_that_says_two_things_is_a_contradiction_and_nothing_is_overwritten(scored: Bench) -> None:
    was = judged_as(verdicts_of(scored, 8, "sums"), "correct")
    before = contents(scored)
    found = rescore(scored.lab, ["sums", "more"])
    (flip,) = found.contradictions
    assert flip == Flip(
        benchmark="sums",
        run=planned(scored.lab.study)[0].name,
        step=8,
        item=was.problem_id,
        sample=0,
        change=f"correct -> {was.verdict}",
        version=VERSION,
    )
    assert flip_table(found.flips) == [f"sums: correct -> {was.verdict}: 1 attempts at 1 items: {was.problem_id}"]
    assert contents(scored) == before
    assert rescore(scored.lab, ["more"]).flips == [], "only the benchmarks that are asked for"


def as_of_version(bench: Bench, directory: Path, version: int) -> Path:
    """Makes a result of verdicts into one of an older version of the verifier."""
    record = json.loads((directory / "record.json").read_text())
    attempts = record["inputs"]["attempts"]
    older = Path(bench.lab.store.path(f"verdicts-{verdicts_mark(bench.lab.study, 'sums', attempts, version)}"))
    record |= {"fingerprint": older.name.removeprefix("verdicts-"), "inputs": {"attempts": attempts, "verify": version}}
    (directory / "record.json").write_text(json.dumps(record))
    directory.rename(older)
    return older


@pytest.mark.parametrize("was", ["timeout", "error"])
def test_a_verdict_that_ran_out_of_time_is_no_contradiction_when_it_does_not_do_so_again(scored: Bench, was: str) -> None:
    judged_as(verdicts_of(scored, 8, "sums"), was)
    before = contents(scored)
    found = rescore(scored.lab, ["sums"])
    assert len(found.flips) == 1
    assert (len(found.by_the_clock), len(found.contradictions)) == ((1, 0) if was == "timeout" else (0, 1))
    assert contents(scored) == before


def test_an_answer_that_a_smaller_cap_cuts_is_judged_as_it_would_have_been_cut(open_bench: Open) -> None:
    """All box the right sum at once, and two thirds of them write on to another one."""
    bench = open_bench()
    sums = {item.id: item.answer for exam in bench.exams for item in exam.items}

    def rambling(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        found = replies(checkpoint, requests)
        boxed = [f"\\boxed{{{sums[reply.problem_id]}}}" for reply in found]
        return [
            replace(reply, text=f"{box} or not, rather it is \\boxed{{1}}", num_tokens=31) if number % 3 else replace(reply, text=box)
            for number, (reply, box) in enumerate(zip(found, boxed, strict=True))
        ]

    bench.engines.answer = rambling
    start = bench.checkpoints[0]
    bench.lab.store.write_json(BASES, {start.run: {"fingerprint": start.fingerprint, "path": start.path}})
    bench.score(0)
    rows, left_out = at_caps(bench.lab, ["more"], [3, 15])
    assert left_out == []
    found = {row.cap: row.value for row in rows}
    assert found[15] == 1.0
    assert found[3] == found[32] == pytest.approx(1 / 3, abs=0.17)
    Path(start.path, "tokenizer.json").rename(Path(start.path, "kept.json"))
    rows, (line,) = at_caps(bench.lab, ["more"], [15])
    assert rows == []
    assert line.startswith("more at step 0 of ")
    Path(start.path, "kept.json").rename(Path(start.path, "tokenizer.json"))


def test_verdicts_of_an_older_version_stay_beside_todays_and_what_flipped_is_told(scored: Bench) -> None:
    directory = verdicts_of(scored, 8, "sums")
    was = judged_as(directory, "error")
    older = as_of_version(scored, directory, VERSION - 1)
    kept = {path: path.read_bytes() for path in older.rglob("*") if path.is_file()}
    found = rescore(scored.lab, ["sums"])
    assert found.judged_anew == 1
    assert found.contradictions == []
    assert [(flip.item, flip.change, flip.version) for flip in found.flips] == [(was.problem_id, f"error -> {was.verdict}", VERSION - 1)]
    assert {path: path.read_bytes() for path in older.rglob("*") if path.is_file()} == kept
    assert (directory / "record.json").is_file()
    again = rescore(scored.lab, ["sums"])
    assert (again.flips, again.judged_anew) == ([], 0)


def test_a_checkpoint_with_a_damaged_manifest_is_left_alone_by_name_and_the_others_are_judged_again(scored: Bench) -> None:
    Path(scored.checkpoints[2].path, "manifest.json").write_text("[]")
    found = rescore(scored.lab, ["sums", "more"])
    assert found.num_attempts == 2 * (8 + 12)
    (line,) = found.left_alone
    assert line.startswith("step 2 of ")
    assert "manifest.json is damaged" in line


def test_the_report_of_what_is_stored_names_a_damaged_and_a_gone_checkpoint_and_shows_their_points_as_missing(scored: Bench) -> None:
    store, (run, *_) = scored.lab.store, planned(scored.lab.study)
    datasets = make_datasets(scored.lab)
    store.finish(store.workspace("train", run.id), stage="train", mark=run.id, sources=[], facts={"steps": [2, 4, 8]})
    Path(scored.checkpoints[2].path, "manifest.json").write_text("[]")
    assert datasets
    found = stored_findings(SweepFile(study=scored.lab.study, text=""), store, lambda line: None)
    owed = found.tables.facts["owed"]
    assert [line for line in owed if line.startswith(f"step 2 of {run.name!r} cannot be scored: ") and "is damaged" in line], owed
    assert [line for line in owed if line.startswith(f"step 4 of {run.name!r} cannot be scored: ") and "has no manifest.json" in line]
    (curve, *_) = [each for each in study_trajectories(found.tables) if each.run.id == run.id and each.benchmark == "sums"]
    assert [point.step for point in curve.points if point.score is None] == [2, 4]
    assert [point.step for point in curve.points if point.score is not None] == [0, 8]


def test_a_lost_checkpoint_is_named_beside_the_scores_under_smaller_caps(
    scored: Bench, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Path(scored.lab.store.root)
    monkeypatch.setenv("RAY_STUDY_STORAGE", str(store.parent))
    path = sweep_file(store.parent, {"evaluation/benchmarks": EXAMS, "evaluation/shard_size": 4})
    Path(scored.checkpoints[2].path, "manifest.json").write_text("[]")
    assert main(["rescore", str(path), "--cap", "4", "--benchmark", "sums"]) == 0
    told = capsys.readouterr().out
    assert f"step 2 of {planned(scored.lab.study)[0].name}: {scored.checkpoints[2].path}/manifest.json is damaged" in told
    assert "4 scores: " in told


def test_new_verdicts_are_not_written_while_another_driver_scores(scored: Bench) -> None:
    as_of_version(scored, verdicts_of(scored, 2, "more"), VERSION - 1)
    with claim(scored.lab.store, "evaluate"), pytest.raises(ValueError, match=r"another driver .* has the role 'evaluate'"):
        rescore(scored.lab, ["more"])


def test_a_changed_answer_under_the_same_verdict_is_told_too() -> None:
    row = ("p", 0, "wrong", "wrong", "7", "7 is not 8", "")
    assert list(changes_between(iter([row]), iter([(*row[:4], "9", *row[5:])]))) == [("p", 0, "wrong as before, its answer is another")]
    assert list(changes_between(iter([row]), iter([(*row[:3], "correct", *row[4:])]))) == [("p", 0, "leniently wrong -> correct")]
    for other in ([], [("q", *row[1:])]):
        with pytest.raises(ValueError, match="are not those of the stored attempts"):
            list(changes_between(iter([row]), iter(other)))


def test_many_shards_over_several_processes_give_what_one_gives(tmp_path: Path) -> None:
    items = {
        f"p{n}": Problem(id=f"p{n}", source="made", kind="exact", prompt="?", answer="yes", cluster="", solution="") for n in range(24)
    }
    for number, name in enumerate(sorted(items)):
        rows = [Attempt.of_text(name, "\\boxed{yes}" if number % 2 else "\\boxed{no}")]
        tables.write(rows, tmp_path / "attempts" / f"{name}.parquet", Attempt)
        graded = grade(rows, items)
        tables.write(
            [replace(graded[0], verdict="error")] if number == 3 else graded, tmp_path / "verdicts" / f"{name}.parquet", GradedAttempt
        )
    names, places = sorted(items), (str(tmp_path / "attempts"), str(tmp_path / "verdicts"))
    found = judge_again(names, *places, items, num_workers=1)
    assert found == [(names[3], 0, "error -> correct")]
    assert found == [change for name in names for change in judge_again([name], *places, items, num_workers=1)]


def test_every_checkpoint_has_its_accuracy_under_every_cap_and_its_own_score_at_its_own(scored: Bench) -> None:
    rows, left_out = at_caps(scored.lab, ["sums"], [4, 20])
    assert left_out == []
    assert {(row.step, row.cap) for row in rows} == {(step, cap) for step in (0, 2, 8) for cap in (4, 20, 32)}
    (exam,) = [exam for exam in scored.exams if exam.name == "sums"]
    (score,) = [each for each in score_cell(scored.score(8)["sums"], exam)[0] if each.metric == "accuracy"]
    (own,) = [row for row in rows if (row.step, row.cap) == (8, 32)]
    assert (own.value, own.low, own.high, own.num_items) == (score.value, score.low, score.high, score.num_items)
    assert len(cap_table(rows)) == 3
    assert as_csv(rows, type(own)).decode().splitlines()[0] == "run,step,benchmark,metric,cap,value,low,high,num_items"
