"""Questions with lettered options."""

from __future__ import annotations

from ray_study.benchmarks.definition import PAPER_SAMPLING, Definition, Protocol

_LINES = "question, options a line each under their letters, then the request to reason step by step and box one letter"
_GREEDY = {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "max_tokens": 32768}

GPQA_DIAMOND = Definition(
    name="gpqa_diamond",
    what="198 graduate questions of biology, chemistry and physics",
    source="gpqa_diamond",
    group="out_of_domain",
    cluster="the subdomain",
    num_items=198,
    suites=("paper",),
    access="accept its terms at https://huggingface.co/datasets/Idavidrein/gpqa",
    protocols={
        "paper": Protocol(
            asks="`Problem:` and `Options: A) …, B) …` in running text, then the request to box one letter",
            num_samples=3,
            sampling=PAPER_SAMPLING,
            options={"layout": "running"},
            reads="stripped",
            note=(
                "options are ordered by a SHA-256 here, the authors' order differs from process to process; a box with a letter and its "
                "option's text counts here, with the authors a letter alone"
            ),
        ),
        "standard": Protocol(asks=_LINES, num_samples=3, options={"layout": "lines"}),
    },
)
MMLU_PRO = Definition(
    name="mmlu_pro",
    what="12,032 questions of 14 categories with up to ten options",
    source="mmlu_pro",
    group="out_of_domain",
    cluster="the category",
    num_items=12032,
    suites=("paper",),
    protocols={
        "paper": Protocol(
            asks=_LINES,
            sampling=_GREEDY,
            options={"balanced": 1000},
            reads="first_before_stop",
            num_items=1000,
            note=(
                "a category-balanced 1,000 of our own, since the authors' subset is not published; what stands after one of their stop "
                "strings is not judged, as with them, but answers are written to their end, so lengths are not theirs"
            ),
        ),
        "standard": Protocol(
            asks=_LINES,
            note="zero-shot and boxed; the benchmark's own script shows five worked examples and reads `the answer is (X)`",
        ),
    },
)
MMLU_PRO_1000 = Definition(
    name="mmlu_pro_1000",
    what="a category-balanced 1,000 of MMLU-Pro, chosen by the SHA-256 of the question's id",
    source="mmlu_pro",
    group="out_of_domain",
    cluster="the category",
    num_items=1000,
    options={"balanced": 1000},
    protocols={"standard": Protocol(asks=_LINES, note="`python -m ray_study.problems.mmlu_pro FILE` lists its ids")},
)
MMLU = Definition(
    name="mmlu",
    what="MMLU's test questions of 57 subjects, four options each",
    source="mmlu",
    group="out_of_domain",
    cluster="the subject",
    num_items=13937,
    items=1000,
    suites=("offline",),
    protocols={"standard": Protocol(asks=_LINES, note="zero-shot and boxed; the benchmark's own script shows five examples")},
)

DEFINITIONS = (GPQA_DIAMOND, MMLU_PRO, MMLU_PRO_1000, MMLU)
