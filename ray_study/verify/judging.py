"""One text and its gold answer -> a judgement. `JUDGES` names what compares, one function a kind of answer."""

from __future__ import annotations

from collections.abc import Callable

from ray_study.rows import FinishReason, Judgement, Kind, Reads
from ray_study.verify.answers import last_box
from ray_study.verify.code import fenced_code, judge_code, unfenced_code
from ray_study.verify.countdown import judge_countdown, last_expression
from ray_study.verify.instructions import judge_instructions, loosely, none_followed
from ray_study.verify.maths import judge_math
from ray_study.verify.reading import FIRST, SAID, last_yes_no, part_to_read
from ray_study.verify.refusal import judge_refusal
from ray_study.verify.simple import judge_choice, judge_exact, judge_number, judge_yes_no, last_letter, last_line, last_number

TIMEOUT_SECONDS = 8.0
"""Wall clock of one comparison by math-verify; what takes longer gets the verdict `timeout`."""

Compare = Callable[[str, str, float], Judgement]
"""(the extracted answer, the gold answer, seconds it may take) -> the judgement."""


def _nobody_asked(answer: str, gold: str, timeout_seconds: float) -> Judgement:
    """What is known of an answer that only a judge model can judge, where none is asked."""
    return Judgement(verdict="error", answer=None, explanation="a judge model has to be asked, and none is named for this benchmark")


JUDGES: dict[Kind, Compare] = {
    "math": judge_math,
    "countdown": judge_countdown,
    "choice": judge_choice,
    "exact": judge_exact,
    "number": judge_number,
    "refusal": judge_refusal,
    "yes_no": judge_yes_no,
    "code": judge_code,
    "instructions": judge_instructions,
    "judged": _nobody_asked,
}

LENIENT_VIEWS: dict[Kind, Callable[[Judgement], Judgement]] = {"instructions": loosely}
"""Kinds whose lenient verdict is another view of the same judgement."""

WITHOUT_ANSWER: dict[Kind, Callable[[Judgement, str], Judgement]] = {"instructions": none_followed}
"""Kinds of which something is to be said where there is no answer, beside that: (the judgement, the gold answer) -> the judgement."""

NEEDS_NO_BOX: dict[Kind, Callable[[str], str | None]] = {
    "refusal": str.strip,
    "yes_no": last_yes_no,
    "code": fenced_code,
    "instructions": str.lstrip,
    "judged": str.strip,
}
"""What of the text is the answer, for the kinds that no prompt asks a box for."""

_TEXT = "text after the thinking"
_SOUGHT: dict[Kind, str] = {
    "refusal": _TEXT,
    "yes_no": "yes or no after the thinking",
    "code": "fenced program after the thinking",
    "instructions": _TEXT,
    "judged": _TEXT,
}

WITHOUT_A_BOX: dict[Kind, Callable[[str], str | None]] = {
    "math": last_number,
    "countdown": last_expression,
    "choice": last_letter,
    "exact": last_line,
    "number": last_number,
    "code": unfenced_code,
}
"""What `judge_lenient` takes as the answer where there is no box."""


