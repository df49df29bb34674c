"""The report of a study: one page that needs no network and no script, with its figures and tables beside it."""

from __future__ import annotations

import base64
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ray_study.analyze.page.content import Content, gather
from ray_study.analyze.page.sections import SECTIONS
from ray_study.analyze.press import Press
from ray_study.analyze.study_tables import StudyTables, write_tables

logger = logging.getLogger(__name__)


def write_report(directory: Path, study: StudyTables) -> Path:
    """The path of `report/index.html`, written below the store's `directory` with its figures, tables and `report.json`.

    The page comes last, so a page that exists has everything that it names.
    """
    report = Path(directory) / "report"
    figures: dict[str, list[Path]] = {}
    with Press() as press:
        names = write_tables(report / "data", study)
        contents = make_contents(study)
        for content in contents.values():
            figures |= {name: press.save(draw(), report / "figures", name) for name, draw in content.figures.items()}
        for name, content in contents.items():
            if content.write is not None:
                further, written_there = content.write(report)
                contents[name] = replace(content, values={**content.values, **further})
                names += written_there
            names += _write_tables(report / "data", content)
            for path, text in content.files.items():
                (report / path).parent.mkdir(parents=True, exist_ok=True)
                (report / path).write_text(text, encoding="utf-8")
    context = build_context(study, contents) | {
        "files": sorted(names),
        "figures": {name: base64.b64encode(paths[1].read_bytes()).decode("ascii") for name, paths in figures.items()},
    }
    written = [path.name for paths in figures.values() for path in paths]
    text = json.dumps(summary(study, contents) | {"figures": sorted(written), "files": sorted(names)}, indent=2, ensure_ascii=False)
    (report / "report.json").write_text(text, encoding="utf-8")
    page = report / "index.html"
    page.write_text(render(context), encoding="utf-8")
    missing = contents["failures"].values["missing"]
    logger.info("report: %d runs, %d scores, %d missing, %s", len(study.runs), len(study.scores), len(missing), page)
    return page


def make_contents(study: StudyTables) -> dict[str, Content]:
    """What each section says, by its name and in order; figures are not drawn yet."""
    material = gather(study)
    return {section.name: section.make(material) for section in SECTIONS}


def build_context(study: StudyTables, contents: Mapping[str, Content] | None = None) -> dict[str, Any]:
    """Everything that the page says, as plain values; without pictures and without the names of files.

    Args:
        study: the study.
        contents: what `make_contents` says of it, where that is known already.
    """
    found = make_contents(study) if contents is None else contents
    return {
        "name": study.facts.get("name") or "study",
        "sections": [
            {"name": each.name, "title": each.title, "short": each.short or each.title, "nothing": found[each.name].nothing}
            for each in SECTIONS
        ],
        "contents": {name: content.values for name, content in found.items()},
        "files": [],
        "figures": {},
    }


def render(context: Mapping[str, Any]) -> str:
    """The page of a context, in which every text is escaped."""
    environment = Environment(
        loader=PackageLoader("ray_study.analyze", "page"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"share": _share, "points": _points, "count": _count, "estimate": _estimate, "p": _p_value}
    return environment.get_template("page.html").render(context)


def summary(study: StudyTables, contents: Mapping[str, Content]) -> dict[str, Any]:
    """The report for machines: the answer, what is missing, and every table of a section; numbers that are none are null."""
    answer, failures = contents["answer"].values, contents["failures"].values
    return {
        "name": study.facts.get("name") or "study",
        "question": str(study.facts.get("question") or ""),
        "answer": list(answer["sentences"]),
        "warnings": list(answer["warnings"]),
        "failures": failures["failures"],
        "missing": failures["missing"],
        "owed": failures["owed"],
        "conditions": contents["provenance"].values["conditions"],
        "final": _plain(contents["final"].tables["final"].to_dicts()) if "final" in contents["final"].tables else [],
        "sections": {
            name: {"nothing": content.nothing, "tables": {key: _plain(table.to_dicts()) for key, table in content.tables.items()}}
            for name, content in contents.items()
        },
    }


def _plain(value: Any) -> Any:
    """JSON of a value, in which what is no number is null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    return value


def _write_tables(directory: Path, content: Content) -> list[str]:
    """The names of a section's tables, each written as Parquet and as CSV."""
    names = []
    for name, table in {**content.tables, **content.long_tables}.items():
        table.write_parquet(directory / f"{name}.parquet")
        table.write_csv(directory / f"{name}.csv")
        names += [f"{name}.parquet", f"{name}.csv"]
    return names


def _share(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3f}"


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def _count(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else "not recorded" if value is None else str(value)


def _p_value(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def _estimate(value: Any, scale: float = 1.0, digits: int = 3, sign: bool = False) -> str:
    """A value with its 95 % interval in square brackets, a dash where it is missing."""
    if value is None or value.value is None:
        return "–"
    mark = "+" if sign else ""
    text = f"{scale * value.value:{mark},.{digits}f}"
    if value.low is None or value.high is None:
        return text
    return f"{text} [{scale * value.low:,.{digits}f}, {scale * value.high:,.{digits}f}]"
