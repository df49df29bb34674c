"""Problems and a teacher make attempts. What drives them over a cluster is imported from `driving`, so that words come without Ray."""

from ray_study.generate.asking import Asked, Asking, Shard, ask, shards, stable_seed
from ray_study.generate.chat_completion import Usage, prompt_hash
from ray_study.generate.cutting import Cut, Round, Rule, cuts
from ray_study.generate.endpoint import Answered, EndpointUnavailable, Server, TryFailed, key_of
from ray_study.generate.model_list import Listed, look_for_model
from ray_study.generate.progress import Meter
from ray_study.generate.recorded import Matching
from ray_study.generate.solver import solver_attempts
from ray_study.generate.tally import Fact, Tally, read_facts, write_facts

__all__ = [
    "Answered",
    "Asked",
    "Asking",
    "Cut",
    "EndpointUnavailable",
    "Fact",
    "Listed",
    "Matching",
    "Meter",
    "Round",
    "Rule",
    "Server",
    "Shard",
    "Tally",
    "TryFailed",
    "Usage",
    "ask",
    "cuts",
    "key_of",
    "look_for_model",
    "prompt_hash",
    "read_facts",
    "shards",
    "solver_attempts",
    "stable_seed",
    "write_facts",
]
