from __future__ import annotations

import pytest

from ray_study.rows import Example
from ray_study.transforms import TRANSFORMS, Form, Tokens, transformed, truncate_thinking

# A tokenizer in which every character is a token, and the end is another.
CHARACTERS = Tokens(name="characters", count=lambda text: len(text) + 1, first=lambda text, number: text[:number])
BYTES = Tokens(
    name="bytes",
    count=lambda text: len(text.encode()) + 1,
    first=lambda text, number: text.encode()[:number].decode(errors="replace"),
)
LOWER = Tokens(name="lower", count=CHARACTERS.count, first=lambda text, number: text.lower()[:number])


def example(response: str) -> Example:
    return Example(problem_id="p0", prompt="ask p0", response=response, num_tokens=9, verdict="correct", sample=2)


@pytest.mark.parametrize(
    ("name", "response", "left"),
    [
        ("none", "<think>a</think>\nb", "<think>a</think>\nb"),
        ("none", " \n", None),
        ("drop_thinking", "<think>a\nc</think>\n\nSo \\boxed{1}.", "So \\boxed{1}."),
        ("drop_thinking", "opened by the template</think>\nSo \\boxed{1}.", "So \\boxed{1}."),
        ("drop_thinking", "<think>a</think>b<think>c</think>d", "bd"),
        ("drop_thinking", "<think>never closed \\boxed{1}", None),
        ("drop_thinking", "<think>a</think>\n", None),
        ("drop_thinking", "no thinking", "no thinking"),
        ("answer_only", "<think>\\boxed{0}</think>First \\boxed{1}, then \\boxed{\\frac{1}{2}}.", "\\boxed{\\frac{1}{2}}"),
        ("answer_only", "<think>a</think>Well.\nI can't help with that.", "I can't help with that."),
        ("answer_only", "<think>\\boxed{0}</think>", None),
        ("answer_only", "cut \\boxed{1", None),
    ],
)
def test_a_transform_leaves_only_its_part_of_the_response(name: str, response: str, left: str | None) -> None:
    changed = transformed(example(response), Form(transform=name))
    assert (changed.response if changed else None) == left


@pytest.mark.parametrize(
    ("response", "left"),
    [
        ("<think>abcdef</think>\nSo \\boxed{1}.", "<think>abcd</think>\nSo \\boxed{1}."),
        ("<think>abcd</think> short", "<think>abcd</think> short"),
        ("opened by the template</think>\nSo 1.", "open</think>\nSo 1."),
        ("<think>ab</think>cd</think>\nSo 1.", "<think>ab</</think>\nSo 1."),
        ("Hm. <think>abcdef</think>So 1.", "Hm. <think>abcd</think>So 1."),
        ("<think>never closed \\boxed{1}", None),
        ("<think>a</think> then <think>never closed", None),
        ("no thinking at all", "no thinking at all"),
    ],
)
def test_thinking_is_cut_and_closed_and_the_summary_and_the_answer_stay(response: str, left: str | None) -> None:
    changed = transformed(example(response), Form(truncate_thinking=4), tokens=CHARACTERS)
    assert (changed.response if changed else None) == left


def test_a_cut_inside_a_character_takes_the_whole_character_away() -> None:
    assert truncate_thinking("<think>aé</think>1", 2, BYTES) == "<think>a</think>1"
    assert truncate_thinking("<think>aé</think>1", 3, BYTES) == "<think>aé</think>1"


def test_a_tokenizer_that_changes_what_it_reads_cuts_by_counting() -> None:
    assert truncate_thinking("<think>ABCDEF</think>1", 4, LOWER) == "<think>ABCD</think>1"


def test_cutting_tokens_without_a_tokenizer_is_an_error_that_names_the_mend() -> None:
    with pytest.raises(ValueError, match="no tokenizer is known; name a model whose tokenizer counts: `tokens_by`"):
        transformed(example("<think>a</think>b"), Form(truncate_thinking=4))


def test_a_written_solution_takes_the_place_of_the_response_and_a_problem_without_one_is_dropped() -> None:
    form = Form(transform="human_solution")
    changed = transformed(example("a"), form, solution="By hand, 1.", tokens=CHARACTERS)
    assert changed is not None
    assert (changed.response, changed.num_tokens, changed.form) == ("By hand, 1.", 12, "human_solution")
    assert transformed(example("a"), form, solution=" ") is None


def test_a_changed_response_is_counted_again_or_claims_no_count() -> None:
    form = Form(transform="drop_thinking")
    changed, same, counted = (
        transformed(example("<think>a</think>b"), form),
        transformed(example("b"), form),
        transformed(example("<think>a</think>b"), form, tokens=CHARACTERS),
    )
    assert [row.num_tokens for row in (changed, same, counted) if row] == [0, 9, 2]


def test_an_example_keeps_where_it_comes_from_and_says_its_form() -> None:
    changed = transformed(example("<think>abcdef</think>b"), Form(truncate_thinking=4), tokens=CHARACTERS)
    assert changed is not None
    assert (changed.problem_id, changed.sample, changed.verdict, changed.form) == ("p0", 2, "correct", "truncate_thinking 4")


def test_an_unknown_transform_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown transform 'shorten'; choose from .*'human_solution'"):
        transformed(example("b"), Form(transform="shorten"))
    assert set(TRANSFORMS) == {"none", "drop_thinking", "answer_only"}
