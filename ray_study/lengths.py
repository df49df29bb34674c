"""How many rows of a data set a run learns from: counted by the driver before the run, so that steps, record and loop agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray_study import materials
from ray_study.chat import Chat
from ray_study.config import Study
from ray_study.grid import PlannedRun
from ray_study.manifests import read_manifest
from ray_study.materials import Lab
from ray_study.rows import Example
from ray_study.store import Result, Workspace
from ray_study.train.holding_out import split
from ray_study.train.schedule import num_steps
from ray_study.train.tokenizing import count

VERSION = 2
"""Raised by hand when the meaning of the counts changes. 2: some examples may be held out."""

COMPARED = 3
"""Rows by which the model's full template is compared with what training does."""


def count_rows(lab: Lab, run: PlannedRun, dataset: Result) -> Result:
    """The counts of a run's rows (`num_rows`, `num_dropped`, `num_truncated`), made once for a tokenizer and a `max_length`.

    Its record also has `num_held_out`, examples that are none of these, and `template_differences`: where the model's full template
    renders the first rows otherwise than training does.

    Raises:
        ValueError: the model's tokenizer cannot render a prompt, or every example would be held out.
    """
    base = materials.base_directory(lab, run.model)
    training = run.training
    inputs = {
        "dataset": dataset.fingerprint,
        "tokenizer": read_manifest(Path(base)).identity,
        "max_length": training.max_length,
        "over_long": training.over_long,
        "end_token": training.end_token,
        "held_out": training.held_out,
    }

    def build(workspace: Workspace) -> Mapping[str, object]:
        lab.progress(f"counting the tokens of {run.dataset} as {run.model} sees them")
        chat = Chat(base, trust_remote_code=lab.study.models[run.model].trust_remote_code, end_token=training.end_token)
        examples = dataset.rows(Example)
        learned, held_out = split(examples, training.held_out)
        counts = count(learned, chat, max_length=training.max_length, over_long=training.over_long)
        facts = {"num_examples": len(examples), "num_held_out": len(held_out)}
        return {**counts, **facts, "template_differences": differences(chat, examples)}

    return lab.store.make("lengths", inputs, build, version=VERSION, sources=[dataset])


def differences(chat: Chat, examples: Sequence[Example]) -> list[str]:
    """Where the full template renders the first examples that have a response otherwise than training does, each sentence once."""
    first = [example for example in examples if example.response][:COMPARED]
    return list(dict.fromkeys(sentence for example in first for sentence in chat.differences(example.prompt, example.response)))


def steps_to_save(study: Study, run: PlannedRun, counts: Mapping[str, Any]) -> tuple[int, ...]:
    """The steps at which a run is saved, without step 0, given how many rows it learns from.

    Raises:
        ValueError: there are fewer than a batch, or the checkpoints that are asked for do not fit into its steps.
    """
    num_rows, batch_size = int(counts["num_rows"]), run.training.batch_size
    if num_rows < batch_size:
        raise ValueError(
            f"{num_rows} of the {counts['num_examples']} examples of data set {run.dataset!r} are left to learn from "
            f"({counts['num_held_out']} are held out, {counts['num_dropped']} were dropped as longer than max_length "
            f"{run.training.max_length}), fewer than one batch of {batch_size}; set a smaller batch_size, make more examples, hold out "
            "fewer, or raise max_length where rows were dropped"
        )
    last = num_steps(run.training, num_rows)
    return (last,) if run.stage == "pretrain" else study.checkpoints.at(last)
