"""Questions with lettered options: GPQA, and how any set lays its options out. What is A follows from what is asked, in every process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ray_study.problems.draws import digest, shuffled, stream
from ray_study.problems.math_sets import text
from ray_study.problems.sets import Item, PublishedSet, SetOptions

LETTERS = "ABCDEFGHIJ"
Layout = Literal["lines", "running"]


class GpqaOptions(SetOptions):
    """Where GPQA is read from, and how it is asked."""

    layout: Layout = "lines"
    """`lines`: an option a line. `running`: as the study's authors ask it, all options in one sentence."""


def in_order(question: str, right: str, wrong: Sequence[str]) -> tuple[str, list[str]]:
    """What identifies a question, and its options in an order that follows from the SHA-256 of it and of nothing else.

    Neither the process, the machine, the order of the rows nor the order in which the options are published has a say.
    """
    key = digest("choice", " ".join(question.split()), right, sorted(wrong))
    return key, shuffled(stream(key, 0, "choices"), sorted([right, *wrong]))


def laid_out(question: str, options: Sequence[str], layout: Layout) -> str:
    """The question with its lettered options."""
    if layout == "running":
        listed = ", ".join(f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
        return f"Problem: {question}\nOptions: {listed}"
    listed = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    return f"Question:\n{question}\nOptions:\n{listed}"


def _gpqa(row: Mapping[str, Any], options: GpqaOptions) -> Item:
    question, right = text(row["Question"]), text(row["Correct Answer"])
    wrong = [text(row[f"Incorrect Answer {number}"]) for number in (1, 2, 3)]
    if not right or not all(wrong) or right in wrong:
        raise ValueError(f"expected four different options, found right {right[:60]!r} and wrong {[each[:60] for each in wrong]}")
    key, ordered = in_order(question, right, wrong)
    return Item(
        question=laid_out(question, ordered, options.layout) if question else "",
        answer=LETTERS[ordered.index(right)],
        kind="choice",
        cluster=text(row["Subdomain"]),
        name=text(row["Record ID"]),
        key=key,
    )


GPQA_DIAMOND = PublishedSet(
    name="Idavidrein/gpqa",
    subsets=("gpqa_diamond",),
    columns=("Question", "Correct Answer", *(f"Incorrect Answer {number}" for number in (1, 2, 3)), "Subdomain", "Record ID"),
    read=_gpqa,
    kinds=("choice",),
    licence="CC-BY-4.0 by its card, which asks that no example be shown in public; gated",
    has_solutions=False,
    has_ids=True,
    access="accept its terms at https://huggingface.co/datasets/Idavidrein/gpqa",
    options=GpqaOptions,
)
