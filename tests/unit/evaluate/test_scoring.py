"""A checkpoint that cannot be scored is owed with its reason, whatever was answered is kept, and the others are scored."""

from __future__ import annotations

import errno
import json
import shutil
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from sitting import EXAMS, Bench, Open, replies

from ray_study import tables
from ray_study.claims import claim
from ray_study.manifests import hash_files, read_manifest, write_manifest
from ray_study.owed import matrix
from ray_study.rows import GradedAttempt
from ray_study.runs import BASES
from ray_study.serving import PoolUnavailable, Reply, Request, SwapRefused
from ray_study.store import ClaimLost


def refusing(path: str) -> object:
    def answer(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        if checkpoint == path:
            raise SwapRefused("its checksum is another")
        return replies(checkpoint, requests)

    return answer


def shards(bench: Bench) -> int:
    return len(list(Path(bench.lab.store.root).glob("answers-*/rows/*.parquet")))


def test_every_exam_is_scored_shard_by_shard(open_bench: Open) -> None:
    bench = open_bench()
    cells = bench.score(8)
    assert {name: len(cell.verdicts.rows(GradedAttempt)) for name, cell in cells.items() if cell.verdicts} == {"sums": 8, "more": 12}
    assert bench.engines.num_asked == shards(bench) == 5
    bench.score(8)
    assert bench.engines.num_asked == 5, "what is stored is not asked again"


def test_a_refused_checkpoint_is_owed_with_its_reason_and_the_others_are_scored(open_bench: Open) -> None:
    bench = open_bench()
    bench.engines.answer = refusing(bench.checkpoints[2].path)  # type: ignore[assignment]
    found = {step: bench.score(step) for step in (0, 2, 8)}
    assert {cell.why for cell in found[2].values()} == {"SwapRefused: its checksum is another"}
    assert [cell.verdicts for cell in found[2].values()] == [None, None]
    assert all(cell.verdicts is not None and not cell.why for step in (0, 8) for cell in found[step].values())


def test_one_refused_shard_loses_no_other_and_an_exam_that_is_whole_is_scored(open_bench: Open) -> None:
    bench = open_bench()

    def fourth_is_lost(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        if bench.engines.num_asked == 4:
            raise PoolUnavailable("lost again and again")
        return replies(checkpoint, requests)

    bench.engines.answer = fourth_is_lost
    cells = bench.score(8)
    assert cells["sums"].verdicts is not None, "both of its shards were answered"
    assert cells["more"].why == "PoolUnavailable: lost again and again"
    # The fifth may have been begun before the fourth was lost, and is kept then.
    kept, asked = shards(bench), bench.engines.num_asked
    assert kept == asked - 1 >= 3
    bench.engines.answer = replies
    assert bench.score(8)["more"].verdicts is not None
    assert bench.engines.num_asked - asked == 5 - kept, "only what is missing is asked again"


def test_the_first_refusal_cancels_what_is_not_begun_and_waits_for_what_is(open_bench: Open) -> None:
    bench = open_bench({"evaluation/shard_size": 1})
    bench.engines.answer = refusing(bench.checkpoints[8].path)  # type: ignore[assignment]
    bench.score(8)
    assert bench.engines.num_asked < 20, "all twenty shards were asked of a checkpoint that is refused"
    assert bench.engines.num_left == 0, "the pool was given back with shards in it"


def test_a_shard_that_is_answered_is_stored_while_another_is_still_asked(open_bench: Open) -> None:
    bench = open_bench()
    stored: list[int] = []

    def last_waits(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        if bench.engines.num_asked == 5:
            written = threading.Event()
            # The others are written by another thread meanwhile.
            for _ in range(600):
                if shards(bench) == 4 or written.wait(0.1):
                    break
            stored.append(shards(bench))
        return replies(checkpoint, requests)

    bench.engines.answer = last_waits
    bench.score(8)
    assert stored == [4]


def test_a_checkpoint_whose_files_cannot_be_read_is_owed(open_bench: Open) -> None:
    bench = open_bench()

    def unreadable(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        raise PermissionError(errno.EACCES, "Permission denied", checkpoint)

    bench.engines.answer = unreadable
    assert "PermissionError: [Errno 13] Permission denied" in bench.score(2)["sums"].why


def test_a_damaged_shard_leaves_its_exam_owed(open_bench: Open) -> None:
    bench = open_bench()
    bench.score(8)
    record = next(
        path for path in Path(bench.lab.store.root).glob("answers-*/record.json") if json.loads(path.read_text())["num_rows"] == 8
    )
    record.unlink()
    for verdicts in Path(bench.lab.store.root).glob("verdicts-*"):
        shutil.rmtree(verdicts)
    damaged = sorted((record.parent / "rows").glob("*.parquet"))[0]
    tables.write([], damaged, GradedAttempt)
    cells = bench.score(8)
    assert "it was made by another version of ray-study" in cells["sums"].why
    assert cells["more"].verdicts is not None


def test_a_full_disk_ends_the_study(open_bench: Open) -> None:
    bench = open_bench()

    def full(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.engines.answer = full
    with pytest.raises(OSError, match="No space left"):
        bench.score(2)


def test_a_lost_claim_ends_the_study(open_bench: Open) -> None:
    bench = open_bench()
    bench.lab.store.lose("another driver took it over")
    with pytest.raises(ClaimLost, match="took it over"):
        bench.score(2)


def test_the_same_answers_read_in_two_ways_are_asked_once_and_have_two_verdicts(open_bench: Open) -> None:
    exams = {"own": EXAMS["sums"], "whole": {**EXAMS["sums"], "reads": "whole_text"}}
    bench = open_bench({"evaluation/benchmarks": exams})

    def thinks(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        return [replace(reply, text="<think>It may be \\boxed{7}") for reply in replies(checkpoint, requests)]

    bench.engines.answer = thinks
    cells = bench.score(8)
    assert bench.engines.num_asked == 2
    verdicts = {name: {row.verdict for row in cell.verdicts.rows(GradedAttempt)} for name, cell in cells.items() if cell.verdicts}
    assert verdicts["own"] == {"unfinished"}
    assert verdicts["whole"] <= {"correct", "wrong"}
    inputs = {name: cell.verdicts.record["inputs"] for name, cell in cells.items() if cell.verdicts}
    assert inputs["whole"] == {**inputs["own"], "reads": "whole_text"}, "how a text is read identifies the verdicts, and only those"


CODE = """
from pathlib import Path
from transformers import PreTrainedTokenizerFast

Path({mark!r}).touch()

class Own(PreTrainedTokenizerFast):
    pass
"""


@pytest.mark.parametrize("trusted", [True, False])
def test_a_tokenizers_own_code_runs_where_the_model_is_trusted_and_only_there(
    open_bench: Open, base: Path, tmp_path: Path, trusted: bool
) -> None:
    start = tmp_path / "start"
    shutil.copytree(base, start)
    mark = tmp_path / "it ran"
    (start / "own.py").write_text(CODE.format(mark=str(mark)))
    settings = json.loads((start / "tokenizer_config.json").read_text())
    own = {**settings, "tokenizer_class": "Own", "auto_map": {"AutoTokenizer": [None, "own.Own"]}}
    (start / "tokenizer_config.json").write_text(json.dumps(own))
    manifest = read_manifest(base)
    write_manifest(start, type(manifest)(**{**{name: getattr(manifest, name) for name in manifest.__slots__}, "files": hash_files(start)}))
    bench = open_bench({"models/tiny/trust_remote_code": trusted}, start=start)
    assert bench.score(8)["sums"].verdicts is not None
    assert mark.exists() == trusted


def states(bench: Bench) -> dict[tuple[int, str], str]:
    """The state of each cell of the bench's run, as `status` has it."""
    run = bench.checkpoints[2].run
    rows = [row for row in matrix(bench.lab.study, bench.lab.store) if row.run.id == run]
    return {(row.step, name): f"{cell.state} {cell.why}".strip() for row in rows for name, cell in row.cells.items()}


def test_a_cell_runs_from_its_first_shard_to_its_verdicts_and_no_other_does(open_bench: Open) -> None:
    bench = open_bench()
    bench.lab.store.write_json(BASES, {bench.checkpoints[0].run: {"fingerprint": bench.checkpoints[0].fingerprint, "path": "elsewhere"}})
    seen: list[dict[tuple[int, str], str]] = []

    def look(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        seen.append(states(bench))
        return replies(checkpoint, requests)

    bench.engines.answer = look
    with claim(bench.lab.store, "evaluate"):
        bench.score(2)
        assert len(seen) == 5
        assert seen[0] == {
            **dict.fromkeys([(step, name) for step in (0, 2, 8) for name in EXAMS], "owed"),
            **dict.fromkeys([(2, name) for name in EXAMS], "running 0 shards are stored"),
        }
        assert {cell for cell, state in seen[-1].items() if state.startswith("running")} == {(2, "sums"), (2, "more")}
        assert {cell: state for cell, state in states(bench).items() if state != "owed"} == {(2, name): "scored" for name in EXAMS}

        bench.engines.answer = refusing(bench.checkpoints[8].path)  # type: ignore[assignment]
        bench.score(8)
        assert {states(bench)[8, name] for name in EXAMS} == {"failed SwapRefused: its checksum is another"}
    assert not list(Path(bench.lab.store.root).glob("answers-*/sitting-*"))


def test_a_sitting_that_was_cut_short_does_not_run_once_its_driver_is_gone(open_bench: Open) -> None:
    bench = open_bench()

    def full(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.engines.answer = full
    with claim(bench.lab.store, "evaluate"):
        with pytest.raises(OSError, match="No space"):
            bench.score(8)
        assert states(bench)[8, "sums"].startswith("running")
    assert states(bench)[8, "sums"] == "owed"
    with claim(bench.lab.store, "evaluate"):
        assert states(bench)[8, "sums"] == "owed"
