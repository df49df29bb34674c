"""The report's section on the paper: its rows as tables, and what the page says of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ray_study.analyze.against import Beside, against_paper, sentences
from ray_study.analyze.findings import Change
from ray_study.analyze.paper_claims import JudgedClaim, as_facts, judge_claims
from ray_study.analyze.study_tables import StudyTables, frame

FILES = ("against_paper.csv", "against_paper.parquet", "paper_claims.csv")


def paper_section(study: StudyTables, found: Sequence[Change], directory: Path | None = None) -> dict[str, Any]:
    """What `against_section.html` shows under the name `paper`; its tables (`FILES`) are written where `directory` says."""
    against, claims = against_paper(study), judge_claims(study, found)
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        table = frame(against.rows, Beside)
        table.write_csv(directory / "against_paper.csv")
        table.write_parquet(directory / "against_paper.parquet")
        frame(claims, JudgedClaim).write_csv(directory / "paper_claims.csv")
    held = as_facts(claims)
    without = len(claims) - len(held)
    return {
        "sentences": sentences(against),
        "rows": [_shown(row) for row in against.rows],
        "claims": held,
        "unheld": f"No run of ours is about {without} of the paper's claims on its curves." if without else "",
    }


def _shown(row: Beside) -> dict[str, str]:
    """A row in percent and points."""
    interval = "" if row.low is None or row.high is None else f" [{100 * row.low:+.1f}, {100 * row.high:+.1f}]"
    return {
        "benchmark": row.benchmark,
        "label": row.label,
        "step": str(row.step),
        "ours": _percent(row.ours),
        "published": _percent(row.published),
        "difference": "–" if row.difference is None else f"{100 * row.difference:+.1f}{interval}",
        "p": "–" if row.p_adjusted is None else f"{row.p_adjusted:.2g}",
        "detectable": _percent(row.detectable),
        "verdict": row.verdict,
        "why": "; ".join(part for part in (row.why, row.note) if part),
        "source": f"{row.table}, read by: {row.read_by}",
    }


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
