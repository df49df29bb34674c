"""The flip browser: static pages below `report/flips/` that need no script and no network, with figures and tables beside them.

The pages hold about `flip_choice.MOST_CHARACTERS` characters at most, whatever the size of the study; each says how many items it shows of
how many there are.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from ray_study.analyze import flip_words, plots
from ray_study.analyze.findings import Change
from ray_study.analyze.findings import changes as find_changes
from ray_study.analyze.flip_choice import MOST_PAIRS, Listed, choose, file_stem, page_names
from ray_study.analyze.flip_pairs import REASONS, compared, default_pairs
from ray_study.analyze.flip_table import FlipRow, flip_rows
from ray_study.analyze.flip_words import IndexRow
from ray_study.analyze.flipping import FLIP_KINDS, OUTCOMES, FlipKind
from ray_study.analyze.flow import FATES, FateRow, Flow, fate_rows, flow_table, flows
from ray_study.analyze.flow_figure import plot_flow
from ray_study.analyze.study_tables import StudyTables, frame

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much of a large study is put on pages and into figures; what is left out is said there."""

    pairs: int = MOST_PAIRS
    figures: int = 12
    """One a benchmark."""
    runs_a_figure: int = 6


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLink:
    """A figure of flows that was written: its name without ending, the same as SVG in base64, and what it says and leaves out."""

    benchmark: str
    name: str
    svg: str
    alt: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipIndex:
    """What was written of flips, for the section of the report (`page/flips.html`)."""

    path: Path
    href: str
    """The index as seen from the report's page."""
    sentence: str
    num_pairs: int
    num_pairs_left_out: int
    counts: Mapping[str, int]
    """Kind or outcome -> how many items, over all pairs."""
    rows: Sequence[IndexRow]
    """Of first against last step."""
    figures: Sequence[FlowLink]
    files: Sequence[str]
    """Written to `data/`."""
    num_pages: int
    num_bytes: int
    """Of all pages."""
    most_rows: int = 24
    """In the section; the index has all."""


def write_flips(report_directory: Path, study: StudyTables, changes: Sequence[Change] | None = None, bounds: Bounds = BOUNDS) -> FlipIndex:
    """What was written to `flips/`, `figures/` and `data/` below the report's directory.

    Pages of an earlier report are removed. The index comes last, so that one that exists has every page that it names.

    Args:
        report_directory: the one that holds the report's `index.html`.
        study: its rows.
        changes: what `findings.changes` found of this study, where somebody has it already: that takes longer than all of this.
        bounds: of what is put on pages and drawn; the tables hold every item of those pairs, and all flows.
    """
    report = Path(report_directory)
    directory = report / "flips"
    directory.mkdir(parents=True, exist_ok=True)
    for old in [*directory.glob("*.html"), *(report / "figures").glob("flow-*.*")]:
        old.unlink()
    pairs = default_pairs(study, find_changes(study) if changes is None else changes)
    found = compared(study, pairs[: bounds.pairs])
    chosen = choose(found)
    names = [page_names(file_stem(number, each.benchmark), chosen[number - 1]) for number, each in enumerate(found, start=1)]
    rows = flip_words.index_rows(found, [{kind: own[0] for kind, own in each.items()} for each in names])
    lines = flows(study)
    files = _write_tables(report / "data", rows, lines)
    figures = _write_figures(report / "figures", lines, bounds)
    environment = _environment()
    sizes = [
        _write(directory / name, text)
        for number, row in enumerate(rows)
        for name, text in _item_pages(environment.get_template("flips_items.html"), row, chosen[number], names[number])
    ]
    num_left_out = len(pairs) - len(found)
    context = _index_context(str(study.facts.get("name") or "study"), rows, lines, figures, num_left_out)
    page = directory / "index.html"
    sizes.append(_write(page, environment.get_template("flips_index.html").render(context)))
    logger.info("flips: %d pairs, %d left out, %d pages, %d bytes, %s", len(found), num_left_out, len(sizes), sum(sizes), page)
    return FlipIndex(
        path=page,
        href="flips/index.html",
        sentence=flip_words.sentence(rows),
        num_pairs=len(found),
        num_pairs_left_out=num_left_out,
        counts=flip_words.totals(rows),
        rows=[row for row in rows if row.flips.reason == "first_to_last"],
        figures=figures,
        files=files,
        num_pages=len(sizes),
        num_bytes=sum(sizes),
    )


