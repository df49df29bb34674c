"""Runs every script of this directory and keeps what each one found: `results.json` and a table.

A benchmark is a script `benchmarks/NAME.py` whose last line on standard output is one JSON object. It may be run by itself too.

    .venv/bin/python benchmarks/run_all.py [NAME ...]
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results.json"


def scripts(names: Sequence[str]) -> list[Path]:
    """The benchmarks of these names, or all of them.

    Raises:
        ValueError: a name has no script.
    """
    found = {path.stem: path for path in sorted(HERE.glob("*.py")) if path != Path(__file__).resolve() and not path.stem.startswith("_")}
    unknown = sorted(set(names) - set(found))
    if unknown:
        raise ValueError(f"unknown benchmark {unknown[0]!r}; choose from {sorted(found)}")
    return [found[name] for name in names or found]


def last_object(output: str) -> dict[str, Any]:
    """The last line of a benchmark's output that is a JSON object.

    Raises:
        ValueError: no line is one.
    """
    for line in reversed(output.splitlines()):
        if line.startswith("{"):
            try:
                value = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(value, dict):
                return value
    raise ValueError("its output has no line that is a JSON object; a benchmark's last line must be one")


def measure(script: Path) -> dict[str, Any]:
    """What one benchmark found, or its error: a benchmark that fails is a row with the reason, never a missing one."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, str(script)], cwd=HERE.parent, stdout=subprocess.PIPE, text=True, check=False)
    row: dict[str, Any] = {"benchmark": script.stem}
    try:
        row |= last_object(done.stdout)
    except ValueError as error:
        row["error"] = str(error)
    if done.returncode != 0:
        row["error"] = f"exit code {done.returncode}"
    return row | {"wall_seconds": round(time.perf_counter() - start, 1)}


def kept(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The new rows, and the old ones of benchmarks that were not run again; by name."""
    rows = {str(row["benchmark"]): row for row in [*old, *new]}
    return [rows[name] for name in sorted(rows)]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table: a row a number that a benchmark found."""
    lines = ["| benchmark | what | value |", "|---|---|---|"]
    for row in rows:
        cells = flat(row, "")
        lines += [f"| {row['benchmark']} | {what} | {value} |" for what, value in cells if what != "benchmark"]
    return "\n".join(lines)


def flat(value: object, where: str) -> list[tuple[str, str]]:
    """Every leaf of a JSON value with the path to it, as text that fits a Markdown cell."""
    if isinstance(value, Mapping):
        return [leaf for key, inner in value.items() for leaf in flat(inner, f"{where}.{key}" if where else str(key))]
    if isinstance(value, list):
        return [leaf for index, inner in enumerate(value) for leaf in flat(inner, f"{where}[{index}]")]
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return [(where, text.replace("|", "\\|").replace("\n", " "))]


def main() -> int:
    """0 where every benchmark ran, else 1."""
    try:
        chosen = scripts(sys.argv[1:])
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    new = []
    for script in chosen:
        print(f"benchmark {script.stem} ...", file=sys.stderr)
        new.append(measure(script))
    old = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    RESULTS.write_text(json.dumps(kept(old, new), indent=2) + "\n")
    print(table(new))
    return int(any("error" in row for row in new))


if __name__ == "__main__":
    sys.exit(main())
