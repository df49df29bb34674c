"""vLLM engines on Ray Serve: one way to ask a model, for teacher, student and judge; and reward models, which only score."""

from ray_study.serving.applications import delete_all
from ray_study.serving.errors import faults_as_values, in_our_words, raise_fault
from ray_study.serving.handle import Handle
from ray_study.serving.pool import Pool
from ray_study.serving.reward_pool import RewardPool
from ray_study.serving.words import EngineLost, PoolUnavailable, Reply, Request, Scored, SwapRefused, Turn

__all__ = [
    "EngineLost",
    "Handle",
    "Pool",
    "PoolUnavailable",
    "Reply",
    "Request",
    "RewardPool",
    "Scored",
    "SwapRefused",
    "Turn",
    "delete_all",
    "faults_as_values",
    "in_our_words",
    "raise_fault",
]
