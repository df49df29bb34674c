"""What a server is sent, and its answer as an attempt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from chat_server import completion

from ray_study.config import Sampling, WorkedExample
from ray_study.generate import Asking
from ray_study.generate.chat_completion import BadReply, fault_of, path_of, payload, reply_attempt
from ray_study.rows import Attempt, Problem

PROBLEM = Problem(id="p1", source="made", kind="exact", prompt="1 + 1?", answer="2", cluster="p1", solution="")


def asking(**changes: Any) -> Asking:
    settings: dict[str, Any] = {"num_samples": 1, "sampling": Sampling(), "positions": 99, "seed_parts": (0, "test"), "worked_examples": ()}
    return Asking(**{**settings, "thinking": None, **changes})


def attempt(reply: object) -> Attempt:
    return reply_attempt(reply, PROBLEM, 0, asking(), "m")


def test_the_studys_sampling_and_the_attempts_own_seed_are_sent() -> None:
    body = payload(PROBLEM, 3, asking(), "m")
    assert (body["temperature"], body["top_p"], body["top_k"], body["max_tokens"], body["n"]) == (0.6, 0.95, 20, 16384, 1)
    assert body["seed"] == asking().seed(PROBLEM, 3)
    assert body["seed"] != payload(PROBLEM, 2, asking(), "m")["seed"]


def test_a_text_to_go_on_with_is_sent_and_read_as_such() -> None:
    completes = asking(completes=True, thinking=False)
    body = payload(PROBLEM, 0, completes, "m")
    assert (body["prompt"], path_of(completes), path_of(asking())) == ("1 + 1?", "completions", "chat/completions")
    assert not {"messages", "chat_template_kwargs"} & set(body)
    reply = {"choices": [{"index": 0, "text": " yes", "finish_reason": "length"}], "usage": {"completion_tokens": 1}}
    found = reply_attempt(reply, PROBLEM, 0, completes, "m")
    assert (found.text, found.finish_reason, found.num_tokens) == (" yes", "length", 1)
    assert found.prompt_hash != attempt(completion("yes")).prompt_hash
    with pytest.raises(BadReply, match="no completion"):
        reply_attempt(completion("yes"), PROBLEM, 0, completes, "m")
    with pytest.raises(BadReply, match="no chat completion"):
        attempt(reply)


def test_a_field_beyond_openais_own_is_sent_only_where_it_says_something() -> None:
    plain = payload(PROBLEM, 0, asking(sampling=Sampling(top_k=0, min_p=0)), "m")
    assert not {"top_k", "min_p", "chat_template_kwargs"} & set(plain)
    assert not {"presence_penalty", "frequency_penalty"} & set(plain)
    penalised = payload(PROBLEM, 0, asking(sampling=Sampling(presence_penalty=0.1, frequency_penalty=-0.2)), "m")
    assert (penalised["presence_penalty"], penalised["frequency_penalty"]) == (0.1, -0.2)
    more = payload(PROBLEM, 0, asking(sampling=Sampling(min_p=0.1), thinking=False), "m")
    assert (more["min_p"], more["chat_template_kwargs"]) == (0.1, {"enable_thinking": False})


def test_the_template_is_what_the_teacher_is_asked_and_worked_examples_are_earlier_turns() -> None:
    how = asking(prompt_template="Think hard: {prompt} {x}", worked_examples=(WorkedExample(prompt="0 + 1?", response="1"),))
    turns = [(turn["role"], turn["content"]) for turn in payload(PROBLEM, 0, how, "m")["messages"]]
    assert turns == [("user", "0 + 1?"), ("assistant", "1"), ("user", "Think hard: 1 + 1? {x}")]


def test_tokens_the_end_and_who_measured_come_from_the_answer() -> None:
    found = attempt(completion("2", finish_reason="length", num_tokens=7))
    assert (found.text, found.num_tokens, found.finish_reason, found.cap) == ("2", 7, "length", 16384)
    assert json.loads(found.conditions) == {"engine": "endpoint", "model": "teacher-1"}


def test_an_answer_without_a_count_has_no_count() -> None:
    assert attempt({**completion("2"), "usage": None}).num_tokens == 0


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_that_the_server_took_out_is_put_back(field: str) -> None:
    assert attempt(completion("It is 2.", **{field: "one and one"})).text == "<think>\none and one\n</think>\n\nIt is 2."


def test_thinking_that_was_cut_stays_open() -> None:
    assert attempt(completion("", finish_reason="length", reasoning_content="one and")).text == "<think>\none and"


def test_an_answer_that_the_server_broke_off_is_no_answer_and_says_why() -> None:
    found = attempt(completion("It is", finish_reason="content_filter"))
    assert (found.finish_reason, found.text) == ("refused", "")
    assert "content_filter" in found.explanation


@pytest.mark.parametrize("reply", [None, [], "2", {}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": {"content": 2}}]}])
def test_nonsense_is_no_attempt(reply: Any) -> None:
    if isinstance(reply, dict) and reply.get("choices") and "message" in reply["choices"][0]:
        reply["choices"][0]["finish_reason"] = "stop"
    with pytest.raises(BadReply, match="an answer"):
        attempt(reply)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("Unrecognized request argument supplied: top_k", "top_k: 0"),
        ("Unknown parameter: 'min_p'.", "min_p: 0"),
        ("body.chat_template_kwargs: Extra inputs are not permitted", "Leave `thinking` out"),
        ("This model's maximum context length is 4096 tokens", ""),
        ("the prompt says top_k, and is too long", ""),
    ],
)
def test_a_field_that_a_server_does_not_know_is_told_from_a_prompt_that_it_refuses(text: str, mend: str) -> None:
    assert mend in fault_of(text)
    assert bool(fault_of(text)) == bool(mend)
