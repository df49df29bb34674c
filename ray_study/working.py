"""Opening a lab: a cluster, and the engines that end with it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ray_study import machine
from ray_study.assets import CACHE_VARIABLE, cache_directory
from ray_study.claims import ROLES
from ray_study.config import ServeResources, Study
from ray_study.engines import Engines
from ray_study.fitting import workers_of
from ray_study.grid import planned
from ray_study.materials import Lab
from ray_study.ray_cluster import connect, measured_nodes, prove_shared
from ray_study.store import Store
from ray_study.tracking_uri import default_uri

log = logging.getLogger(__name__)

SLACK_CPUS = 2.0
"""Logical CPUs for what drives the work: Ray Data's tasks, Serve's controller and proxies, Tune's trial."""


def needed_cpus(study: Study) -> float:
    """The logical CPUs that the study's largest stage takes at least, with what drives it: pools grow where there is room."""
    return _cpus(study, lambda serve: serve.fewest_replicas)


def most_cpus(study: Study) -> float:
    """As `needed_cpus`, with as many replicas as pools may have: what a cluster of our own counts, or the others never came."""
    return _cpus(study, lambda serve: serve.replicas)


def _cpus(study: Study, count: Callable[[ServeResources], int]) -> float:
    resources = study.resources
    pools = [pool for section in (resources.generate, resources.evaluate) for pool in (section, *map(section.of, section.by_model))]
    serve = max(count(pool) * pool.cpus_per_replica for pool in pools)
    # What sits a suite of exams alone has no sweep, and nothing of it is trained.
    runs = planned(study) if "sweep" in study.model_fields_set else []
    workers = max((workers_of(study, run) for run in runs), default=1)
    train = workers * resources.train.cpus_per_worker * resources.train.concurrent_runs
    # An idle pool keeps its CPUs while runs train, so both are there at once on a machine without accelerators.
    return serve + train + SLACK_CPUS


@contextmanager
def open_lab(study: Study, store: Store, progress: Callable[[str], None], *roles: str) -> Iterator[Lab]:
    """A lab on the cluster that `RAY_ADDRESS` names, or on one of our own; engines and cluster end with the block.

    Args:
        study: what is worked on.
        store: its store, whose claims the caller holds.
        progress: told what is done.
        roles: those that the caller holds; none are both. Drivers that hold one each leave each other's engines alone.

    Raises:
        ValueError: the cluster has too little for the study.
    """
    shard_sizes = [study.evaluation.shard_size, *(teacher.shard_size for teacher in study.teachers.values() if teacher.by == "vllm")]
    owners = [f"{store.root} {role}" for role in roles]
    engines = Engines(progress, shard_size=min(shard_sizes), owner=owners[0] if owners else store.root)
    progress("connecting to Ray")
    verbose = log.isEnabledFor(logging.DEBUG)
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    num_cpus, own_cpus, num_gpus = needed_cpus(study), most_cpus(study), study.resources.num_gpus
    with connect(num_cpus=num_cpus, own_cpus=own_cpus, num_gpus=num_gpus, verbose=verbose) as cluster:
        if cluster.num_nodes > 1:
            check_several_nodes(study, store)
        if not cluster.ours:
            # Nobody else works on this store in our roles, and nobody in both: the claims are ours.
            engines.close_left([store.root, *(owners or (f"{store.root} {role}" for role in ROLES))])
        try:
            with measured_nodes(store.path(machine.DIRECTORY), "-".join(roles) or "run"):
                yield Lab(study=study, store=store, engines=engines, cache=cache_directory(), progress=progress)
        finally:
            engines.close()


def check_several_nodes(study: Study, store: Store, prove: Callable[[str, str], None] = prove_shared) -> None:
    """Returns when the study's directories and its tracking store can be used from several nodes.

    Raises:
        ValueError: a directory is one node's own, or the tracking store is a SQLite file.
    """
    if (study.tracking or default_uri(store.root)).startswith("sqlite:"):
        raise ValueError(
            "the cluster has several nodes, and SQLite on a shared file system loses writes; set `tracking` to an MLflow server's URI"
        )
    prove(store.root, "give the study a directory that every node mounts (RAY_STUDY_STORAGE=/shared/results)")
    # Base models lie there, and what Ray Train and Tune keep of their workers.
    prove(str(cache_directory()), f"give models and assets a directory that every node mounts ({CACHE_VARIABLE}=/shared/cache)")
