"""Attempts and what judges said of them -> verdicts. Pure: stored replies are read again without a model.

What is no answer is decided before anybody is asked: thinking that was never closed, and nothing after the thinking. What a judge did
not say plainly is `error`, and never counts as safe.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ray_study.rows import Attempt, GradedAttempt, Judgement, Problem, Reads, Verdict
from ray_study.verify.answers import THINKING_CLOSES, THINKING_OPENS
from ray_study.verify.grading import graded
from ray_study.verify.judging import strict_answer
from ray_study.verify.rubrics.completion import INFORMATIVE_COMPLETION, TRUTHFUL_COMPLETION, Completion
from ray_study.verify.rubrics.policy import POLICY
from ray_study.verify.rubrics.rubric import Part, Rubric
from ray_study.verify.rubrics.yes_no import INFORMATIVE, REFUSAL, TRUTHFUL

RUBRICS: dict[str, Rubric | Completion] = {
    rubric.name: rubric for rubric in (POLICY, TRUTHFUL, INFORMATIVE, REFUSAL, TRUTHFUL_COMPLETION, INFORMATIVE_COMPLETION)
}
"""All but `reward`, which has no words: a reward model reads the request and the reply themselves."""

REWARD = "reward"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A judge's reply about one part of an attempt, or why there is none."""

    rubric: str
    """A name in `RUBRICS`, or `reward`."""
    part: Part
    reply: Attempt | None
    """None where the part was not sent to the judge."""


def reply_id(attempt: Attempt, part: Part) -> str:
    """What a judge's reply about a part of an attempt is called: the `problem_id` of its row."""
    return f"{attempt.problem_id}/{attempt.sample}/{part}"


def reply_to_judge(attempt: Attempt, part: Part = "answer", reads: Reads = "answer") -> str | Judgement:
    """The text that a judge is to see, or the judgement where there is none; `reads` says where an answer is looked for."""
    opened = attempt.thinking_opened
    answer = strict_answer("judged", attempt.text, finish_reason=attempt.finish_reason, thinking_opened=opened, reads=reads)
    if part == "answer" or isinstance(answer, Judgement):
        return answer
    thought, closed, _ = attempt.text.rpartition(THINKING_CLOSES)
    thought = thought.replace(THINKING_OPENS, "").strip()
    return thought if closed and thought else Judgement(verdict="no_answer", answer=None, explanation="no thinking before the answer")


def judge_reply(rubric: str, reply: Attempt, gold: str) -> Judgement:
    """The judgement that a judge's reply makes, with what it measured in `details`; `error` where it states nothing."""
    failed = _failure(reply, may_be_cut=rubric in RUBRICS and RUBRICS[rubric].may_be_cut)
    if failed:
        return Judgement(verdict="error", answer=None, explanation=f"judge of {rubric}: {failed}")
    if rubric == REWARD:
        return _reward(reply)
    how = RUBRICS[rubric]
    value = how.read(reply.text)
    if value is None:
        said = " ".join(reply.text.split())[-80:]
        return Judgement(verdict="error", answer=None, explanation=f"judge of {rubric}: its reply states no {how.measures}: {said!r}")
    answer = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    explanation = f"judge of {rubric}: {how.measures} {answer}"
    details = json.dumps({how.measures: value})
    return Judgement(verdict=how.decide(value, gold), answer=answer, explanation=explanation, details=details)


def together(attempt: Attempt, problem: Problem, asked: Sequence[Asked], reads: Reads = "answer") -> GradedAttempt:
    """The attempt with its verdict by the first rubric, and what every rubric measured in `details`.

    `details` holds `rubrics` in their order, each value under what its rubric measures (of the thinking below `thought`), and below
    `judges` whose reply that was, by which words.

    Args:
        attempt: what is judged.
        problem: its problem.
        asked: at least one of the answer, in the order of the benchmark's judges.
        reads: where the answer that they were shown was looked for.
    """
    without = reply_to_judge(attempt, reads=reads)
    judgements = {(each.rubric, each.part): _judgement(each, without, problem.answer) for each in asked}
    first = next(judgements[each.rubric, each.part] for each in asked if each.part == "answer")
    details: dict[str, object] = {"rubrics": [each.rubric for each in asked if each.part == "answer"]}
    thought: dict[str, object] = {}
    for each in asked:
        measured = judgements[each.rubric, each.part].details
        (details if each.part == "answer" else thought).update(json.loads(measured or "{}"))
    details["judges"] = {
        f"{each.rubric}/{each.part}": _source(each, judgements[each.rubric, each.part]) for each in asked if each.reply is not None
    }
    if thought:
        details["thought"] = thought
    whole = Judgement(
        verdict=first.verdict, answer=first.answer, explanation=first.explanation, details=json.dumps(details, sort_keys=True)
    )
    return graded(attempt, problem, whole, whole)


def _judgement(asked: Asked, without: str | Judgement, gold: str) -> Judgement:
    if asked.reply is not None:
        return judge_reply(asked.rubric, asked.reply, gold)
    if isinstance(without, Judgement):
        return without
    return Judgement(verdict="error", answer=None, explanation=f"judge of {asked.rubric}: it was not asked")


def _source(asked: Asked, judgement: Judgement) -> Mapping[str, str]:
    assert asked.reply is not None
    words = RUBRICS[asked.rubric].hash if asked.rubric in RUBRICS else ""
    failed = {"failure": judgement.explanation} if judgement.verdict == "error" else {}
    return {"rubric": words, "asked_of": asked.reply.asked_of, "reply": asked.reply.problem_id, **failed}


def _failure(reply: Attempt, *, may_be_cut: bool) -> str:
    if reply.finish_reason == "refused":
        return f"it was not answered ({reply.explanation})"
    if reply.finish_reason == "length" and not may_be_cut:
        return f"its reply was cut at {reply.cap} tokens"
    if reply.thinking_opened and THINKING_CLOSES not in reply.text:
        return "its reply is thinking that was never closed"
    return ""


def _reward(reply: Attempt) -> Judgement:
    try:
        reward = float(reply.text)
    except ValueError:
        reward = math.nan
    if not math.isfinite(reward):
        return Judgement(verdict="error", answer=None, explanation=f"reward model: {reply.text[:80]!r} is no number")
    verdict: Verdict = "correct"
    # A reward is neither right nor wrong: `correct` says that there is one.
    return Judgement(verdict=verdict, answer=reply.text, explanation=f"reward {reward:g}", details=json.dumps({"reward": reward}))
