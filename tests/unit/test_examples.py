from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from studies import study

from ray_study import tables
from ray_study.engines import Engines
from ray_study.examples import make_dataset
from ray_study.gathering import BUFFER, candidates, texts_in_order
from ray_study.materials import Lab, load_problems
from ray_study.rows import Example, GradedAttempt, Problem, Removed
from ray_study.store import Result, Store

NOTHING: dict[str, Sequence[Problem]] = {}


def lab_of(directory: Path, changes: dict[str, Any] | None = None) -> Lab:
    settings = study(changes)
    said: list[str] = []
    return Lab(
        study=settings,
        store=Store(str(directory), "small"),
        engines=Engines(said.append, shard_size=8, owner="tests"),
        cache=directory / "cache",
        progress=said.append,
    )


def made(directory: Path, changes: dict[str, Any] | None = None, name: str = "cot", items: Any = NOTHING) -> Result:
    return make_dataset(lab_of(directory, changes), name, items)


def file_of(directory: Path, rows: Sequence[tuple[str, str]]) -> str:
    path = directory / "rows.parquet"
    pq.write_table(pa.table({"prompt": [row[0] for row in rows], "response": [row[1] for row in rows]}), path)
    return str(path)


ROWS = [(f"Question {number}: how much is it?", f"<think>{'so ' * number}</think>It is \\boxed{{{number}}}.") for number in range(12)]


def test_every_row_says_where_it_comes_from_and_why_it_is_there(tmp_path: Path) -> None:
    result = made(tmp_path)
    rows = result.rows(Example)
    assert len(rows) == result.record["num_rows"] == 64
    for row in rows:
        assert row.source == "arithmetic"
        assert (row.asked_of, row.sample, row.verdict) == ("solver", 0, "correct")
        assert (row.chosen, row.num_eligible, row.form) == ("verified, random", 1, "none")
    assert {row.form for row in made(tmp_path, name="nocot").rows(Example)} == {"drop_thinking"}


def test_the_counts_of_every_step_are_in_the_record(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {"datasets/cot/select": {"num_examples": 32}})
    items = {"exam": load_problems(lab, "sums")[1][:5]}
    record = make_dataset(lab, "cot", items).record
    assert {key: record[key] for key in record if key.startswith("num_")} == {
        "num_problems": 64,
        "num_attempts": 64,
        "num_attempts_removed_by_overlap": 5,
        "num_overlapping": 5,
        "num_removed_by_overlap": 5,
        "num_outside_limits": 0,
        "num_eligible": 59,
        "num_eligible_problems": 59,
        "num_distinct_eligible": 59,
        "num_selected": 32,
        "num_dropped_by_transform": 0,
        "num_rows": 32,
    }
    assert record["verdicts"] == {"correct": 64}
    assert record["overlaps"] == {"by_benchmark": {"exam": 5}, "by_how": {"equal": 5}, "num_items": {"exam": 5}}


