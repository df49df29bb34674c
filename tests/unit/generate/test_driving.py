"""What a task does with a cut: it reads its problems, renders their prompts, and keeps answers with what is known of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from ray import cloudpickle

from ray_study import tables, verify
from ray_study.chat import Chat
from ray_study.config import Sampling
from ray_study.generate import Asking, Cut, Rule, cuts, read_facts, shards
from ray_study.generate.driving import Job, _make, _problems, done, render
from ray_study.model_files import byte_tokenizer
from ray_study.rows import Attempt, Problem
from ray_study.serving import Reply, Request

ASKING = Asking(num_samples=3, sampling=Sampling(max_tokens=9), positions=64, seed_parts=(0,), worked_examples=(), thinking=None)


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    directory = tmp_path_factory.mktemp("chat")
    byte_tokenizer().save_pretrained(directory)
    return Chat(directory)


def problem(number: int, prompt: str = "") -> Problem:
    return Problem(id=f"p{number}", source="made", kind="exact", prompt=prompt or f"{number}?", answer="2", cluster="c", solution="")


def table(directory: Path, problems: list[Problem]) -> str:
    """The problems in two files, as a source may write them."""
    tables.write(problems[:2], directory / "000000.parquet", Problem)
    tables.write(problems[2:], directory / "000001.parquet", Problem)
    return str(directory)


def cut_all(problems: list[Problem], shard_size: int) -> list[Cut]:
    ids = [each.id for each in problems]
    round_ = Rule(num_attempts=3).next(0, ids, {}, frozenset())
    assert round_ is not None
    return list(cuts(round_, ids, shard_size=shard_size))


def reply(request: Request) -> Reply:
    return Reply(
        problem_id=request.problem_id, sample=request.sample, text="\\boxed{2}", num_tokens=2, finish_reason="stop", served="f" * 16,
        conditions='{"engine": "x"}', seconds=0.1,
    )  # fmt: skip


@pytest.mark.parametrize("shard_size", [1, 2, 4, 100])
def test_every_cut_asks_the_same_requests(chat: Chat, tmp_path: Path, shard_size: int) -> None:
    problems = [problem(number) for number in range(5)]
    directory = table(tmp_path / "problems", problems)
    made = [render(cut, _problems(directory, cut.rows), chat, ASKING) for cut in cut_all(problems, shard_size)]
    whole = shards(problems, chat, asking=ASKING, shard_size=100)
    assert [request for shard in made for request in shard.requests] == whole[0].requests
    assert [shard.name for shard in made] == [shard.name for shard in shards(problems, chat, asking=ASKING, shard_size=shard_size)]


def test_the_template_is_what_a_model_is_asked(chat: Chat) -> None:
    how = replace(ASKING, num_samples=1, positions=200, prompt_template="Add: {prompt}")
    (shard,) = shards([problem(1, "1 + 1?")], chat, asking=how, shard_size=1)
    assert shard.requests[0].prompt_ids == chat.prompt("Add: 1 + 1?").ids


def test_a_shard_is_written_and_judged_and_a_prompt_that_is_too_long_is_a_row_of_it(chat: Chat, tmp_path: Path) -> None:
    problems = [problem(0), problem(1, "x" * 99), problem(2)]
    job = Job(problems=table(tmp_path / "problems", problems), path=str(tmp_path), asking=ASKING, judge=verify.grade, shard_size=100)
    (cut,) = cut_all(problems, 100)
    chosen = _problems(job.problems, cut.rows)
    asked: list[int] = []

    def answer() -> list[Attempt]:
        shard = render(cut, chosen, chat, ASKING)
        asked.append(len(shard.requests))
        return shard.attempts([reply(request) for request in shard.requests])

    _make(cut, chosen, job, answer)
    assert done(job.path) == {cut.name}
    facts = read_facts(job.path, cut.name)
    assert [fact.verdict for fact in facts] == ["correct"] * 3 + ["error"] * 3 + ["correct"] * 3
    assert [fact.finish_reason for fact in facts] == ["stop"] * 3 + ["refused"] * 3 + ["stop"] * 3
    (tmp_path / "facts" / f"{cut.name}.parquet").unlink()
    assert done(job.path) == set()
    _make(cut, chosen, job, answer)
    assert (done(job.path), asked) == ({cut.name}, [6]), "answers that are written are judged, not asked again"
    assert read_facts(job.path, cut.name) == facts


def test_what_goes_to_tasks_holds_no_problem(tmp_path: Path) -> None:
    problems = [problem(number, f"a long prompt, number {number}") for number in range(3)]
    job = Job(problems=table(tmp_path / "problems", problems), path=str(tmp_path), asking=ASKING, judge=verify.grade, shard_size=1)
    sent = cloudpickle.dumps(job) + json.dumps([[cut.name, cut.rows, cut.samples] for cut in cut_all(problems, 1)]).encode()
    assert b"a long prompt" not in sent
    assert cloudpickle.loads(sent[: len(cloudpickle.dumps(job))]).judge is verify.grade
