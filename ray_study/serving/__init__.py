"""vLLM engines on Ray Serve: one way to ask a model, for teacher, student and judge."""

from ray_study.serving.pool import Handle, Pool
from ray_study.serving.words import EngineLost, PoolUnavailable, Reply, Request, SwapRefused

__all__ = ["EngineLost", "Handle", "Pool", "PoolUnavailable", "Reply", "Request", "SwapRefused"]
