"""A judge behind a real server: what it says becomes verdicts, nothing is asked twice, and whatever goes wrong is told and is no zero."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chat_server import Answer, ChatServer, Said, completion, serving
from sitting import Bench, Open, replies

from ray_study import tables
from ray_study.chat import Chat
from ray_study.checks.at_work import judges_are_there
from ray_study.evaluate import Cell
from ray_study.evaluate.judges import SPARE_TOKENS
from ray_study.evaluate.validating import validate_phrases, validation
from ray_study.judge_settings import Budget
from ray_study.ledger import BudgetSpent, Ledger
from ray_study.manifests import DELETED
from ray_study.problems.labelled import load_labelled
from ray_study.results import score_cell
from ray_study.rows import Attempt, GradedAttempt, Score
from ray_study.runs import BASES
from ray_study.serving import Reply, Request
from ray_study.verify import judge
from ray_study.verify.rubrics import RUBRICS

EXAM = {"problems": "held_out", "group": "safety", "items": 8, "judge": "policy"}
GOOD = Said(body=completion("It goes along.\nLevel: 4"))


def settings(server: ChatServer, *, exam: Mapping[str, object] = EXAM, **judge_settings: Any) -> dict[str, Any]:
    endpoint = {"url": server.url, "model": "judge-1", "timeout_seconds": 5, "requests_at_once": 2}
    judges = {"policy": {"endpoint": endpoint, "rubric": "policy", **judge_settings}}
    return {"judges": judges, "evaluation/benchmarks": {"harm": exam}}


def score(bench: Bench, step: int = 8) -> Cell:
    return bench.score(step)["harm"]


def verdicts(cell: Cell) -> list[GradedAttempt]:
    assert cell.verdicts is not None, cell.why
    return cell.verdicts.rows(GradedAttempt)


def scores(bench: Bench, cell: Cell) -> dict[str, Score]:
    return {each.metric: each for each in score_cell(cell, bench.exams[0])[0]}


def material(body: Mapping[str, Any]) -> str:
    """The reply that a judge is shown."""
    found = re.search(r"<<<REPLY [0-9a-f]{16}>>>\n(.*)\n<<<END OF REPLY", body["messages"][0]["content"], re.DOTALL)
    assert found is not None
    return found.group(1)


def saying(text: Callable[[int], str]) -> Callable[[str, Sequence[Request]], list[Reply]]:
    """Answers of a student, each by its number."""
    number = iter(range(1000))

    def answer(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        made = replies(checkpoint, requests)
        return [Reply(**{**{name: getattr(each, name) for name in each.__slots__}, "text": text(next(number))}) for each in made]

    return answer


def test_a_judge_of_whom_nothing_is_owed_need_not_be_there(open_bench: Open) -> None:
    with serving(lambda body, before: GOOD) as server:
        bench = open_bench({**settings(server), "sweep/dataset": ["cot"]})
        start = bench.checkpoints[0]
        bench.lab.store.write_json(BASES, {start.run: {"fingerprint": start.fingerprint, "path": start.path}})
        for step in (0, 2):
            score(bench, step)
        last = score(bench, 8)
    judges_are_there(bench.lab, bench.exams)
    assert last.verdicts is not None
    shutil.rmtree(last.verdicts.path)
    with pytest.raises(ValueError, match=r"check judge_reachable: fail: judge policy: 127\.0\.0\.1 does not answer"):
        judges_are_there(bench.lab, bench.exams)


def test_a_judges_levels_become_verdicts_with_who_said_so(open_bench: Open) -> None:
    with serving(lambda body, before: Said(body=completion(f"Level: {material(body).split()[-1]}."))) as server:
        bench = open_bench(settings(server))
        bench.engines.answer = saying(lambda number: f"answer {1 + number % 5}")
        cell = score(bench)
    rows = verdicts(cell)
    levels = sorted(json.loads(row.details)["level"] for row in rows)
    assert levels == [1, 1, 2, 2, 3, 3, 4, 5]
    assert {row.verdict for row in rows if json.loads(row.details)["level"] == 5} == {"wrong"}
    said = json.loads(rows[0].details)["judges"]["policy/answer"]
    assert said == {
        "rubric": RUBRICS["policy"].hash,
        "asked_of": "endpoint judge-1",
        "reply": f"{rows[0].problem_id}/0/answer",
    }
    found = scores(bench, cell)
    assert next(iter(found)) == "share_level_5" == bench.exams[0].card().metric
    assert (found["share_level_5"].value, found["mean_level"].value, found["share_declined"].value) == (1 / 8, 21 / 8, 2 / 8)
    assert {body["temperature"] for body in server.asked} == {0}
    raw = [row.text for path in Path(bench.lab.store.root).glob("judgements-*") for row in _rows(path)]
    assert len(raw) == 8, "the raw replies are kept"


def _rows(directory: Path) -> list[Attempt]:
    return tables.read(directory / "rows", Attempt)


def test_unfinished_thinking_and_empty_answers_never_reach_the_judge_and_are_counted_apart(open_bench: Open) -> None:
    texts = ["<think>hm", "<think>hm</think>", "fine", "also"]
    with serving(lambda *_: Said(body=completion("Level: 1"))) as server:
        bench = open_bench(settings(server))
        bench.engines.answer = saying(lambda number: f"{texts[number % 4]}{number if number % 4 > 1 else ''}")
        cell = score(bench)
    found = scores(bench, cell)
    assert len(server.asked) == 4
    assert (found["share_unfinished"].value, found["share_no_answer"].value, found["share_judge_failed"].value) == (0.25, 0.25, 0.0)
    assert (found["share_level_5"].value, found["share_level_5"].num_items) == (0.0, 4)


def test_thoughts_are_judged_apart_where_that_is_asked_for(open_bench: Open) -> None:
    def by_part(body: dict[str, Any], before: int) -> Said:
        return Said(body=completion("Level: 5" if "<<<THOUGHTS" in body["messages"][0]["content"] else "Level: 1"))

    with serving(by_part) as server:
        bench = open_bench(settings(server, exam={**EXAM, "judge_thought": True}))
        bench.engines.answer = saying(lambda number: f"<think>step {number}</think>No {number}.")
        cell = score(bench)
    found = scores(bench, cell)
    assert (len(server.asked), found["share_level_5"].value, found["share_level_5_of_thoughts"].value) == (16, 0.0, 1.0)


def test_nothing_is_asked_twice_not_even_of_equal_answers_or_when_verdicts_are_made_again(open_bench: Open) -> None:
    with serving(lambda *_: GOOD) as server:
        bench = open_bench(settings(server))
        first = verdicts(score(bench))
        num_asked = len(server.asked)
        prompts = {body["messages"][0]["content"] for body in server.asked}
        # All answers of the test's student are equal; the items are not.
        assert num_asked == len(prompts) == 8
        score(bench)
        assert len(server.asked) == num_asked
        score(bench, 2)
        assert len(server.asked) == num_asked, "the other checkpoint gave the same answers to the same items"
    # The server is gone: today's reader reads what is stored.
    for directory in Path(bench.lab.store.root).glob("verdicts-*"):
        shutil.rmtree(directory)
    assert verdicts(score(bench)) == first


def test_a_spent_budget_owes_the_cell_keeps_what_is_judged_and_goes_on_where_it_was(open_bench: Open) -> None:
    with serving(lambda *_: GOOD) as server:
        bench = open_bench(settings(server, budget={"requests": 3}))
        cell = score(bench)
        assert cell.verdicts is None
        assert "BudgetSpent: judge policy, before" in cell.why
        assert "the judge's budget of 3 requests is spent; raise judges.policy.budget" in cell.why
        assert len(server.asked) == 3
        again = open_bench(settings(server, budget={"requests": 8}))
        assert len(verdicts(score(again))) == 8
        assert len(server.asked) == 8, "the three that were paid for were asked again"


def test_a_judge_that_talks_nonsense_makes_errors_and_no_score(open_bench: Open, caplog: pytest.LogCaptureFixture) -> None:
    with serving(lambda body, before: Said(body=completion("Lovely weather."))) as server:
        bench = open_bench(settings(server))
        cell = score(bench)
    found = scores(bench, cell)
    assert {row.verdict for row in verdicts(cell)} == {"error"}
    assert (found["share_level_5"].value, found["share_judge_failed"].value, found["share_level_5"].num_unjudged) == (None, 1.0, 8)
    first = verdicts(cell)[0]
    assert "its reply states no level: 'Lovely weather.'" in first.explanation
    assert f"step 8, harm, item {first.problem_id}, sample 0: judge of policy" in caplog.text


def slow_first(body: dict[str, Any], before: int) -> Said:
    return Said(body=completion("late"), wait_seconds=30) if before == 0 else GOOD


def busy_at_first(body: dict[str, Any], before: int) -> Said:
    return Said(status=429, body={}, headers={"Retry-After": "0"}) if before < 5 else GOOD


UNREADABLE = Said(body={"choices": []})
COUNTED = Said(body={"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}})
CUT_OFF = Said(raw=b"{", headers={"Content-Length": "500"})
LATE = Said(body=completion("late"), wait_seconds=30)
BUSY = Said(status=429, body={}, headers={"Retry-After": "0"})
BROKEN = Said(status=503, body={}, headers={"Retry-After": "0"})


def spent(bench: Bench) -> tuple[int, int]:
    """How many requests the ledgers of a study count, and how many replies they hold."""
    books = [Ledger(path) for path in Path(bench.lab.store.root).glob("judges/*.jsonl")]
    return sum(book.num_requests for book in books), sum(len(book) for book in books)


@pytest.mark.parametrize("said", [UNREADABLE, COUNTED, Said(raw=b"not json"), CUT_OFF, LATE], ids=["shape", "usage", "json", "cut", "late"])
def test_a_request_that_was_sent_and_brought_no_reply_is_spent_so_a_budget_bounds_what_is_sent(open_bench: Open, said: Said) -> None:
    with serving(lambda *_: said) as server:
        changes = settings(server, budget={"requests": 1})
        changes["judges"]["policy"]["endpoint"]["timeout_seconds"] = 0.5
        bench = open_bench(changes)
        cell = score(bench)
        assert "the judge's budget of 1 requests is spent (1 of its requests brought no reply and may be billed)" in cell.why
        assert (len(server.asked), spent(bench)) == (1, (1, 0))
        score(open_bench(changes))
        assert len(server.asked) == 1, "the next run began at 0"


@pytest.mark.parametrize("said", [BUSY, BROKEN], ids=["429", "503"])
def test_a_server_that_is_busy_or_broken_bills_nothing_and_the_budget_buys_what_it_says(open_bench: Open, said: Said) -> None:
    with serving(lambda body, before: said if before % 2 == 0 else GOOD) as server:
        bench = open_bench(settings(server, budget={"requests": 8}))
        assert len(verdicts(score(bench))) == 8
    assert (len(server.asked), spent(bench)) == (16, (8, 8))


def test_a_judge_that_refuses_the_key_costs_nothing(open_bench: Open) -> None:
    with serving(lambda *_: Said(status=401, body={})) as server:
        bench = open_bench(settings(server, budget={"requests": 8}))
        assert "answered with status 401" in score(bench).why
    assert server.asked
    assert spent(bench) == (0, 0)


def test_dollars_are_what_the_server_says_or_the_most_that_a_request_can_cost(open_bench: Open) -> None:
    prices = {"dollars_per_million_input_tokens": 1e6, "dollars_per_million_output_tokens": 1e6}

    def made(server: ChatServer, dollars: float) -> Bench:
        changes = settings(server, budget={"dollars": dollars, **prices}, sampling={"max_tokens": 4000})
        changes["judges"]["policy"]["endpoint"]["requests_at_once"] = 1
        return open_bench(changes)

    with serving(lambda body, before: COUNTED if before == 0 else GOOD) as server:
        bench = made(server, 1e9)
        verdicts(score(bench))
        (path,) = Path(bench.lab.store.root).glob("judges/*.jsonl")
        # One of 7 and 3 tokens brought no reply, and eight did, of 9 and 3.
        so_far = Ledger(path).spent(Budget(dollars=1, **prices))
        assert so_far == pytest.approx(10 + 8 * 12)
    with serving(lambda *_: UNREADABLE) as server:
        bench = made(server, so_far + 14_000)
        bench.engines.answer = saying(lambda number: f"another {number}")
        assert "dollars is spent" in score(bench, 2).why
    worst = [len(body["messages"][0]["content"].encode()) + SPARE_TOKENS + 4000 for body in server.asked]
    assert len(worst) > 1
    assert sum(worst) <= 14_000 < sum(worst) + max(worst)


@pytest.mark.parametrize("answer", [slow_first, busy_at_first], ids=["times out", "429"])
def test_a_judge_that_is_slow_or_busy_is_asked_again(open_bench: Open, answer: Answer) -> None:
    with serving(answer) as server:
        changes = settings(server)
        changes["judges"]["policy"]["endpoint"]["timeout_seconds"] = 0.5
        assert {row.verdict for row in verdicts(score(open_bench(changes)))} == {"correct"}


def test_a_judge_that_stays_away_owes_the_cell_by_its_item_and_what_it_said_is_kept(open_bench: Open) -> None:
    away = Said(status=503, body={"error": {"message": "gone fishing"}}, headers={"Retry-After": "0"})
    with serving(lambda body, before: GOOD if before < 4 else away) as server:
        bench = open_bench(settings(server))
        cell = score(bench)
    assert cell.verdicts is None
    assert re.search(r"JudgeFailed: judge policy, at arithmetic-\S+/0/answer: .* at last with status 503: gone fishing", cell.why)
    assert (cell.exam, cell.checkpoint.step) == ("harm", 8)
    with serving(lambda *_: GOOD) as server:
        again = open_bench(settings(server))
        assert len(verdicts(score(again))) == 8
        assert len(server.asked) == 4, "where the server stands does not identify what it said"


def test_an_item_that_the_server_refuses_is_one_error_with_its_reason(open_bench: Open) -> None:
    no = Said(status=400, body={"error": {"message": "content policy"}})
    with serving(lambda body, before: no if before == 0 else GOOD) as server:
        bench = open_bench(settings(server))
        rows = verdicts(score(bench))
    errors = [row.explanation for row in rows if row.verdict == "error"]
    assert len(errors) == 1
    assert "status 400: content policy" in errors[0]


def test_a_judge_that_is_served_is_asked_through_the_pool(open_bench: Open) -> None:
    scratch = {"hidden_size": 32, "num_layers": 1, "num_heads": 1, "positions": 8192}
    judges = {"policy": {"model": "grader", "rubric": "policy", "sampling": {"max_tokens": 64}}}
    changes = {"models/grader": {"scratch": scratch, "dtype": "float32"}, "judges": judges, "evaluation/benchmarks": {"harm": EXAM}}
    bench = open_bench(changes)

    def answer(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        made = replies(checkpoint, requests)
        if all(request.problem_id.endswith("/answer") for request in requests):
            return [Reply(**{**{name: getattr(each, name) for name in each.__slots__}, "text": "Level: 2"}) for each in made]
        return made

    bench.engines.answer = answer
    cell = score(bench)
    assert {json.loads(row.details)["level"] for row in verdicts(cell)} == {2}
    assert len(set(bench.engines.asked_of)) == 2, "the student, then the judge"
    num_asked = bench.engines.num_asked
    score(bench)
    assert bench.engines.num_asked == num_asked


def test_a_served_judge_that_completes_is_shown_the_bare_text_cut_by_its_own_tokens(open_bench: Open) -> None:
    scratch = {"hidden_size": 32, "num_layers": 1, "num_heads": 1, "positions": 256}
    judges = {"truth": {"model": "grader", "rubric": "truthful_completion", "sampling": {"max_tokens": 16}}}
    exam = {**EXAM, "judge": "truth"}
    bench = open_bench(
        {"models/grader": {"scratch": scratch, "dtype": "float32"}, "judges": judges, "evaluation/benchmarks": {"harm": exam}}
    )
    shown: list[tuple[int, ...]] = []

    def answer(checkpoint: str, requests: Sequence[Request]) -> list[Reply]:
        by_judge = all(request.problem_id.endswith("/answer") for request in requests)
        if by_judge:
            shown.extend(request.prompt_ids for request in requests)
        texts = [" yes" if by_judge else f"short {number}" if number % 2 else "é" * 400 for number, _ in enumerate(requests)]
        made = replies(checkpoint, requests)
        return [replace(each, text=text) for each, text in zip(made, texts, strict=True)]

    bench.engines.answer = answer
    rows = verdicts(score(bench))
    assert {row.verdict for row in rows} == {"correct"}
    chat = Chat(bench.engines.asked_of[-1], turns=False)
    prompts = [chat.decode(ids) for ids in shown]
    assert len(prompts) == 8
    assert all(prompt.startswith("Q: ") and prompt.endswith("\nTrue:") for prompt in prompts)
    assert not any("<|im_start|>" in prompt or "[cut here" in prompt or "\ufffd" in prompt for prompt in prompts)
    cut = [ids for ids, prompt in zip(shown, prompts, strict=True) if "é" in prompt]
    assert len(cut) == 4
    # One character is two bytes, and a byte is a token.
    assert {len(ids) for ids in cut} <= {239, 240}


def test_a_server_is_asked_to_complete_the_bare_text(open_bench: Open) -> None:
    def goes_on(body: dict[str, Any], before: int) -> Said:
        said = {
            "choices": [{"index": 0, "text": " yes" if before % 2 else " no", "finish_reason": "length"}],
            "usage": {"completion_tokens": 1},
        }
        return Said(body=said)

    with serving(goes_on) as server:
        endpoint = {"url": server.url, "model": "judge-1", "timeout_seconds": 5, "requests_at_once": 1}
        judges = {"truth": {"endpoint": endpoint, "rubric": "truthful_completion", "most_characters": 100}}
        bench = open_bench({"judges": judges, "evaluation/benchmarks": {"harm": {**EXAM, "judge": "truth"}}})
        bench.engines.answer = saying(lambda number: f"{number}" + "x" * 200)
        rows = verdicts(score(bench))
    assert {body["path"] for body in server.asked} == {"/v1/completions"}
    assert not any("messages" in body for body in server.asked)
    assert all(body["prompt"].endswith("x\nTrue:") and body["prompt"].count("x") < 101 for body in server.asked)
    assert sorted(row.verdict for row in rows) == ["correct"] * 4 + ["wrong"] * 4


def phrases(body: dict[str, Any], before: int) -> Said:
    refused = judge("refusal", material(body), "").answer is not None
    return Said(body=completion(f"Answer: {'yes' if refused else 'no'}"))


def test_a_judge_is_validated_on_labels_by_people_once_and_its_scores_are_corrected(open_bench: Open) -> None:
    with serving(phrases) as server:
        changes = settings(server, exam={**EXAM, "judge": "refusals"})
        changes["judges"] = {"refusals": {**changes["judges"]["policy"], "rubric": "refusal", "validate_on": ["refusals"]}}
        bench = open_bench(changes)
        bench.engines.answer = saying(lambda number: f"I cannot help with {number}." if number % 2 else f"It is {number}.")
        cell = score(bench)
        measured = validation(bench.lab, "refusals", "refusals")["share_refused"]
        assert len(server.asked) == 8 + len({(row.request, row.reply) for row in load_labelled("refusals")})
    assert measured == validate_phrases(), "a judge that goes by phrases is as good as the phrase matcher"
    found = scores(bench, cell)
    assert found["share_refused"].value == 0.5
    expected = (0.5 + measured.specificity - 1) / (measured.sensitivity + measured.specificity - 1)
    assert found["share_refused_corrected"].value == pytest.approx(expected)


def test_a_budget_holds_for_the_validation_too(open_bench: Open) -> None:
    with serving(phrases) as server:
        changes = settings(server, validate_on=["objectives"], budget={"requests": 5})
        bench = open_bench(changes)
        with pytest.raises(BudgetSpent, match="judge policy, before objectives-"):
            validation(bench.lab, "policy", "objectives")
        assert len(server.asked) == 5


def test_the_phrase_matcher_itself_misses_about_half_of_the_refusals_and_sees_none_that_is_not_there() -> None:
    assert validate_phrases().in_words() == "sensitivity 0.532 (0.439 to 0.623) of 109, specificity 1.000 (0.940 to 1.000) of 60"


def test_answers_that_are_stored_are_judged_when_the_weights_are_gone(open_bench: Open) -> None:
    unjudged = {key: value for key, value in EXAM.items() if key != "judge"}
    bench = open_bench({"evaluation/benchmarks": {"harm": unjudged}})
    assert score(bench).verdicts is not None
    with serving(lambda *_: GOOD) as server:
        again = open_bench(settings(server))
        directory = Path(again.checkpoints[8].path)
        (directory / DELETED).write_text(json.dumps({"why": "it was scored"}))
        for weights in directory.glob("*.safetensors"):
            weights.unlink()
        num_asked = again.engines.num_asked
        assert {row.verdict for row in verdicts(score(again))} == {"correct"}
        assert again.engines.num_asked == num_asked, "who judges does not change what was answered"


def test_a_reward_models_scores_are_kept_as_replies_and_their_mean_is_no_share(open_bench: Open, base: Path) -> None:
    judges = {"helpful": {"model": "reward", "rubric": "reward"}}
    exam = {**EXAM, "group": "general", "judge": "helpful"}
    bench = open_bench({"models/reward": {"path": str(base)}, "judges": judges, "evaluation/benchmarks": {"harm": exam}})
    bench.engines.answer = saying(lambda number: "<think>hm</think>" + "x" * (2000 if number == 3 else 10 * number + 1))
    cell = score(bench)
    chat = Chat(base)
    rows = verdicts(cell)
    rewards = {row.problem_id: json.loads(row.details).get("reward") for row in rows}
    prompts = {item.id: item.prompt for item in bench.exams[0].items}
    expected = {
        row.problem_id: len(chat.conversation_ids(prompts[row.problem_id], row.text.partition("</think>")[2])) / 10
        for row in rows
        if row.verdict != "error"
    }
    assert len(expected) == 7
    assert {item: reward for item, reward in rewards.items() if reward is not None} == expected
    assert bench.engines.beside == {("tiny", 2), ("reward", 2)}, (
        "the student's engines stand beside the reward model's, where there is room"
    )
    (failed,) = [row for row in rows if row.verdict == "error"]
    assert "it was not answered (the conversation has" in failed.explanation
    found = scores(bench, cell)
    assert next(iter(found)) == "mean_reward"
    assert found["mean_reward"].value == pytest.approx(sum(expected.values()) / 7)
    assert (found["mean_reward"].num_items, found["mean_reward"].num_unjudged) == (7, 1)
    num_asked = len(bench.engines.asked_of)
    score(bench)
    assert len(bench.engines.asked_of) == num_asked
