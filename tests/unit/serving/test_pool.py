"""A pool with one replica: every reply is by the checkpoint that was asked, whatever happens around it."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from ray_study import tables, verify
from ray_study.chat import Chat
from ray_study.config import Sampling, ServeResources
from ray_study.generate import Asking, Rule, cuts
from ray_study.generate.driving import Job, drive
from ray_study.manifests import MANIFEST, hash_files, read_manifest, write_manifest
from ray_study.ray_cluster import connect
from ray_study.rows import Attempt, Problem
from ray_study.serving import PoolUnavailable, Reply, Request, SwapRefused
from ray_study.serving.applications import _kill_replicas, delete_all
from ray_study.serving.pool import Pool

pytestmark = pytest.mark.slow

GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=0, max_tokens=24)


@pytest.fixture(scope="module")
def pool(base: Path) -> Iterator[Pool]:
    """One Ray and one engine for all tests of this file: an engine takes half a minute to start."""
    resources = ServeResources(cpus_per_replica=1, max_num_seqs=16, kv_cache_megabytes=16)
    with (
        connect(num_cpus=2, num_gpus=0),
        Pool(str(base), resources, max_model_len=None, application="tests", shard_size=4) as opened,
    ):
        yield opened


def requests(number: int = 4, *, length: int = 20, max_tokens: int = 24) -> list[Request]:
    """Prompts of plain bytes."""
    return [
        Request(
            problem_id=f"p{index}",
            sample=0,
            prompt_ids=tuple(10 + (index * 7 + place) % 90 for place in range(length)),
            max_tokens=max_tokens,
            seed=index,
        )
        for index in range(number)
    ]


def prompts(checkpoint: Path, questions: list[str]) -> list[Request]:
    """Questions as the evaluator asks them."""
    rendered = [Chat(checkpoint).prompt(question).ids for question in questions]
    return [Request(problem_id=f"p{place}", sample=0, prompt_ids=ids, max_tokens=24, seed=0) for place, ids in enumerate(rendered)]


def texts(replies: list[Reply]) -> list[str]:
    return [reply.text for reply in replies]


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def ends(process: int) -> bool:
    """Whether the process is gone within half a minute."""
    deadline = time.monotonic() + 30
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not is_alive(process)


def descendants(process: int) -> set[int]:
    """The processes that a process started, and those that they started."""
    children = {int(child) for path in Path(f"/proc/{process}/task").glob("*/children") for child in path.read_text().split()}
    return children.union(*(descendants(child) for child in children))


def test_every_reply_carries_what_was_loaded_and_what_measured_it(pool: Pool, base: Path) -> None:
    replies = pool.ask(str(base), requests(), GREEDY)
    assert {reply.served for reply in replies} == {read_manifest(base).fingerprint}
    assert [reply.problem_id for reply in replies] == ["p0", "p1", "p2", "p3"]
    assert {(reply.num_tokens, reply.finish_reason) for reply in replies} == {(24, "length")}
    (conditions,) = {reply.conditions for reply in replies}
    assert set(json.loads(conditions)) == {"device", "dtype", "engine", "max_num_seqs", "prefix_caching", "tensor_parallel", "torch"}


def test_a_reply_says_how_long_it_took_how_likely_it_was_and_what_it_waited_for(pool: Pool, base: Path, stopping: Path) -> None:
    pool.ask(str(base), requests(1), GREEDY)
    (asked,) = requests(1)
    (reply,) = pool.ask(str(stopping), [asked], GREEDY)
    assert reply.turn is not None
    assert reply.turn.num_starts == 0
    assert 0 <= reply.turn.drained_seconds < 60
    assert min(reply.turn.loaded_seconds, reply.turn.attested_seconds, reply.seconds) > 0
    with torch.no_grad():
        logits = AutoModelForCausalLM.from_pretrained(stopping)(torch.tensor([asked.prompt_ids])).logits[0, -1]
    # Its one token, the end token, by the trainer's own arithmetic.
    assert reply.logprob == pytest.approx(float(logits.log_softmax(0).max()), abs=1e-3)
    (again,) = pool.ask(str(stopping), [dataclasses.replace(asked, logprobs=False)], GREEDY)
    assert (again.text, again.logprob, again.turn) == (reply.text, None, None)


def test_checkpoints_take_turns_on_one_engine_and_each_answers_as_itself(pool: Pool, base: Path, stranger: Path) -> None:
    processes = pool.handle.replicas.processes.remote().result()
    first = {path: texts(pool.ask(str(path), requests(), GREEDY)) for path in (base, stranger)}
    again = {path: texts(pool.ask(str(path), requests(), GREEDY)) for path in (stranger, base)}
    assert first == again
    assert first[base] != first[stranger]
    assert pool.handle.replicas.processes.remote().result() == processes, "an engine was started instead of a swap"


def test_interleaved_shards_of_two_checkpoints_each_get_their_own_greedy_output(pool: Pool, base: Path, stranger: Path) -> None:
    alone = {path: texts(pool.ask(str(path), requests(), GREEDY)) for path in (base, stranger)}
    # Past the pool's own admission, so that both are in flight on the one replica at once.
    before = [pool._threads.submit(pool.handle.ask, str(path), requests(), GREEDY) for _ in range(4) for path in (base, stranger)]
    for future, path in zip(before, [base, stranger] * 4, strict=True):
        replies = future.result()
        assert {reply.served for reply in replies} == {read_manifest(path).fingerprint}
        assert texts(replies) == alone[path]


def test_a_checkpoint_that_waits_for_anothers_shard_says_how_long(pool: Pool, base: Path, stranger: Path) -> None:
    pool.ask(str(base), requests(1), GREEDY)
    # Past the pool's own admission, which would let the second wait before it is asked.
    answering = pool._threads.submit(pool.handle.ask, str(base), requests(16, max_tokens=230), GREEDY)
    time.sleep(0.3)
    assert not answering.done()
    asked, ended = time.monotonic(), list[float]()
    answering.add_done_callback(lambda _: ended.append(time.monotonic()))
    reply, *_ = pool.handle.ask(str(stranger), requests(1), GREEDY)
    answering.result()
    assert reply.turn is not None
    # The rest of the wait is Serve's: what it takes to carry a shard there and its replies back.
    assert reply.turn.drained_seconds == pytest.approx(ended[0] - asked, abs=max(0.3, (ended[0] - asked) / 2))
    assert reply.turn.drained_seconds > 0.1


def test_two_replicas_answer_two_checkpoints_at_once_and_one_checkpoint_fills_both(pool: Pool, base: Path, stranger: Path) -> None:
    alone = {path: texts(pool.ask(str(path), requests(), GREEDY)) for path in (base, stranger)}
    resources = ServeResources(replicas=2, cpus_per_replica=1, max_num_seqs=8, kv_cache_megabytes=16)
    with Pool(str(base), resources, max_model_len=None, application="two", shard_size=4) as two:
        # Many times as long as a swap takes, also where the machine is busy.
        long = two.submit(str(base), requests(64, max_tokens=230), GREEDY)
        while not two._admission._asked:
            time.sleep(0.001)
        time.sleep(1.0)
        other = two.ask(str(stranger), requests(), GREEDY)
        assert not long.done(), "the next checkpoint waited for a replica that another holds"
        assert texts(other) == alone[stranger]
        assert other[0].turn is not None
        assert other[0].turn.drained_seconds < 0.1, "the replica that took it was idle"
        long.result()
        # Enough to fill both: the replica that held the other checkpoint takes shards of this one, and each loads it once at most.
        shards = [two.submit(str(base), requests(), GREEDY) for _ in range(two.num_slots)]
        replies = [shard.result() for shard in shards]
        assert [texts(each) for each in replies] == [alone[base]] * two.num_slots
        assert sum(each[0].turn is not None for each in replies) == 1, "idle slots take shards of the same checkpoint"


def test_two_checkpoints_one_small_step_apart_are_told_apart(pool: Pool, base: Path, neighbour: Path) -> None:
    for path in (base, neighbour, base):
        assert {reply.served for reply in pool.ask(str(path), requests(1), GREEDY)} == {read_manifest(path).fingerprint}


def test_a_neighbours_weights_under_this_checkpoints_name_are_never_scored(pool: Pool, base: Path, neighbour: Path, tmp_path: Path) -> None:
    forged = tmp_path / "forged"
    shutil.copytree(base, forged)
    (forged / "note.txt").write_text("a file of its own, so that it is another checkpoint")
    # Whole files, and the canary and checksum of the checkpoint one small step further: as if a swap had kept the old weights.
    write_manifest(forged, dataclasses.replace(read_manifest(neighbour), files=hash_files(forged)))
    pool.ask(str(base), requests(1), GREEDY)
    with pytest.raises(SwapRefused, match=r"its checksum \w+ instead of \w+: nothing was scored"):
        pool.ask(str(forged), requests(1), GREEDY)
    assert len(pool.ask(str(neighbour), requests(1), GREEDY)) == 1, "the pool goes on"


def test_a_damaged_checkpoint_is_refused_and_the_pool_goes_on(pool: Pool, base: Path, stranger: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(stranger, damaged)
    with (damaged / "model.safetensors").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\x00\x01\x02\x03")
    with pytest.raises(SwapRefused, match=r"model\.safetensors has SHA-256"):
        pool.ask(str(damaged), requests(1), GREEDY)
    assert pool.ask(str(base), requests(1), GREEDY)[0].served == read_manifest(base).fingerprint


def test_a_half_written_checkpoint_is_refused(pool: Pool, base: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    shutil.copytree(base, half)
    (half / "manifest.json").unlink()
    with pytest.raises(SwapRefused, match="it is not a checkpoint, or one that was not finished"):
        pool.ask(str(half), requests(1), GREEDY)


def test_a_checkpoint_of_another_identity_is_refused(pool: Pool, base: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(base, other)
    template = other / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    write_manifest(other, dataclasses.replace(read_manifest(base), files=hash_files(other)))
    with pytest.raises(SwapRefused, match="serving identity"):
        pool.ask(str(other), requests(1), GREEDY)


def test_an_end_token_stops_an_answer_and_is_counted_but_not_in_the_text(pool: Pool, stopping: Path) -> None:
    for reply in pool.ask(str(stopping), requests(2), GREEDY):
        assert (reply.finish_reason, reply.num_tokens, reply.text) == ("stop", 1, "")


def test_one_over_long_prompt_fails_alone(pool: Pool, base: Path) -> None:
    shard = requests(3)
    shard[1] = dataclasses.replace(shard[1], prompt_ids=shard[1].prompt_ids * 20)
    replies = pool.ask(str(base), shard, GREEDY)
    assert [reply.finish_reason for reply in replies] == ["length", "refused", "length"]
    assert "the prompt has 400 tokens, the engine 256 positions" in replies[1].explanation


def test_a_seed_fixes_a_sampled_answer_and_another_seed_changes_it(pool: Pool, stranger: Path) -> None:
    warm = Sampling(temperature=1.0, top_p=1.0, top_k=0)
    one, other = requests(1), [dataclasses.replace(requests(1)[0], seed=77)]
    assert texts(pool.ask(str(stranger), one, warm)) == texts(pool.ask(str(stranger), one, warm))
    assert texts(pool.ask(str(stranger), one, warm)) != texts(pool.ask(str(stranger), other, warm))


def test_penalties_change_an_answer_that_repeats_itself(pool: Pool, base: Path) -> None:
    plain, penalised = (
        pool.ask(str(base), requests(2), sampling) for sampling in (GREEDY, GREEDY.model_copy(update={"frequency_penalty": 2.0}))
    )
    kinds = [[len(set(reply.text)) for reply in replies] for replies in (plain, penalised)]
    assert all(more > less for less, more in zip(*kinds, strict=True)), (texts(plain), texts(penalised))


def test_seeded_prompts_that_do_not_fit_one_step_together_do_not_end_the_engine(pool: Pool, stranger: Path) -> None:
    # vLLM 0.29 on a CPU dies when it cuts a seeded prompt into chunks, and it would cut one of these.
    warm = Sampling(temperature=1.0, top_p=1.0, top_k=0)
    replies = pool.ask(str(stranger), requests(16, length=230, max_tokens=2), warm)
    assert [reply.num_tokens for reply in replies] == [2] * 16


def test_shards_are_driven_through_ray_data_and_written_one_file_each(pool: Pool, base: Path, tmp_path: Path) -> None:
    problems = [
        Problem(id=f"p{number}", source="made", kind="exact", prompt=f"{number}?", answer="", cluster="c", solution="")
        for number in range(6)
    ]
    asking = Asking(num_samples=2, sampling=GREEDY, positions=256, seed_parts=(0,), worked_examples=(), thinking=None)
    tables.write(problems, tmp_path / "problems" / "all.parquet", Problem)
    job = Job(problems=f"{tmp_path}/problems", path=str(tmp_path), asking=asking, judge=verify.grade, shard_size=4)
    first = Rule(num_attempts=2).next(0, [each.id for each in problems], {}, frozenset())
    assert first is not None
    owed = list(cuts(first, [each.id for each in problems], shard_size=4))
    told: list[str] = []
    drive(owed, pool, str(base), job, told=told.append)
    assert sorted(told) == tables.names(f"{tmp_path}/rows") == tables.names(f"{tmp_path}/facts") == [cut.name for cut in owed]
    rows = tables.read(f"{tmp_path}/rows", Attempt)
    assert [(row.problem_id, row.sample) for row in rows] == [(f"p{number}", sample) for number in range(6) for sample in (0, 1)]
    assert {row.asked_of for row in rows} == {read_manifest(base).fingerprint}
    assert [row.seed for row in rows] == [asking.seed(problem, sample) for problem in problems for sample in (0, 1)]


def test_a_refusal_inside_a_task_of_ray_data_comes_out_as_a_refusal(pool: Pool, base: Path, tmp_path: Path) -> None:
    # A checkpoint that was not finished: its tokenizer is there, its manifest is not.
    unfinished = tmp_path / "unfinished"
    shutil.copytree(base, unfinished, ignore=shutil.ignore_patterns(MANIFEST))
    problem = Problem(id="p", source="made", kind="exact", prompt="?", answer="", cluster="c", solution="")
    tables.write([problem], tmp_path / "problems" / "all.parquet", Problem)
    asking = Asking(num_samples=1, sampling=GREEDY, positions=256, seed_parts=(0,), worked_examples=(), thinking=None)
    job = Job(problems=f"{tmp_path}/problems", path=str(tmp_path), asking=asking, judge=verify.grade, shard_size=4)
    first = Rule(num_attempts=1).next(0, ["p"], {}, frozenset())
    assert first is not None
    told: list[str] = []
    with pytest.raises(SwapRefused, match="it is not a checkpoint, or one that was not finished") as refused:
        drive(list(cuts(first, ["p"], shard_size=4)), pool, str(unfinished), job, told=told.append)
    assert "Traceback" not in str(refused.value)
    assert told == []


def test_a_pool_that_grows_has_an_engine_for_its_first_shard_and_stops_on_request(pool: Pool, base: Path) -> None:
    # On the cluster of the other tests; named as those of another owner.
    resources = ServeResources(cpus_per_replica=1, max_num_seqs=8, kv_cache_megabytes=16, min_replicas=0)
    with Pool(str(base), resources, max_model_len=None, application="growing-1", shard_size=4) as growing:
        assert growing.num_live() == 1
        assert texts(growing.ask(str(base), requests(), GREEDY)) == texts(pool.ask(str(base), requests(), GREEDY))
        asked = [growing.submit(str(base), requests(8, max_tokens=230), GREEDY) for _ in range(12)]
        replica, *ranks = growing.handle.replicas.processes.remote().result()
        growing.stop()
        assert all(future.done() for future in asked)
        assert isinstance(asked[-1].exception(), PoolUnavailable), "the last was not begun"
        # As where a replica goes on with what a killed driver had asked.
        _kill_replicas("growing-1")
        assert all(ends(process) for process in (replica, *ranks)), "a replica or its engine outlived its end by force"
        assert delete_all("growing-") == ["growing-1"]
        assert growing.num_live() == 0
    assert len(pool.ask(str(base), requests(1), GREEDY)) == 1, "a neighbour's pool goes on"


def test_a_pool_that_the_cluster_cannot_hold_says_so_at_once(pool: Pool, base: Path) -> None:
    with pytest.raises(PoolUnavailable, match="1000 replicas need 1000 CPUs, the cluster has 8"):
        Pool(str(base), ServeResources(replicas=1000), max_model_len=None, application="too-much")


def test_a_killed_replica_leaves_no_engine_and_its_shard_is_asked_again(pool: Pool, stranger: Path) -> None:
    replica, *ranks = pool.handle.replicas.processes.remote().result()
    alone = texts(pool.ask(str(stranger), requests(), GREEDY))
    started = descendants(replica)
    assert set(ranks) <= started, "an engine's rank is no descendant of its replica"
    running: Future[list[Reply]] = pool.submit(str(stranger), requests(16, max_tokens=230), GREEDY)
    time.sleep(1)
    os.kill(replica, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(is_alive(process) for process in started) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [process for process in started if is_alive(process)], "an engine, or what it started, outlived its replica"
    assert len(running.result(timeout=600)) == 16
    assert texts(pool.ask(str(stranger), requests(), GREEDY)) == alone


LM_EVAL = """
import json, sys
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

