"""The question, the answer, the trajectories and their dips."""

from __future__ import annotations

from functools import partial

import polars as pl

from ray_study.analyze import plots
from ray_study.analyze.answer import answer, sentence, warnings
from ray_study.analyze.makeup import makeups
from ray_study.analyze.makeup_figure import plot_makeup
from ray_study.analyze.page.content import Content, Material
from ray_study.analyze.shapes import peaks_summary, shape_rows, shapes_summary
from ray_study.rows import BenchmarkCard


def question(material: Material) -> Content:
    """The study's question, as it was written down before."""
    return Content(values={"question": str(material.study.facts.get("question") or "")})


def answer_section(material: Material) -> Content:
    """Three sentences made from the numbers, and each run's own below them."""
    found = material.changes
    return Content(
        values={
            "sentences": answer(material.study, found, material.by_step, material.paths),
            "warnings": warnings(material.study, found),
            "by_run": [sentence(change) for change in found],
            "family": sum(change.difference_p_value is not None for change in found),
        }
    )


def trajectories(material: Material) -> Content:
    """Primary scores over steps, a row of panels for each group of benchmarks."""
    study = material.study
    figures = {"accuracy": partial(plots.plot_accuracy, study)}
    if study.training:
        figures["training"] = partial(plots.plot_training, study)
    return Content(values={"cards": [{"card": card, "note": card_note(card)} for card in material.cards]}, figures=figures)


def card_note(card: BenchmarkCard) -> str:
    """What a reader must know of a benchmark; a refusal is found by its phrases, and the report says so."""
    refusal = "phrase match, not judged" if card.kind == "refusal" else ""
    return card.note if refusal in card.note else "; ".join(part for part in (refusal, card.note) if part)


def dips(material: Material) -> Content:
    """The shape of each trajectory, and what its score is made of by step."""
    rows = shape_rows(material.changes)
    if not rows:
        return Content(nothing="No trajectory could be looked at: that needs step 0, a later step, their attempts and some items.")
    made = makeup_table(material)
    plain = [{key: value for key, value in row.items() if key not in ("made_of",)} for row in rows]
    named = [(f"{each.benchmark} with {each.label}", each.dip, each.dip_p_value) for each in material.changes if each.dip]
    peaks = [(f"{each.benchmark} with {each.label}", each.peak, each.peak_p_value) for each in material.changes if each.peak]
    return Content(
        values={"shapes": rows, "summary": shapes_summary(named), "peaks": peaks_summary(peaks, len(named))},
        figures={"makeup": partial(plot_makeup, material.study, made)} if len(made) else {},
        tables={"shapes": pl.DataFrame(plain, infer_schema_length=None), "makeup": made},
    )


_MAKEUP = {
    "run": pl.String,
    "label": pl.String,
    "benchmark": pl.String,
    "step": pl.Int64,
    **dict.fromkeys(("accuracy", "finished", "answered", "right", "right_though_cut"), pl.Float64),
}


def makeup_table(material: Material) -> pl.DataFrame:
    """What each score is made of, a row a run, benchmark and step; benchmarks that have no right answer are left out."""
    kinds = {card.benchmark: card.kind for card in material.cards}
    rows = [
        {"run": run, "label": material.labels[run], "benchmark": benchmark}
        | {name: getattr(each, name) for name in ("step", "accuracy", "finished", "answered", "right", "right_though_cut")}
        for (run, benchmark), by_step in material.by_step.items()
        if kinds.get(benchmark) not in ("refusal", "judged")
        for each in makeups(by_step)
    ]
    return pl.DataFrame(rows, schema=_MAKEUP)
