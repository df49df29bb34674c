"""Which runs of a study are asked about, and which of two studies' runs belong together."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ray_study.analyze.layout import run_labels
from ray_study.rows import Run

COLUMNS = ("model", "dataset", "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A run of A with the run of B that it is compared to."""

    a: Run
    b: Run
    label: str
    """What tells this pair from the others; empty where there is one."""
    label_a: str
    label_b: str
    """What tells the two sides apart."""


def columns_of(run: Run) -> dict[str, Any]:
    """What a run is chosen and paired by: its model, data set and seed, then its training settings."""
    settings = json.loads(run.settings or "{}")
    return {key: getattr(run, key) for key in COLUMNS} | {key: value for key, value in settings.items() if key not in COLUMNS}


def choose(runs: Sequence[Run], wanted: Sequence[str], side: str) -> list[Run]:
    """The runs that a study is about and that did not fail, of which every wanted key has one of its wanted values.

    Args:
        runs: of a study.
        wanted: `KEY=VALUE`; a key that stands twice takes either value.
        side: what the study is called in an error.

    Raises:
        ValueError: no key of that name, no run with that value, or no run at all.
    """
    found = [run for run in runs if run.stage == "sft" and run.status != "failed"]
    values: dict[str, list[str]] = {}
    for each in wanted:
        key, equals, value = each.partition("=")
        if not equals or not value:
            raise ValueError(f"{side}: found {each!r}; expected KEY=VALUE, such as dataset=cot")
        values.setdefault(key, []).append(value)
    for key, said in values.items():
        known = {key: None for run in found for key in columns_of(run)}
        if key not in known:
            raise ValueError(f"{side}: its runs have no {key!r}; {_nearest(key, list(known))}")
        there = {_text(columns_of(run).get(key)) for run in found}
        for value in said:
            if not _among(value, there):
                raise ValueError(f"{side}: no run that did not fail has {key}={value}; found {', '.join(sorted(there)) or 'no run'}")
        found = [run for run in found if any(_same(value, _text(columns_of(run).get(key))) for value in said)]
    if not found:
        raise ValueError(f"{side}: holds no run that did not fail" + (f" and is {' and '.join(wanted)}" if wanted else ""))
    return found


def pair_runs(side_a: Sequence[Run], side_b: Sequence[Run]) -> tuple[list[Pair], list[str]]:
    """The pairs of runs that are alike in all that both sides have in common, and those that have no partner, in words.

    A key on which the sides share no value is what is compared, such as the data set where A is one and B another: it pairs nothing. On
    every other key a pair must agree. Where several runs remain for one, each is compared.
    """
    tables = [[columns_of(run) for run in side] for side in (side_a, side_b)]
    keys = list(dict.fromkeys(key for side in tables for row in side for key in row))
    shared = [key for key in keys if set.intersection(*({_text(row.get(key)) for row in side} for side in tables))]
    by_key: dict[tuple[str, ...], list[Run]] = {}
    for run in side_b:
        by_key.setdefault(_key(run, shared), []).append(run)
    pairs = [(a, b) for a in side_a for b in by_key.get(_key(a, shared), ())]
    met = {run.id for pair in pairs for run in pair}
    alone = [f"{run.name} of {side}" for side, runs in (("A", side_a), ("B", side_b)) for run in runs if run.id not in met]
    names_a, names_b = run_labels(side_a), run_labels(side_b)
    apart = [key for key in keys if key not in shared]
    return [
        Pair(
            a=a,
            b=b,
            label=_label(a, b, [key for key in shared if len({_key(run, [key]) for pair in pairs for run in pair}) > 1]),
            label_a=_side(a, apart) or names_a[a.id],
            label_b=_side(b, apart) or names_b[b.id],
        )
        for a, b in pairs
    ], alone


def _key(run: Run, keys: Sequence[str]) -> tuple[str, ...]:
    columns = columns_of(run)
    return tuple(_text(columns.get(key)) for key in keys)


def _label(a: Run, b: Run, keys: Sequence[str]) -> str:
    return ", ".join(_named(key, columns_of(a)) for key in keys)


def _side(run: Run, keys: Sequence[str]) -> str:
    columns = columns_of(run)
    return ", ".join(_named(key, columns) for key in keys if columns.get(key) is not None)


def _named(key: str, columns: Mapping[str, Any]) -> str:
    value = _text(columns.get(key))
    return value if key in ("model", "dataset") else f"{key} {value}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _same(said: str, there: str) -> bool:
    """Whether a value that was typed is the one that is there: as text, or as the same number."""
    if said == there:
        return True
    try:
        return float(said) == float(there)
    except ValueError:
        return False


def _among(said: str, there: set[str]) -> bool:
    return any(_same(said, each) for each in there)


def _nearest(name: str, valid: list[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}? It has {', '.join(valid)}" if close else f"it has {', '.join(valid)}"
