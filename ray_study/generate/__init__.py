"""Problems and a teacher make attempts."""

from ray_study.generate.asking import Asked, Asking, Shard, shards, stable_seed
from ray_study.generate.driving import drive
from ray_study.generate.solver import solver_attempts

__all__ = ["Asked", "Asking", "Shard", "drive", "shards", "solver_attempts", "stable_seed"]