directory, url, model = sys.argv[1:]
settings = {"model": model, "base_url": f"{url}/chat/completions", "num_concurrent": 4, "tokenizer_backend": None}
tasks = TaskManager(include_path=directory, include_defaults=False)
found = simple_evaluate("local-chat-completions", model_args=settings, tasks=["ours"], task_manager=tasks, apply_chat_template=True)
print(json.dumps(found["results"]["ours"]["exact_match,none"]))
"""

INSPECT = """
import json, sys
from inspect_ai import Task, eval
from inspect_ai.dataset import json_dataset
from inspect_ai.model import get_model
from inspect_ai.scorer import exact

directory, url, model = sys.argv[1:]
asked = get_model(f"openai-api/ours/{model}", base_url=url, api_key="none")
task = Task(dataset=json_dataset(f"{directory}/items.jsonl"), scorer=exact())
(log,) = eval(task, model=asked, temperature=0.0, max_tokens=24, display="none", log_dir=f"{directory}/logs")
assert log.status == "success", log.error
print(json.dumps(log.results.scores[0].metrics["mean" if "mean" in log.results.scores[0].metrics else "accuracy"].value))
"""

TASK = """
task: ours
dataset_path: json
dataset_kwargs: {{data_files: {{test: {items}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{input}}}}"
doc_to_target: "{{{{target}}}}"
generation_kwargs: {{until: [], do_sample: false, temperature: 0.0, max_gen_toks: 24}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture
def endpoint(lettered: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a server of the checkpoint, which `ray-study serve` became."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "server.log").open("w") as log:
        command = [sys.executable, "-m", "ray_study", "serve", str(lettered), "--port", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "RAY_STUDY_CACHE": str(tmp_path / "cache")})
    try:
        deadline = time.monotonic() + 300
        while not answers(f"{url}/health"):
            assert server.poll() is None, (tmp_path / "server.log").read_text()[-4000:]
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.5)
        yield f"{url}/v1"
    finally:
        server.terminate()
        server.wait(timeout=60)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def test_two_harnesses_of_others_find_the_accuracy_that_ours_finds(pool: Pool, lettered: Path, endpoint: str, tmp_path: Path) -> None:
    questions = [f"{word}?" for word in ("apple", "bread", "cloud", "drum", "eagle", "flute", "grape", "house")]
    # By the evaluator's own prompts, ends and engine settings.
    said = texts(pool.ask(str(lettered), prompts(lettered, questions), GREEDY))
    assert len(set(said)) > 1, "answers that do not depend on the question compare nothing"
    # By our own count five of eight are right.
    right = [place < 5 for place in range(8)]
    rows = [
        {"input": question, "target": text if ok else "none of these"} for question, text, ok in zip(questions, said, right, strict=True)
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "ours.yaml").write_text(TASK.format(items=tmp_path / "items.jsonl"))
    quiet = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(tmp_path / "datasets"), "OPENAI_API_KEY": "none", "INSPECT_LOG_LEVEL": "error"}
    for harness in (LM_EVAL, INSPECT):
        command = [sys.executable, "-c", harness, str(tmp_path), endpoint, lettered.name]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **quiet}, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        assert json.loads(done.stdout.splitlines()[-1]) == 5 / 8