def test_what_was_removed_is_in_a_table_beside_the_rows_with_the_item_and_the_evidence(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    item = load_problems(lab, "sums")[1][3]
    result = make_dataset(lab, "cot", {"exam": [replace(item, id="the item")]})
    (removed,) = tables.read(f"{result.path}/removed.parquet", Removed)
    assert (removed.problem_id, removed.prompt, removed.benchmark, removed.item_id) == (item.id, item.prompt, "exam", "the item")
    assert removed.how == "equal"
    assert item.id not in {row.problem_id for row in result.rows(Example)}


def test_other_overlaps_make_a_data_set_again_and_other_benchmarks_without_any_do_not(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    rows = load_problems(lab, "sums")[1]
    first = make_dataset(lab, "cot", {})
    assert make_dataset(lab, "cot", {"exam": load_problems(lab, "held_out")[1]}).made == first.made
    assert make_dataset(lab, "cot", {"exam": rows[:1]}).made != first.made


def test_a_benchmark_inside_the_training_data_is_an_error_or_a_warning_with_the_counts_and_the_mend(tmp_path: Path) -> None:
    lab = lab_of(tmp_path)
    rows = load_problems(lab, "sums")[1]
    with pytest.raises(ValueError, match=r"'cot': 64 of 64 problems also stand .* \(64 in exam\).* take that benchmark out of"):
        make_dataset(lab, "cot", {"exam": rows})
    (listed,) = Path(lab.store.root).glob("dataset-*/removed.parquet")
    assert len(tables.read(listed, Removed)) == 64
    result = make_dataset(lab, "cot", {"exam": rows[:40]})
    assert result.record["warning"].startswith("40 of 64 problems also stand in a benchmark")
    assert "**Warning:** 40 of 64" in (Path(result.path) / "card.md").read_text()


def test_a_set_that_is_read_is_compared_with_the_benchmarks_too_and_may_stay_as_it_was_published(tmp_path: Path) -> None:
    read = {"datasets/cot": {"read": "parquet", "name": file_of(tmp_path, ROWS), "select": {"policy": "first"}}}
    lab = lab_of(tmp_path, read)
    item = replace(load_problems(lab, "sums")[1][0], id="b7", prompt=ROWS[7][0])
    result = make_dataset(lab, "cot", {"exam": [item]})
    kept = result.rows(Example)
    assert [row.prompt for row in kept] == [prompt for prompt, _ in ROWS if prompt != ROWS[7][0]]
    assert {(row.source, row.verdict, row.chosen) for row in kept} == {(f"parquet {tmp_path}/rows.parquet", None, "read, first")}
    read["datasets/cot"]["decontaminate"] = {"remove": False}
    published = make_dataset(lab_of(tmp_path, read), "cot", {"exam": [item]})
    assert published.record["num_rows"] == 12
    assert [row.item_id for row in tables.read(f"{published.path}/removed.parquet", Removed)] == ["b7"]


def test_the_tokenizer_of_tokens_by_counts_limits_and_cuts(tmp_path: Path) -> None:
    read: dict[str, Any] = {"read": "parquet", "name": file_of(tmp_path, ROWS), "tokens_by": "tiny"}
    lab = lab_of(tmp_path, {"datasets/cot": {**read, "select": {"policy": "first", "max_tokens": 40}}})
    result = make_dataset(lab, "cot", {})
    counted = {row.problem_id: row.num_tokens for row in result.rows(Example)}
    # The model's tokenizer reads bytes, and each tag as one token; the end token counts.
    assert counted["row 0"] == 2 + len("It is \\boxed{0}.") + 1
    assert 0 < len(counted) < 12
    assert max(counted.values()) <= 40
    assert result.record["num_outside_limits"] == 12 - len(counted)
    cut = make_dataset(lab_of(tmp_path, {"datasets/cot": {**read, "truncate_thinking": 4, "select": {"policy": "first"}}}), "cot", {})
    assert [row.response for row in cut.rows(Example)][5] == "<think>so s</think>It is \\boxed{5}."
    assert cut.rows(Example)[5].num_tokens == 2 + 4 + len("It is \\boxed{5}.") + 1


def test_what_a_transform_drops_is_made_up_for_so_that_the_size_is_as_asked_and_sets_stay_nested(tmp_path: Path) -> None:
    rows = [(prompt, "<think>all of it</think>" if number % 3 == 0 else response) for number, (prompt, response) in enumerate(ROWS)]
    read = {"read": "parquet", "name": file_of(tmp_path, rows), "transform": "drop_thinking"}
    few, more = (made(tmp_path, {"datasets/cot": {**read, "select": {"num_examples": number}}}) for number in (3, 8))
    assert [row.problem_id for row in more.rows(Example)][:3] == [row.problem_id for row in few.rows(Example)]
    assert more.record["num_rows"] == 8
    assert more.record["num_dropped_by_transform"] > 0
    assert more.record["num_selected"] == 8 + more.record["num_dropped_by_transform"]
    with pytest.raises(ValueError, match=r"'drop_thinking' left something of 8 of 12 responses, expected 9"):
        made(tmp_path, {"datasets/cot": {**read, "select": {"num_examples": 9}}})


def test_written_solutions_take_the_place_of_responses(tmp_path: Path) -> None:
    lab = lab_of(tmp_path, {"datasets/cot/transform": "human_solution"})
    solutions = {row.id: row.solution for row in load_problems(lab, "sums")[1]}
    assert {row.problem_id: row.response for row in make_dataset(lab, "cot", {}).rows(Example)} == solutions


def test_an_empty_selection_names_the_data_set_and_counts(tmp_path: Path) -> None:
    limited = {"datasets/cot": {"problems": "sums", "teacher": "solver", "tokens_by": "tiny", "select": {"min_tokens": 5000}}}
    with pytest.raises(
        ValueError, match=r"data set 'cot': 0 of 64 problems have a correct attempt .* \(64 of that arm have fewer or more\)"
    ):
        made(tmp_path, limited)


def test_equal_rows_have_equal_digests_and_others_have_not(tmp_path: Path) -> None:
    first, second = made(tmp_path / "a").record["content"], made(tmp_path / "b").record["content"]
    assert first == second
    assert made(tmp_path / "a", name="nocot").record["content"] != first
    assert made(tmp_path / "a", {"datasets/cot/select": {"num_examples": 32}}).record["content"] != first


def test_the_card_is_beside_the_rows_and_its_texts_cannot_break_out(tmp_path: Path) -> None:
    evil = "````\n# heading\n<script>alert(1)</script>\n```text\n" + "x" * 7000
    result = made(tmp_path, {"datasets/cot": {"read": "parquet", "name": file_of(tmp_path, [(f"q{n} `` `", evil) for n in range(6)])}})
    card = json.loads((Path(result.path) / "card.json").read_text())
    assert card["counts"] == {
        "num_problems": 6,
        "num_overlapping": 0,
        "num_removed_by_overlap": 0,
        "num_outside_limits": 0,
        "num_eligible": 6,
        "num_selected": 6,
        "num_dropped_by_transform": 0,
        "num_rows": 6,
    }
    assert len(card["rows"]) == 5
    assert card["lengths"]["unit"] == "characters", "nobody counted tokens"
    assert (Path(result.path) / "lengths.png").read_bytes().startswith(b"\x89PNG")
    shown = (Path(result.path) / "card.md").read_text().splitlines()
    inside = ""
    outside = []
    for line in shown:
        fence = line.partition("text")[0] if set(line.partition("text")[0]) == {"`"} else ""
        if not inside and fence:
            inside = fence
        elif inside and line.strip() == inside:
            inside = ""
        elif not inside:
            outside.append(line)
    assert inside == ""
    assert "# heading" not in outside
    assert not any("<script" in line for line in outside)
    assert any("more characters]" in line for line in shown)


def test_the_card_of_a_set_that_was_made_says_sources_licence_teacher_and_lengths(tmp_path: Path) -> None:
    limits = {"datasets/cot": {"problems": "sums", "teacher": "solver", "tokens_by": "tiny", "select": {"max_tokens": 500}}}
    result = made(tmp_path, limits)
    card = json.loads((Path(result.path) / "card.json").read_text())
    assert card["sources"][0]["source"] == "arithmetic"
    assert card["sources"][0]["licence"]
    assert card["sources"][0]["resolved"]["version"]
    assert card["teacher"]["by"] == "solver"
    assert card["teacher"]["attempts"]["num_rows"] == 64
    assert (card["tokens_by"], card["lengths"]["unit"]) == ("tiny", "tokens")
    assert sum(card["lengths"]["counts"]) == 64
    assert card["counts"]["correct"] == 64
    assert card["counts"]["num_unjudged"] == 0
    again = made(tmp_path / "again", limits)
    assert (Path(again.path) / "card.json").read_text() == (Path(result.path) / "card.json").read_text()


def graded(number: int, sample: int) -> GradedAttempt:
    return GradedAttempt(
        problem_id=f"p{number}",
        sample=sample,
        asked_of="t",
        text=f"answer {number} {sample}",
        num_tokens=3,
        finish_reason="stop",
        cap=9,
        seed=0,
        thinking_opened=False,
        prompt_hash="",
        explanation="",
        conditions="{}",
        kind="exact",
        cluster="c",
        verdict="correct",
        answer="1",
        lenient_verdict="correct",
    )


def test_chosen_texts_come_in_the_order_of_the_choice_and_nothing_is_left_behind(tmp_path: Path) -> None:
    num_rows = BUFFER + 3000
    for shard in range(4):
        tables.write((graded(number, 0) for number in range(shard, num_rows, 4)), tmp_path / f"rows/{shard}.parquet", GradedAttempt)
    found = sorted(candidates(str(tmp_path / "rows"), "verified", None), key=lambda row: row.mark)
    assert len(found) == num_rows
    texts = list(texts_in_order(str(tmp_path / "rows"), found, str(tmp_path / "scratch")))
    assert texts == [f"answer {row.problem_id[1:]} 0" for row in found]
    assert not (tmp_path / "scratch").exists()
    assert list(texts_in_order(str(tmp_path / "rows"), found[:7], str(tmp_path / "scratch"))) == texts[:7]


def test_an_attempt_that_is_stored_twice_is_fetched_once(tmp_path: Path) -> None:
    tables.write([graded(1, 0), graded(1, 0), graded(2, 0)], tmp_path / "rows/a.parquet", GradedAttempt)
    found = {row.problem_id: row for row in candidates(str(tmp_path / "rows"), "verified", None)}
    assert list(texts_in_order(str(tmp_path / "rows"), [found["p2"], found["p1"]], str(tmp_path / "s"))) == ["answer 2 0", "answer 1 0"]


def test_the_order_of_examples_does_not_depend_on_how_attempts_were_cut(tmp_path: Path) -> None:
    rows = made(tmp_path).rows(Example)
    assert Counter(row.problem_id for row in rows).most_common(1)[0][1] == 1
    assert [row.problem_id for row in rows] != sorted(row.problem_id for row in rows)
    assert made(tmp_path / "again").rows(Example) == rows
