"""Attempts -> verdicts. One verifier for teacher and student; one module a kind of answer, one dict that names them.

Nothing heavy is imported here: math-verify (and sympy under it) is imported only inside the worker processes of
`math_worker.py`, since it can hang or fill the memory and only a process can be killed. Programs run in `sandbox.py` or not at all.
"""

from __future__ import annotations

from ray_study.verify.gold import check_gold, gold_faults
from ray_study.verify.grading import grade
from ray_study.verify.judging import JUDGES, judge, judge_lenient
from ray_study.verify.needs import missing, require
from ray_study.verify.sandbox import sandbox_fault

VERSION = 4
"""Raised by hand when a judgement comes to mean something else: stored attempts are then judged again, without a model. 3: details. 4: an
attempt without an answer follows none of its instructions; `Answer: B` says B."""

__all__ = ["JUDGES", "VERSION", "check_gold", "gold_faults", "grade", "judge", "judge_lenient", "missing", "require", "sandbox_fault"]
