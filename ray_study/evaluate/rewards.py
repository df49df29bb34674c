"""A reward model as a judge: requests with their replies in, scores out, kept as the text of an attempt like any judge's reply."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from ray_study.chat import Chat
from ray_study.evaluate.questions import Question, clipped
from ray_study.evaluators import num_identities
from ray_study.manifests import digest, hash_files
from ray_study.materials import Lab
from ray_study.model_files import snapshot
from ray_study.rows import Attempt
from ray_study.serving import Scored
from ray_study.store import Result, Workspace, outside


def reward_sources(lab: Lab, name: str) -> list[Result]:
    """The reward model's files, which decide its scores."""
    model = lab.study.judges[name].model
    assert model is not None
    return [outside(f"model {model}", _mark(snapshot(lab.study.models[model])))]


def score_shards(lab: Lab, name: str, owed: Mapping[str, Sequence[Question]], workspace: Workspace) -> None:
    """Returns when the scores of every shard are written, in the order of the questions.

    Raises:
        PoolUnavailable: the reward model could not be served.
        ValueError: it is none.
    """
    judge = lab.study.judges[name]
    assert judge.model is not None
    model = lab.study.models[judge.model]
    directory = snapshot(model)
    served = _mark(directory)
    chat = Chat(directory, trust_remote_code=model.trust_remote_code)
    asked = {
        shard: [chat.conversation_ids(each.request, clipped(each.reply, judge.most_characters)) for each in questions]
        for shard, questions in owed.items()
    }
    lab.progress(f"judge {name}: {sum(map(len, owed.values()))} conversations to score")
    resources, identities = lab.study.resources.evaluate, num_identities(lab.study)
    with lab.engines.use_scorer(str(directory), resources, model, name=judge.model, identities=identities) as pool:
        futures = {
            pool.submit(conversations, label=f"judge {name} from {owed[shard][0].id} on"): shard for shard, conversations in asked.items()
        }
        try:
            for future in as_completed(futures):
                shard = futures[future]
                pairs = zip(owed[shard], asked[shard], future.result(), strict=True)
                workspace.write(shard, [_attempt(question.id, ids, scored, served) for question, ids, scored in pairs], Attempt)
        finally:
            for future in futures:
                future.cancel()


def _mark(directory: Path) -> str:
    """What identifies the files of a model; they are read once a process, and again where one changed."""
    files = sorted(file for file in directory.iterdir() if file.is_file())
    return _hashed(directory, tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@functools.lru_cache(maxsize=8)
def _hashed(directory: Path, files: tuple[tuple[str, int, int], ...]) -> str:
    # Sizes and times are part of the key.
    return digest(hash_files(directory))


def _attempt(name: str, ids: tuple[int, ...], scored: Scored, served: str) -> Attempt:
    return Attempt(
        problem_id=name,
        sample=0,
        asked_of=served,
        text="" if scored.value is None else repr(scored.value),
        num_tokens=0,
        finish_reason="refused" if scored.value is None else "stop",
        cap=0,
        seed=0,
        thinking_opened=False,
        prompt_hash=digest(ids),
        explanation=scored.explanation,
        conditions=scored.conditions,
    )
