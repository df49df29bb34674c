"""Problems and a teacher make attempts."""

from ray_study.generate.asking import Asked, Asking, Shard, shards, stable_seed
from ray_study.generate.cutting import Cut, Round, Rule, cuts
from ray_study.generate.driving import Job, done, drive, drive_server
from ray_study.generate.endpoint import EndpointUnavailable, Server
from ray_study.generate.progress import Meter
from ray_study.generate.recorded import Matching
from ray_study.generate.solver import solver_attempts
from ray_study.generate.tally import Fact, Tally, read_facts, write_facts

__all__ = [
    "Asked",
    "Asking",
    "Cut",
    "EndpointUnavailable",
    "Fact",
    "Job",
    "Matching",
    "Meter",
    "Round",
    "Rule",
    "Server",
    "Shard",
    "Tally",
    "cuts",
    "done",
    "drive",
    "drive_server",
    "read_facts",
    "shards",
    "solver_attempts",
    "stable_seed",
    "write_facts",
]