def _environment() -> Environment:
    """Templates in which every text is escaped."""
    return Environment(
        loader=PackageLoader("ray_study", "analyze"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )


def _write(path: Path, text: str) -> int:
    # A text cut within a character may hold half of one, which UTF-8 cannot.
    data = text.encode("utf-8", "replace")
    path.write_bytes(data)
    return len(data)


def _item_pages(
    template: Template, row: IndexRow, chosen: Sequence[Listed], names: Mapping[FlipKind, Sequence[str]]
) -> Iterator[tuple[str, str]]:
    """The file name and the text of each page of one pair of checkpoints."""
    pair = flip_words.pair_context(row)
    kinds = flip_words.kinds_context(chosen, row.links)
    for listed in chosen:
        start = 1
        for number, items in enumerate(listed.pages(), start=1):
            contexts = [flip_words.item_context(row.flips, item, listed.kind) for item in items]
            context: dict[str, Any] = {
                "pair": pair,
                "kind": listed.kind,
                "kinds": kinds,
                "words": flip_words.KIND_WORDS,
                "items": contexts,
                "filters": flip_words.filters(contexts),
                "pages": names[listed.kind],
                "page": number,
                "first": start,
                "last": start + len(items) - 1,
                "num_shown": len(listed.items),
                "num_items": listed.num_items,
            }
            start += len(items)
            yield names[listed.kind][number - 1], template.render(context)


def _index_context(
    name: str, rows: Sequence[IndexRow], lines: Sequence[Flow], figures: Sequence[FlowLink], num_left_out: int
) -> dict[str, Any]:
    benchmarks = list(dict.fromkeys([*(row.flips.benchmark for row in rows), *(each.benchmark for each in lines)]))
    reasons = [reason for reason in REASONS if any(row.flips.reason == reason for row in rows)]
    of_benchmark = {benchmark: number for number, benchmark in enumerate(benchmarks)}
    numbered = [
        {field: getattr(row, field) for field in IndexRow.__dataclass_fields__}
        | {"benchmark_number": of_benchmark[row.flips.benchmark], "reason_number": reasons.index(row.flips.reason)}
        for row in rows
    ]
    return {
        "name": name,
        "sentence": flip_words.sentence(rows),
        "rows": numbered,
        "benchmarks": benchmarks,
        "reasons": reasons,
        "reason_words": flip_words.REASON_WORDS,
        "kinds": FLIP_KINDS,
        "rest": [outcome for outcome in OUTCOMES if outcome not in FLIP_KINDS],
        "words": flip_words.KIND_WORDS,
        "num_left_out": num_left_out,
        "figures": [
            {field: getattr(each, field) for field in FlowLink.__dataclass_fields__} | {"benchmark_number": of_benchmark[each.benchmark]}
            for each in figures
        ],
        "num_not_drawn": len({each.benchmark for each in lines}) - len(figures),
        "fates": [fate for fate in FATES if fate != "unknown"],
        "fate_rows": [flip_words.fate_context(each) | {"benchmark_number": of_benchmark[each.benchmark]} for each in lines],
    }


def _write_tables(directory: Path, rows: Sequence[IndexRow], lines: Sequence[Flow]) -> list[str]:
    directory.mkdir(parents=True, exist_ok=True)
    tables = {
        "flips": frame([each for row in rows for each in flip_rows(row.flips)], FlipRow),
        "flow": flow_table(lines),
        "fates": frame(fate_rows(lines), FateRow),
    }
    for name, table in tables.items():
        table.write_parquet(directory / f"{name}.parquet")
        table.write_csv(directory / f"{name}.csv")
    return [f"{name}.{suffix}" for name in tables for suffix in ("parquet", "csv")]


def _write_figures(directory: Path, lines: Sequence[Flow], bounds: Bounds) -> list[FlowLink]:
    """A figure for each benchmark, up to a bound, each with its first runs."""
    links: list[FlowLink] = []
    for number, benchmark in enumerate(list(dict.fromkeys(each.benchmark for each in lines))[: bounds.figures], start=1):
        own = [each for each in lines if each.benchmark == benchmark]
        drawn = plot_flow(own[: bounds.runs_a_figure], num_left_out=max(0, len(own) - bounds.runs_a_figure))
        name = f"flow-{file_stem(number, benchmark)}"
        paths = plots.save(drawn.figure, directory, name)
        links.append(
            FlowLink(
                benchmark=benchmark,
                name=name,
                svg=base64.b64encode(paths[1].read_bytes()).decode("ascii"),
                alt=f"How attempts at {benchmark} flow between right, wrong, no answer and unfinished; the table flow.csv has the counts",
                note=drawn.note,
            )
        )
    return links
