"""Against the paper: the printed numbers and claims beside ours."""

from __future__ import annotations

from ray_study.analyze.against import Beside, against_paper, sentences
from ray_study.analyze.page.content import Content, Material
from ray_study.analyze.paper_claims import JudgedClaim, as_facts, judge_claims
from ray_study.analyze.study_tables import frame


def paper(material: Material) -> Content:
    """Our scores and curves beside what the paper prints and says of its own."""
    against, judged = against_paper(material.study), judge_claims(material.study, material.changes)
    held = as_facts(judged)
    without = len(judged) - len(held)
    return Content(
        values={
            "sentences": sentences(against),
            "rows": [_shown(row) for row in against.rows],
            "claims": held,
            "unheld": f"No run of ours is about {without} of the paper's claims on its curves." if without else "",
        },
        tables={"against_paper": frame(against.rows, Beside), "paper_claims": frame(judged, JudgedClaim)},
    )


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
