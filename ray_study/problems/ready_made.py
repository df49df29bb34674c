"""Training examples that somebody else made: a data set of the hub, or a local JSONL or Parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from ray_study.problems.reading import Place, assistant_turn, open_rows, user_turn
from ray_study.rows import Example


def read_examples(
    kind: Literal["hub", "jsonl", "parquet"], name: str, *, revision: str | None, split: str, columns: Mapping[str, str]
) -> tuple[list[Example], dict[str, str]]:
    """The examples in the order of their rows, and what they resolved to (the hub's commit, or a file's SHA-256).

    Args:
        kind: where they are.
        name: the hub's `owner/name`, or a local path.
        revision: a branch, tag or commit of the hub; None is its main branch.
        split: of a hub's data set.
        columns: the column of `prompt` (text, or a list with one user turn) and of `response`.

    Raises:
        ValueError: it is not there, lacks a column (those found are named), or a row does not fit (it is named).
    """
    if kind != "hub" and not Path(name).expanduser().is_file():
        raise ValueError(f"no file at {name!r}; expected the local path of a data set")
    place = Place(name=name, revision=revision, split=split)
    rows, resolved = open_rows(place, columns.values(), "set columns: {prompt: …, response: …} to the right names")
    return [_example(where, row, columns) for where, row in rows], resolved


def _example(where: str, row: Mapping[str, Any], columns: Mapping[str, str]) -> Example:
    asked, response = row[columns["prompt"]], assistant_turn(row[columns["response"]])
    # A student is trained on one turn: what a further one or a system's would say is not guessed.
    prompt = None if isinstance(asked, list) and len(asked) != 1 else user_turn(asked)
    if prompt is None:
        raise ValueError(f"{where}: column {columns['prompt']!r} is neither text nor a list with exactly one user turn")
    if not response or not response.strip():
        raise ValueError(f"{where}: column {columns['response']!r} holds no text")
    return Example(problem_id=where, prompt=prompt, response=response, num_tokens=0)
