"""A Ray cluster to run on: the one that `RAY_ADDRESS` names, or one of our own for as long as the study runs."""

from __future__ import annotations

import logging
import math
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ray_study import machine

LOCAL_CPUS = 8
"""Logical CPUs of a cluster of our own: Ray counts them, it does not measure them, and the flow's actors need this many slots."""

REACH_SECONDS = 10.0
"""How long a cluster's head may take to accept a connection."""

_TOO_SLOW = ("timed out during startup", "dashboard.log", "dashboard.err")
"""What Ray says where a process of its node, or its dashboard, was not there in time."""

log = logging.getLogger(__name__)

# Polls that wait for people by default wait for tests here; set before any worker starts.
_ENVIRONMENT = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2", "TOKENIZERS_PARALLELISM": "false"}
# One thread a process unless `resources` says more, and threads that wait must sleep: on two busy cores, two that spin are ten times slower
# than one.
_WORKER_ENVIRONMENT = {**_ENVIRONMENT, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
# Nobody takes away the only node of a cluster of our own, and the process that would see it coming starts when a run's workers do: it
# takes their cores for seconds.
_OWN_ENVIRONMENT = {"RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What the cluster has."""

    num_cpus: float
    num_gpus: float
    num_nodes: int
    ours: bool
    """Whether it was started for this study and ends with it."""
    dashboard: str


@contextmanager
def connect(*, num_cpus: float, num_gpus: int, own_cpus: float = 0.0, verbose: bool = False) -> Iterator[Cluster]:
    """A cluster with at least so many logical CPUs and GPUs, for the length of the block.

    Args:
        num_cpus: what the work cannot do without.
        num_gpus: likewise.
        own_cpus: what it can use, which may be more: a cluster of our own counts so many.
        verbose: whether Ray's own lines are shown.

    Raises:
        ValueError: the cluster that `RAY_ADDRESS` names has less, or does not answer; at once, where Ray itself would wait for ever.
    """
    for key, value in _ENVIRONMENT.items():
        os.environ.setdefault(key, value)
    if not verbose:
        # What a stage has to say goes through `progress`; these repeat it, with addresses of log files.
        for name in ("ray", "ray.data", "ray.serve", "ray.train", "ray.tune"):
            logging.getLogger(name).setLevel(logging.ERROR)
    address = os.environ.get("RAY_ADDRESS")
    level = logging.INFO if verbose else logging.WARNING
    runtime: Mapping[str, object] = {"env_vars": worker_environment(ours=not address)}
    if address:
        _check_reachable(address)
        try:
            ray.init(address=address, log_to_driver=verbose, logging_level=level, runtime_env=dict(runtime))
        except ConnectionError as error:
            raise ValueError(f"RAY_ADDRESS={address}: {error}; start a cluster, or unset it to run on this machine") from error
    else:
        _start_own(
            num_cpus=max(LOCAL_CPUS, math.ceil(max(num_cpus, own_cpus))),
            num_gpus=num_gpus or None,
            # Without the dashboard's process a killed trial's placement group is never freed.
            include_dashboard=True,
            log_to_driver=verbose,
            logging_level=level,
            runtime_env=dict(runtime),
        )
    try:
        cluster = _facts(ours=not address)
        _check(cluster, num_cpus, num_gpus)
        log.info("cluster of %g CPUs, %g GPUs, %d nodes", cluster.num_cpus, cluster.num_gpus, cluster.num_nodes)
        yield cluster
    finally:
        ray.shutdown()


def worker_environment(*, ours: bool) -> dict[str, str]:
    """What every process of a study on the cluster has in its environment; `ours` where the cluster is this machine alone."""
    return {**_WORKER_ENVIRONMENT, **(_OWN_ENVIRONMENT if ours else {})}


def _check_reachable(address: str) -> None:
    """Returns when something listens at an address with a port; Ray itself would try again for minutes without a word."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return  # `auto` and the like are Ray's to resolve.
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise ValueError(
            f"RAY_ADDRESS={address} does not answer ({error}); start a cluster there (`ray start --head`), mend the address, "
            "or unset it to run on this machine"
        ) from error


def _start_own(**options: Any) -> None:
    """Starts a cluster on this machine; a machine that is too busy for Ray's half a minute gets two more chances."""
    for left in (2, 1, 0):
        try:
            ray.init(address="local", **options)
        # Ray raises nothing narrower when its node does not come up in time.
        except Exception as error:
            if left == 0 or not any(words in str(error) for words in _TOO_SLOW):
                raise
            log.warning("Ray did not start in time; trying again")
            ray.shutdown()
        else:
            return


def _facts(*, ours: bool) -> Cluster:
    resources = ray.cluster_resources()
    nodes = [node for node in ray.nodes() if node["Alive"]]
    context = ray.get_runtime_context()
    assert context is not None
    return Cluster(
        num_cpus=resources.get("CPU", 0.0),
        num_gpus=resources.get("GPU", 0.0),
        num_nodes=len(nodes),
        ours=ours,
        dashboard=str(ray._private.worker.get_dashboard_url() or ""),
    )


def _check(cluster: Cluster, num_cpus: float, num_gpus: int) -> None:
    for kind, found, needed, flag in (
        ("logical CPUs", cluster.num_cpus, num_cpus, "--num-cpus"),
        ("GPUs", cluster.num_gpus, num_gpus, "--num-gpus"),
    ):
        if found < needed:
            raise ValueError(
                f"the cluster has {found:g} {kind}, the study needs {needed:g}: use `ray start --head {flag}={needed:g}` or more, "
                "add nodes, or ask for less under `resources`"
            )


def read_everywhere(path: str) -> dict[str, str]:
    """The text of a file as each node of the cluster sees it, by the node's address; empty where it does not."""
    read = ray.remote(_read)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = [NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=False) for node in nodes]
    texts = ray.get([read.options(scheduling_strategy=where, num_cpus=0).remote(path) for where in asked])
    return {str(node["NodeManagerAddress"]): text for node, text in zip(nodes, texts, strict=True)}


@contextmanager
def measured_nodes(directory: str, name: str) -> Iterator[None]:
    """Every node of the cluster is measured while the block runs, each into a file of `directory`, which all see.

    Args:
        directory: where `NAME-NODE.system.jsonl` goes for each node; `NAME.system.jsonl` where there is one node, measured from here.
        name: of this driver, such as its role.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) < 2:
        with machine.measured(Path(directory) / f"{name}{machine.SUFFIX}"):
            yield
        return
    measurer = ray.remote(_Measurer)
    measurers = []
    for node in nodes:
        where = NodeAffinitySchedulingStrategy(node_id=node["NodeID"], soft=True)
        path = f"{directory}/{name}-{node['NodeManagerAddress']}-{node['NodeID'][:4]}{machine.SUFFIX}"
        # They take no slot and end with this process, also where it is killed.
        measurers.append(measurer.options(scheduling_strategy=where, num_cpus=0).remote(path))
    try:
        yield
    finally:
        for each in measurers:
            ray.kill(each)


class _Measurer:
    """Measures the node that it is on for as long as it lives."""

    def __init__(self, path: str) -> None:
        self._measured = machine.measured(Path(path))
        self._measured.__enter__()


def prove_shared(directory: str, mend: str, read: Callable[[str], Mapping[str, str]] = read_everywhere) -> None:
    """Returns when every node of the cluster reads what this process writes into a directory.

    Args:
        directory: a local path; what has a URI is no node's own.
        mend: what to do where it is not shared.
        read: the text of a file as each node sees it.

    Raises:
        ValueError: a node does not see it; what is written there would be lost to the others.
    """
    if "://" in directory:
        return
    token = uuid.uuid4().hex
    path = Path(directory) / f".shared-{token}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(token)
    try:
        blind = sorted(node for node, text in read(str(path)).items() if text != token)
    finally:
        path.unlink(missing_ok=True)
    if blind:
        raise ValueError(f"{directory} is not shared: node {', '.join(blind)} does not see what is written there; {mend}")


def _read(path: str) -> str:
    return Path(path).read_text() if Path(path).is_file() else ""


def ended_for_memory(text: str) -> bool:
    """Whether an error of Ray's says that its monitor ended a process because the node ran low on memory."""
    return any(words in text for words in ("due to memory pressure", "running low on memory"))


def in_words(error: BaseException) -> str:
    """One line of an error of Ray's, which puts whole tracebacks and pages of advice into its messages."""
    text = str(error)
    if ended_for_memory(text):
        return "Ray ended it because the machine ran low on memory; free some, or let fewer things run at once"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
