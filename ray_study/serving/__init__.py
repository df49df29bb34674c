"""vLLM engines on Ray Serve: one way to ask a model, for teacher, student and judge; and reward models, which only score.

What stands here are its words, without Ray: whoever opens a pool imports it from its module.
"""

from ray_study.serving.words import EngineLost, PoolUnavailable, Reply, Request, Scored, SwapRefused, Turn

__all__ = ["EngineLost", "PoolUnavailable", "Reply", "Request", "Scored", "SwapRefused", "Turn"]
