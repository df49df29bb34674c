"""What is asked: caps, seeds, stable shards; and what becomes of the replies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ray_study.chat import Chat
from ray_study.config import Sampling
from ray_study.generate import Asking, Shard, shards, stable_seed
from ray_study.model_files import byte_tokenizer
from ray_study.rows import Problem
from ray_study.serving import Reply, Request


@pytest.fixture(scope="module")
def chat(tmp_path_factory: pytest.TempPathFactory) -> Chat:
    directory = tmp_path_factory.mktemp("chat")
    byte_tokenizer().save_pretrained(directory)
    return Chat(directory)


def problem(number: int, prompt: str = "1 + 1?") -> Problem:
    return Problem(id=f"p{number}", source="made", kind="exact", prompt=prompt, answer="2", cluster=f"p{number}", solution="")


def asking(*, num_samples: int = 1, positions: int = 256, max_tokens: int = 1000) -> Asking:
    sampling = Sampling(max_tokens=max_tokens)
    return Asking(
        num_samples=num_samples, sampling=sampling, positions=positions, seed_parts=(0, "test"), worked_examples=(), thinking=None
    )


def reply(request: Request) -> Reply:
    return Reply(
        problem_id=request.problem_id, sample=request.sample, text="2", num_tokens=2, finish_reason="stop", served="f" * 16,
        conditions='{"engine": "x"}', seconds=0.1,
    )  # fmt: skip


def test_the_cap_is_clipped_to_what_the_prompt_leaves(chat: Chat) -> None:
    (shard,) = shards([problem(1)], chat, asking=asking(), shard_size=8)
    (request,) = shard.requests
    assert request.max_tokens == 256 - len(request.prompt_ids)
    (short,) = shards([problem(1)], chat, asking=asking(max_tokens=5), shard_size=8)
    assert short.attempts([reply(each) for each in short.requests])[0].cap == 5


def test_one_over_long_prompt_fails_alone_and_says_why(chat: Chat) -> None:
    (shard,) = shards([problem(1), problem(2, "x" * 300), problem(3)], chat, asking=asking(), shard_size=8)
    attempts = shard.attempts([reply(each) for each in shard.requests])
    assert [each.finish_reason for each in attempts] == ["stop", "refused", "stop"]
    assert "no room for an answer" in attempts[1].explanation
    assert {each.conditions for each in attempts} == {'{"engine": "x"}'}


def test_a_shard_of_which_nothing_can_be_asked_is_whole_without_replies(chat: Chat) -> None:
    (shard,) = shards([problem(1, "x" * 300)], chat, asking=asking(num_samples=2), shard_size=8)
    assert shard.requests == []
    assert [each.finish_reason for each in shard.attempts([])] == ["refused", "refused"]


def test_attempts_keep_the_order_of_the_shard_whatever_the_order_of_the_replies(chat: Chat) -> None:
    (shard,) = shards([problem(number) for number in range(4)], chat, asking=asking(num_samples=2), shard_size=8)
    attempts = shard.attempts(reversed([reply(each) for each in shard.requests]))
    assert [(each.problem_id, each.sample) for each in attempts] == [(f"p{number}", sample) for number in range(4) for sample in (0, 1)]


def test_a_missing_or_foreign_reply_is_an_error_and_no_attempt(chat: Chat) -> None:
    (shard,) = shards([problem(1), problem(2)], chat, asking=asking(), shard_size=8)
    replies = [reply(each) for each in shard.requests]
    for wrong in (replies[:1], [*replies, replies[0]], [replies[0], replies[0]]):
        with pytest.raises(ValueError, match="expected 2 replies"):
            shard.attempts(wrong)


def test_shards_hold_at_most_their_size_and_are_named_alike_each_time(chat: Chat) -> None:
    def made(size: int) -> list[Shard]:
        return shards([problem(number) for number in range(5)], chat, asking=asking(num_samples=2), shard_size=size)

    assert [len(shard.asked) for shard in made(4)] == [4, 4, 2]
    assert [shard.name for shard in made(4)] == [shard.name for shard in made(4)]
    assert sorted(shard.name for shard in made(4)) == [shard.name for shard in made(4)]
    assert not {shard.name for shard in made(4)} & {shard.name for shard in made(3)}, "another cut is never taken for this one"


def test_seeds_differ_by_problem_and_sample_and_are_the_same_in_every_process(chat: Chat) -> None:
    (shard,) = shards([problem(1), problem(2)], chat, asking=asking(num_samples=2), shard_size=8)
    assert len({each.seed for each in shard.asked}) == 4
    code = "from ray_study.generate import stable_seed; print(stable_seed(0, 'test', 'p1', 1))"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path.cwd())
    assert int(elsewhere.stdout) == stable_seed(0, "test", "p1", 1) == shard.asked[1].seed
    assert 0 <= shard.asked[1].seed < 2**31


def test_whether_the_template_opened_thinking_is_kept_with_the_attempt(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template + "{% if add_generation_prompt %}<think>{% endif %}"
    tokenizer.save_pretrained(tmp_path)
    (shard,) = shards([problem(1)], Chat(tmp_path), asking=asking(), shard_size=8)
    assert shard.attempts([reply(each) for each in shard.requests])[0].thinking_opened
