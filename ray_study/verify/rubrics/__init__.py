"""What a judge model may be asked about a reply: one dict that names the rubrics. Words and readers only; who asks is the flow's affair."""

from __future__ import annotations

from ray_study.verify.rubrics.identity import judge_literal, judging_literal
from ray_study.verify.rubrics.judged import REWARD, RUBRICS, Asked, judge_reply, reply_id, reply_to_judge, together
from ray_study.verify.rubrics.policy import DECLINED, FULL_COMPLIANCE
from ray_study.verify.rubrics.rubric import Part, Rubric, Value

__all__ = [
    "DECLINED",
    "FULL_COMPLIANCE",
    "REWARD",
    "RUBRICS",
    "Asked",
    "Part",
    "Rubric",
    "Value",
    "judge_literal",
    "judge_reply",
    "judging_literal",
    "reply_id",
    "reply_to_judge",
    "together",
]
