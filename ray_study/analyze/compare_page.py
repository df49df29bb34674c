"""What a comparison leaves behind: its rows as tables and JSON, its figures, and one page that needs no network and no script."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ray_study.analyze.compare_figure import plot_pair
from ray_study.analyze.compared import Compared, Comparison, Side, summary
from ray_study.analyze.judged import MEANS
from ray_study.analyze.plots import save
from ray_study.analyze.study_tables import frame

MOST_FIGURES = 6
"""Of pairs; the tables have the others."""


def write_comparison(directory: Path, a: Side, b: Side, found: Comparison) -> Path:
    """The path of `index.html` in `directory`, beside `compare.csv`, `.parquet`, `.json` and the figures; the page comes last."""
    directory.mkdir(parents=True, exist_ok=True)
    table = frame(found.rows, Compared)
    table.write_csv(directory / "compare.csv")
    table.write_parquet(directory / "compare.parquet")
    sentences = summary(found)
    facts = {"a": found.title_a, "b": found.title_b, "summary": sentences, "left_out": list(found.left_out)}
    rows = [asdict(row) for row in found.rows]
    (directory / "compare.json").write_text(json.dumps(facts | {"rows": rows}, indent=1, ensure_ascii=False), encoding="utf-8")
    context = {
        "title_a": found.title_a,
        "title_b": found.title_b,
        "sentences": sentences,
        "pairs": [_section(directory / "figures", a, b, found, number) for number in range(len(found.pairs))],
        "most_figures": MOST_FIGURES,
    }
    page = directory / "index.html"
    page.write_text(_render(context), encoding="utf-8")
    return page


def _render(context: dict[str, Any]) -> str:
    """The page of a context, in which every text is escaped."""
    loader = PackageLoader("ray_study", "analyze")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("compare.html").render(context)


def _section(figures: Path, a: Side, b: Side, found: Comparison, number: int) -> dict[str, Any]:
    """One pair of runs as the page shows it."""
    pair = found.pairs[number]
    rows = [row for row in found.rows if (row.run_a, row.run_b) == (pair.a.id, pair.b.id)]
    picture = ""
    if rows and number < MOST_FIGURES:
        paths = save(plot_pair(a, b, pair, rows), figures, f"pair-{number + 1}")
        picture = base64.b64encode(paths[1].read_bytes()).decode("ascii")
    title = f"{pair.label_a} (A) and {pair.label_b} (B)" + (f": {pair.label}" if pair.label else "")
    return {"title": title, "figure": picture, "name": f"pair-{number + 1}", "rows": [shown(row) for row in rows]}


def shown(row: Compared) -> dict[str, str]:
    """A row in words, as the page and the terminal show it: percent and points, or the plain value of what is no share."""
    scale, digits = (1.0, 2) if row.metric in MEANS else (100.0, 1)
    interval = "" if row.low is None or row.high is None else f" [{scale * row.low:+.{digits}f}, {scale * row.high:+.{digits}f}]"
    return {
        "pair": row.pair,
        "benchmark": row.benchmark,
        "metric": row.metric,
        "step": str(row.step),
        "a": _plain(row.value_a, scale, digits),
        "b": _plain(row.value_b, scale, digits),
        "difference": "–" if row.difference is None else f"{scale * row.difference:+.{digits}f}{interval}",
        "p": "–" if row.p_adjusted is None else f"{row.p_adjusted:.2g}",
        "detectable": _plain(row.detectable, scale, digits),
        "items": str(row.num_items),
        "verdict": row.verdict,
        "why": "; ".join(part for part in (row.why, row.note) if part),
    }


def _plain(value: float | None, scale: float, digits: int) -> str:
    return "–" if value is None else f"{scale * value:.{digits}f}"
