"""What a smaller cap would have left of a stored answer, and the verdict on that."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ray_study.chat import Chat
from ray_study.cut_short import cut_text, verdicts_when_cut
from ray_study.model_files import byte_tokenizer
from ray_study.rows import Attempt, GradedAttempt, Problem, Reads
from ray_study.verify import grade

SUM = Problem(id="sum", source="made", kind="number", prompt="3 + 4?", answer="7", cluster="", solution="")
RAMBLES = "It is \\boxed{7}." + " And so on, and on." * 12 + " Or is it \\boxed{8}?"
THINKS = "<think>Is it \\boxed{7}? It is.</think>So it is \\boxed{7}."


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    directory = tmp_path_factory.mktemp("tokenizer")
    byte_tokenizer().save_pretrained(directory)
    return Chat(directory, turns=False)


def answered(text: str, chat: Chat, **changes: object) -> GradedAttempt:
    attempt = replace(Attempt.of_text("sum", text), num_tokens=len(chat.ids(text)) + 1, cap=4096, **changes)  # type: ignore[arg-type]
    return grade([attempt], {"sum": SUM})[0]


def verdicts(row: GradedAttempt, caps: list[int], chat: Chat, reads: Reads = "answer") -> dict[int, str]:
    judge = partial(grade, problems={"sum": SUM}, reads=reads)
    return {cap: verdict for (*_, cap), verdict in verdicts_when_cut([row], caps, chat, judge, reads).items()}


def test_an_answer_that_is_boxed_early_counts_under_every_cap_that_it_fits_in(chat: Chat) -> None:
    row = answered(RAMBLES, chat)
    assert row.verdict == "wrong", "the last box is what counts of the whole"
    boxed = len(chat.ids("It is \\boxed{7}"))
    assert verdicts(row, [boxed - 1, boxed, 100], chat) == {boxed - 1: "unfinished", boxed: "correct", 100: "correct"}


def test_a_cap_that_the_answer_fits_under_leaves_its_verdict_alone(chat: Chat) -> None:
    row = answered(RAMBLES, chat)
    assert verdicts(row, [row.num_tokens, row.num_tokens + 1], chat) == {}


@pytest.mark.parametrize(("reads", "expected"), [("answer", "unfinished"), ("whole_text", "correct")])
def test_thinking_that_the_cap_leaves_open_is_no_answer_but_where_the_thinking_is_read(chat: Chat, reads: Reads, expected: str) -> None:
    row = answered(THINKS, chat)
    inside = len(chat.ids(THINKS.partition("? It")[0]))
    assert verdicts(row, [inside], chat, reads) == {inside: expected}
    opened_by_the_prompt = answered(THINKS.removeprefix("<think>"), chat, thinking_opened=True)
    assert verdicts(opened_by_the_prompt, [inside - 1], chat, reads) == {inside - 1: expected}


def test_thinking_without_any_end_is_not_even_cut(chat: Chat) -> None:
    row = answered("Is it \\boxed{7}? " * 9, chat, thinking_opened=True)
    assert verdicts(row, [30], chat) == {}
    assert verdicts(row, [30], chat, "whole_text") == {30: "correct"}


def test_what_was_never_asked_has_no_verdict(chat: Chat) -> None:
    assert verdicts(answered(RAMBLES, chat, finish_reason="refused"), [30], chat) == {}


@pytest.mark.parametrize("cap", [1, 5, 6, 40, 10_000])
def test_a_text_is_cut_at_the_token_and_half_a_character_is_left_out(chat: Chat, cap: int) -> None:
    text = "drei é 😀 " * 30
    expected = chat.decode(chat.ids(text)[:cap]).rstrip("\N{REPLACEMENT CHARACTER}")
    assert cut_text(text, cap, chat) == expected
    assert text.startswith(expected)
    assert (expected == text) == (cap == 10_000)


def test_a_text_of_long_tokens_is_tokenised_further_until_the_cut_is_certain(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["=" * 64])
    tokenizer.save_pretrained(tmp_path)
    chat = Chat(tmp_path, turns=False)
    assert cut_text("=" * 6400, 30, chat) == "=" * 64 * 30