def judge(  # noqa: PLR0913 - what is known of one text, each with its usual value
    kind: Kind,
    text: str,
    gold: str,
    *,
    finish_reason: FinishReason = "stop",
    thinking_opened: bool = False,
    reads: Reads = "answer",
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Judgement:
    r"""The strict verdict on one text: the answer is the last `\boxed{}` after the last `</think>`, and nothing else.

    `unfinished` is a text cut at its cap without an answer, or thinking that was opened and never closed. A refusal, and yes or no, need
    no box, a program stands in the last fenced block, and instructions are followed by the whole answer. May be called from any thread,
    Ray task or actor, notebook or script: what can hang runs in a process of its own.

    Args:
        kind: Which verifier judges.
        text: What the model wrote, with its thinking.
        gold: The gold answer in the form that `Problem.answer` documents.
        finish_reason: How the attempt ended.
        thinking_opened: Whether the rendered prompt ended inside an open `<think>`.
        reads: Where the answer is looked for, as `rows.Reads` says; a benchmark's `reads`. All but `answer` read the thinking too, so
            that a published number can be made again as it was made.
        timeout_seconds: Wall clock of one comparison by math-verify.

    Raises:
        ValueError: No verifier is known for the kind, the checkers of instructions are not installed, or `reads` is not for this kind.
        RuntimeError: The math worker cannot start (math-verify is not installed, for one), or there is no sandbox for programs here.
    """
    compare = _compare_of(kind)
    answer = strict_answer(kind, text, finish_reason=finish_reason, thinking_opened=thinking_opened, reads=reads)
    return without_answer(kind, answer, gold) if isinstance(answer, Judgement) else compare(answer, gold, timeout_seconds)


def judge_lenient(  # noqa: PLR0913 - those of `judge`
    kind: Kind,
    text: str,
    gold: str,
    *,
    finish_reason: FinishReason = "stop",
    thinking_opened: bool = False,
    reads: Reads = "answer",
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Judgement:
    """The verdict of `judge`, but where there is no box the last number, letter, expression or line counts as the answer.

    Thinking that was never closed stays `unfinished`, and a refusal is judged as `judge` does. Arguments and errors are
    those of `judge`. The gap between the two verdicts is what the format alone costs.
    """
    compare = _compare_of(kind)
    answer = lenient_answer(kind, text, finish_reason=finish_reason, thinking_opened=thinking_opened, reads=reads)
    return answer if isinstance(answer, Judgement) else lenient_view(kind, compare(answer, gold, timeout_seconds))


def without_answer(kind: Kind, judgement: Judgement, gold: str) -> Judgement:
    """The judgement where there is no answer, with what is known of the kind all the same."""
    if kind in WITHOUT_ANSWER and judgement.verdict in ("unfinished", "no_answer"):
        return WITHOUT_ANSWER[kind](judgement, gold)
    return judgement


def lenient_view(kind: Kind, judgement: Judgement) -> Judgement:
    """The lenient judgement on an answer of which the strict one is known."""
    return LENIENT_VIEWS[kind](judgement) if kind in LENIENT_VIEWS else judgement


def strict_answer(kind: Kind, text: str, *, finish_reason: FinishReason, thinking_opened: bool, reads: Reads = "answer") -> str | Judgement:
    """The answer that `judge` compares, or the judgement where there is none; `reads` says where it is looked for."""
    part = _part_to_judge(text, finish_reason, thinking_opened, reads)
    if isinstance(part, Judgement):
        return part
    return _answer_in(kind, part, reads) or _without_answer(kind, finish_reason)


def lenient_answer(
    kind: Kind, text: str, *, finish_reason: FinishReason, thinking_opened: bool, reads: Reads = "answer"
) -> str | Judgement:
    """The answer that `judge_lenient` compares, or the judgement where there is none; `reads` as in `strict_answer`."""
    part = _part_to_judge(text, finish_reason, thinking_opened, reads)
    if isinstance(part, Judgement):
        return part
    answer = _answer_in(kind, part, reads)
    if not answer and kind in WITHOUT_A_BOX:
        answer = WITHOUT_A_BOX[kind](part)
    return answer or _without_answer(kind, finish_reason)


def _compare_of(kind: Kind) -> Compare:
    if kind not in JUDGES:
        raise ValueError(f"unknown kind of answer {kind!r}; choose from {sorted(JUDGES)}, or add a function to verify/")
    return JUDGES[kind]


def _part_to_judge(text: str, finish_reason: FinishReason, thinking_opened: bool, reads: Reads) -> str | Judgement:
    """The part of the text that may hold an answer, or the judgement where no part may."""
    if finish_reason == "refused":
        return Judgement(verdict="error", answer=None, explanation="the model was never asked")
    part = part_to_read(text, reads, thinking_opened=thinking_opened)
    if part is None:
        return Judgement(verdict="unfinished", answer=None, explanation="the thinking was opened and never closed")
    return part


def _answer_in(kind: Kind, part: str, reads: Reads) -> str | None:
    if reads in ("first_in_text", "first_before_stop"):
        if kind not in FIRST:
            raise ValueError(f"`reads: {reads}` is for answers of kind {sorted(FIRST)}, found {kind!r}; use `whole_text`")
        return FIRST[kind](part)
    if kind in NEEDS_NO_BOX:
        return NEEDS_NO_BOX[kind](part)
    answer = last_box(part)
    return SAID[kind](part) if not answer and reads != "answer" and kind in SAID else answer


def _without_answer(kind: Kind, finish_reason: FinishReason) -> Judgement:
    what = _SOUGHT.get(kind, r"filled \boxed{} after the thinking")
    if finish_reason == "length":
        return Judgement(verdict="unfinished", answer=None, explanation=f"cut at the cap without a {what}")
    return Judgement(verdict="no_answer", answer=None, explanation=f"no {what}")
