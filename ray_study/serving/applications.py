"""Pools as Serve sees them: an application for each, how many replicas it has, and its end."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from typing import Any

import ray
from ray import serve
from ray.util import list_named_actors

from ray_study.resources import ServeResources
from ray_study.serving.options import engine_environment
from ray_study.serving.replica import Replica
from ray_study.serving.words import PoolUnavailable

log = logging.getLogger(__name__)

START_SECONDS = 1800.0
"""How long engines may take to start: the weights of a large model come from a network file system once."""

SHUTDOWN_SECONDS = 30.0
"""A pool is closed when its shards are done or cancelled, so nothing is waited for but the engines' own end."""

UPSCALE_SECONDS = 5.0
"""Shards that wait want an engine now: its start is the long part."""

IDLE_SECONDS = 600.0
"""How long a replica must be one too many before it ends: as long as an engine may take to start, so that none comes and goes between
two checkpoints of a run."""

DRAIN_SECONDS = 4 * 3600.0
"""How long a replica that is one too many may go on with what it answers: longer than the longest shard."""

_DEPLOYMENT = "Replica"
_NAMESPACE = "serve"
_REPLICAS = "SERVE_REPLICA::"
"""Serve names a replica's actor so, then its application's name, and a `#`."""


def deployment(resources: ServeResources, num_shards: int, *, replica: type = Replica) -> Any:
    """The deployment of a pool whose replicas, of class `replica`, each take `num_shards` shards at a time."""
    options: dict[str, Any] = {
        "num_cpus": resources.cpus_per_replica,
        "num_gpus": resources.gpus_per_replica,
        "runtime_env": {"env_vars": _environment(resources)},
    }
    if resources.accelerator_type is not None:
        options["accelerator_type"] = resources.accelerator_type
    return serve.deployment(
        replica,
        name=_DEPLOYMENT,
        ray_actor_options=options,
        max_ongoing_requests=num_shards,
        graceful_shutdown_wait_loop_s=0.5,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        # The event loop is busy while an engine begins or a long shard is decoded.
        health_check_period_s=10,
        health_check_timeout_s=300,
        **_scale(resources, num_shards),
    )


def _scale(resources: ServeResources, num_shards: int) -> dict[str, Any]:
    """How many replicas there are: as many as asked for, or as the shards that wait need."""
    if not resources.comes_and_goes:
        return {"num_replicas": resources.replicas, "graceful_shutdown_timeout_s": SHUTDOWN_SECONDS}
    return {
        "autoscaling_config": {
            "min_replicas": resources.idle_replicas,
            # A pool is opened for shards that wait. Without a first replica nobody would hear why none starts: Serve lets requests wait.
            "initial_replicas": resources.fewest_replicas,
            "max_replicas": resources.replicas,
            # A replica that has all the shards it takes is full, and not one before.
            "target_ongoing_requests": num_shards,
            "upscale_delay_s": UPSCALE_SECONDS,
            "downscale_delay_s": IDLE_SECONDS,
        },
        "graceful_shutdown_timeout_s": DRAIN_SECONDS,
    }


def _environment(resources: ServeResources) -> dict[str, str]:
    return engine_environment(gpus=resources.gpus_per_replica, cpus=resources.cpus_per_replica)


def check_cluster(resources: ServeResources) -> None:
    """Returns where the cluster has what the replicas need that must be there.

    Raises:
        PoolUnavailable: it has less.
    """
    found, replicas = ray.cluster_resources(), resources.fewest_replicas
    for kind, each in (("CPU", resources.cpus_per_replica), ("GPU", resources.gpus_per_replica)):
        if found.get(kind, 0.0) < each * replicas:
            raise PoolUnavailable(
                f"{replicas} replicas need {each * replicas:g} {kind}s, the cluster has {found.get(kind, 0.0):g}; "
                "ask for fewer under `resources`, or add nodes"
            )


def open_application(name: str, application: Any) -> None:
    """Deploys an application, and returns when its replicas answer.

    Raises:
        PoolUnavailable: they do not start.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    # No proxy: nothing is served over HTTP, and no port is taken.
    serve.start(proxy_location="Disabled")
    target = serve.RunTarget(application, name=name, route_prefix=None)
    serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
    try:
        _wait_until_running(name)
    except BaseException:
        delete(name)
        raise


def num_live(name: str) -> int:
    """How many replicas of an application answer now."""
    status = serve.status().applications.get(name)
    return int(status.deployments[_DEPLOYMENT].replica_states.get("RUNNING", 0)) if status and _DEPLOYMENT in status.deployments else 0


def delete(name: str) -> None:
    """Ends an application; returns when it is gone. A replica that goes on with what it answers, which nobody wants any more, is killed."""
    serve.delete(name, _blocking=False)
    if _is_gone(name):
        return
    # A driver that was killed cancelled nothing, and a replica that may come and go drains for as long as a shard may take.
    _kill_replicas(name)
    if not _is_gone(name):
        log.warning("Serve has not ended the pool %s; its replicas were killed", name)


def _is_gone(name: str) -> bool:
    """Whether an application is gone, waited for."""
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    while name in serve.status().applications:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _kill_replicas(name: str) -> None:
    """Ends the replicas of an application, and their engines with them."""
    for actor in list_named_actors(all_namespaces=True):
        if actor["namespace"] == _NAMESPACE and actor["name"].startswith(f"{_REPLICAS}{name}#"):
            # It may have ended meanwhile.
            with suppress(ValueError):
                ray.kill(ray.get_actor(actor["name"], namespace=_NAMESPACE))


def delete_all(prefix: str) -> list[str]:
    """The names of the applications that begin so, each ended: what a driver left that was killed, since Serve outlives drivers."""
    left = [name for name in serve.status().applications if name.startswith(prefix)]
    for name in left:
        delete(name)
    return left


def _wait_until_running(application: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    seen = False
    while time.monotonic() < deadline:
        status = serve.status().applications.get(application)
        if seen and status is None:
            raise PoolUnavailable("the pool was closed while its engines started")
        seen = status is not None
        if status is not None and status.status == "RUNNING":
            return
        if status is not None and status.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            raise PoolUnavailable(f"the engines did not start: {_reason(status)}")
        time.sleep(0.2)
    raise PoolUnavailable(
        f"the engines did not start within {START_SECONDS:.0f} s; the cluster has {ray.available_resources()} free: "
        "another study may hold it"
    )


def _reason(status: Any) -> str:
    messages = [status.message, *(deployment.message for deployment in status.deployments.values())]
    return "\n".join(message for message in messages if message)[-4000:]
