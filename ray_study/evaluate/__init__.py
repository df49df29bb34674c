"""The suite, and what is owed and what is scored: items (`problems`), answers (`serving`) and verdicts (`verify`) put together."""

from ray_study.evaluate.scoring import Cell, score_checkpoint, sit
from ray_study.evaluate.sittings import Sittings, lanes
from ray_study.evaluate.suite import Exam, exams, in_rounds, is_owed, keep_lists

__all__ = ["Cell", "Exam", "Sittings", "exams", "in_rounds", "is_owed", "keep_lists", "lanes", "score_checkpoint", "sit"]
