"""A real server that is busy, slow, strict or mad: what is tried again, what is a row with a reason, and what ends the study."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from chat_server import Answer, ChatServer, Said, completion, serving

from ray_study.config import Endpoint, Sampling
from ray_study.generate import Answered, Asking, EndpointUnavailable, Server, TryFailed, Usage
from ray_study.rows import Attempt, Problem

KEY = "test-key-0123456789"
PROBLEM = Problem(id="p1", source="made", kind="exact", prompt="1 + 1?", answer="2", cluster="p1", solution="")
ASKING = Asking(num_samples=1, sampling=Sampling(max_tokens=50), positions=50, seed_parts=(0, "test"), worked_examples=(), thinking=None)
GOOD = Said(body=completion("2"))


def ask(answer: Answer, *, key: str | None = None, **settings: Any) -> tuple[Attempt, ChatServer]:
    """The attempt, and the server with what it was asked."""
    with serving(answer) as server:
        endpoint = Endpoint(url=server.url, model="m", key_from="TEACHER_KEY" if key else None, **settings)
        return Server(endpoint, key=key, first_wait_seconds=0.001).attempt(PROBLEM, 0, ASKING), server


@pytest.mark.parametrize(
    "first",
    [
        Said(status=429, body={"error": {"message": "slow down"}}, headers={"Retry-After": "0"}),
        Said(status=429, body={}, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        Said(status=503, raw=b"<html>away</html>"),
        Said(status=500, body=None),
        Said(raw=b"not json"),
        Said(body={"choices": []}),
        Said(raw=b"", headers={"Content-Length": "500"}),
    ],
    ids=["429", "429 until a date", "503", "500", "not JSON", "no choice", "cut off"],
)
def test_what_may_pass_is_tried_again_with_the_same_request(first: Said) -> None:
    attempt, server = ask(lambda _, before: first if before < 2 else GOOD, timeout_seconds=1)
    assert (attempt.text, attempt.finish_reason) == ("2", "stop")
    assert len(server.asked) == 3
    assert server.asked[0] == server.asked[2]


def test_a_server_that_does_not_answer_in_time_is_asked_again() -> None:
    attempt, server = ask(lambda _, before: Said(body=completion("late"), wait_seconds=30) if before == 0 else GOOD, timeout_seconds=0.3)
    assert attempt.text == "2"
    assert len(server.asked) == 2


NOT_SAID = Usage(input_tokens=None, output_tokens=None)


@pytest.mark.parametrize(
    ("first", "billed"),
    [
        (Said(status=429, body={}, headers={"Retry-After": "0"}), None),
        (Said(status=503, body={}), None),
        (Said(raw=b"not json"), NOT_SAID),
        (Said(raw=b"", headers={"Content-Length": "500"}), NOT_SAID),
        (Said(body=completion("late"), wait_seconds=30), NOT_SAID),
        (Said(body={"choices": [], "usage": {"prompt_tokens": 8}}), Usage(input_tokens=8, output_tokens=None)),
    ],
    ids=["429", "503", "not JSON", "cut off", "late", "no choice"],
)
def test_whoever_makes_the_tries_is_told_which_of_them_may_be_billed(first: Said, billed: Usage | None) -> None:
    with serving(lambda _, before: first if before == 0 else GOOD) as server:
        told, got = tried(server.url)
    assert told == [billed]
    assert got is not None
    assert got.usage == Usage(input_tokens=9, output_tokens=3)
    assert len(server.asked) == 2


def test_a_connection_that_is_refused_may_not_be_billed() -> None:
    with serving(lambda *_: GOOD) as server:
        pass
    told, got = tried(server.url)
    assert (told, got) == ([None] * 10, None)


def tried(url: str) -> tuple[list[Usage | None], Answered | None]:
    """What the tries that failed may cost, and the answer where one came."""
    told: list[Usage | None] = []

    def once(ask: Callable[[], Answered]) -> Answered:
        try:
            return ask()
        except TryFailed as error:
            told.append(error.billed)
            raise

    server = Server(Endpoint(url=url, model="m", timeout_seconds=0.5), key=None, first_wait_seconds=0.0001)
    try:
        return told, server.answered(PROBLEM, 0, ASKING, once)
    except EndpointUnavailable:
        return told, None


def test_an_answer_that_the_server_cut_for_another_reason_says_what_it_took() -> None:
    with serving(lambda *_: Said(body=completion("", finish_reason="content_filter", num_tokens=40))) as server:
        _, got = tried(server.url)
    assert got is not None
    assert (got.attempt.finish_reason, got.usage) == ("refused", Usage(input_tokens=9, output_tokens=40))


def test_a_server_that_stays_away_ends_the_stage_with_what_it_said_and_a_mend() -> None:
    with pytest.raises(
        EndpointUnavailable, match=r"failed 10 times, at last with status 503: gone fishing; shards that are whole are kept"
    ):
        ask(lambda *_: Said(status=503, body={"error": {"message": "gone fishing"}}))


def test_a_prompt_that_is_refused_is_one_row_with_its_reason_and_is_not_asked_again() -> None:
    attempt, server = ask(lambda *_: Said(status=400, body={"error": {"message": "the prompt is too long"}}))
    assert (attempt.finish_reason, attempt.text, len(server.asked)) == ("refused", "", 1)
    assert "status 400: the prompt is too long" in attempt.explanation


def test_a_server_that_does_not_know_a_field_stops_the_study_with_the_mend() -> None:
    with pytest.raises(ValueError, match=r"Unrecognized request argument supplied: top_k\. Set sampling\.top_k: 0"):
        ask(lambda *_: Said(status=400, body={"error": {"message": "Unrecognized request argument supplied: top_k"}}))


def test_the_key_is_sent_as_a_header_and_in_no_body() -> None:
    _, server = ask(lambda *_: GOOD, key=KEY)
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert server.asked[0]["path"] == "/v1/chat/completions"
    assert KEY not in str(server.asked)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 503])
def test_a_server_that_repeats_the_key_does_not_bring_it_into_an_error_or_a_log(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown = ""
    try:
        attempt, _ = ask(lambda *_: Said(status=status, body={"error": {"message": f"Incorrect API key provided: {KEY}"}}), key=KEY)
        shown = repr(attempt)
    except (ValueError, EndpointUnavailable) as error:
        shown = f"{error!r} {error.__cause__!r} {error.__context__!r}"
    assert str(status) in shown
    assert KEY not in shown + caplog.text


def test_a_key_that_no_header_may_hold_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="TEACHER_KEY is empty or has characters") as error:
        Server(Endpoint(url="http://127.0.0.1:1/v1", model="m", key_from="TEACHER_KEY"), key="secret\r\nX: y")
    assert "secret" not in str(error.value)


def test_a_redirect_is_not_followed_so_the_key_goes_nowhere_else() -> None:
    with serving(lambda *_: GOOD) as elsewhere:
        target = f"{elsewhere.url}/chat/completions"
        with pytest.raises(ValueError, match=r"points elsewhere \(status 307\)"):
            ask(lambda *_: Said(status=307, headers={"Location": target}, body={}), key=KEY)
    assert elsewhere.asked == []


def test_an_address_is_shown_without_what_may_be_a_secret() -> None:
    endpoint = Endpoint(url="https://host.example/v1/?api-version=abc", model="m")
    assert Server(endpoint, key=None).name == endpoint.public_url == "https://host.example/v1"
