"""`compare`: two studies, or two subsets of runs, side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ray_study import status, sweep_file
from ray_study.commands.common import DONE, open_store, storage_of

if TYPE_CHECKING:
    from ray_study.analyze.compared import Comparison

COLOURS = {"differs": "bold yellow", "agrees": "green", "not comparable": "dim"}
HEADS = ("benchmark", "step", "A", "B", "B less A [95 %]", "p", "could see", "items", "verdict")
LOG_WIDTH = 132


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `compare` takes."""
    which = "a sweep file, or the directory of its results; its report must be written"
    parser.add_argument("a", metavar="A", help=which)
    parser.add_argument("b", metavar="B", help="the other side, which may be A again: a difference is B less A")
    for side in ("a", "b"):
        text = f"only these runs of {side.upper()}, by model, dataset, seed or a training setting; may be said again"
        parser.add_argument(f"--runs-{side}", action="append", default=[], metavar="KEY=VALUE", help=text)
    parser.add_argument(
        "--out", metavar="DIRECTORY", help="where tables, figures and the page go; results/compare-A-B where it is left out"
    )
    parser.add_argument("--allow-mixed-conditions", action="store_true", help="compare, and mark, what was measured on other engines")


def compare(options: argparse.Namespace) -> int:
    """The exit code of `compare`: 0 when it was compared, however it came out."""
    # Not at the top: analysis loads polars and matplotlib.
    from ray_study.analyze import compare_page, compared, read_study  # noqa: PLC0415

    stores = [_store(said, side) for said, side in ((options.a, "A"), (options.b, "B"))]
    studies = [read_study(stores[0])]
    # One study read once: two subsets of it share their answers.
    studies.append(studies[0] if stores[0].resolve() == stores[1].resolve() else read_study(stores[1]))
    a = compared.Side(name="A", study=studies[0], wanted=tuple(options.runs_a))
    b = compared.Side(name="B", study=studies[1], wanted=tuple(options.runs_b))
    found = compared.compare_studies(a, b, mixed=options.allow_mixed_conditions)
    directory = Path(options.out) if options.out else Path(storage_of("results")) / f"compare-{stores[0].name}-{stores[1].name}"
    page = compare_page.write_comparison(directory, a, b, found)
    if not options.quiet:
        _show(found, [compare_page.shown(row) for row in found.rows])
        for sentence in compared.summary(found):
            print(sentence)
    print(f"comparison: {page}")
    return DONE


def _store(said: str, side: str) -> Path:
    """The directory of a study's results, which holds its report; ValueError where there is none."""
    path = Path(said)
    if path.is_dir():
        # The report's own directory is as good.
        path = path.parent if path.name == "report" and not (path / "report").is_dir() else path
        if not (path / "report" / "data" / "facts.json").is_file():
            raise ValueError(f"{side}: {path} holds no report; expected the results of a study whose report is written")
        return path
    if not path.exists() and path.suffix not in (".yaml", ".yml"):
        raise ValueError(f"{side}: there is no {said}; expected a sweep file, or the directory of a study's results")
    store = open_store(sweep_file.read(path))
    if not status.is_reported(store):
        raise ValueError(f"{side}: the report of {said} is not of what is stored now; write it first: ray-study report {said}")
    return Path(store.root)


def _show(found: Comparison, rows: list[dict[str, str]]) -> None:
    """Prints one table a pair of runs."""
    console = Console(highlight=False)
    if not console.is_terminal:
        # A pipe or a log has no width, and a cut number is none.
        console = Console(highlight=False, width=LOG_WIDTH)
    for pair in found.pairs:
        table = Table(title=_title(pair.label_a, pair.label_b, pair.label), title_justify="left", box=None, padding=(0, 1))
        for head in HEADS:
            table.add_column(head, justify="left" if head in ("benchmark", "verdict") else "right", no_wrap=True)
        for row, words in zip(found.rows, rows, strict=True):
            if (row.run_a, row.run_b) == (pair.a.id, pair.b.id):
                said = Text(row.verdict, style=COLOURS[row.verdict])
                cells = [words[key] for key in ("benchmark", "step", "a", "b", "difference", "p", "detectable", "items")]
                table.add_row(*map(Text, cells), said)
        console.print(table)
        console.print()


def _title(a: str, b: str, label: str) -> Text:
    return Text(f"A: {a}   B: {b}" + (f"   ({label})" if label else ""), style="bold")
