"""The driver's side of serving: one Serve application for one serving identity, and shards that are asked of it."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ray
from ray import serve
from ray.exceptions import RayActorError
from ray.serve.exceptions import ReplicaUnavailableError

from ray_study.config import Sampling, ServeResources
from ray_study.manifests import Manifest, read_manifest
from ray_study.serving.attest import check_fit
from ray_study.serving.replica import Replica
from ray_study.serving.words import EngineLost, EngineSettings, PoolUnavailable, Reply, Request, SwapRefused

log = logging.getLogger(__name__)

MAX_LOSSES = 3
"""How often a shard may be lost with its replica before the study hears of it."""

START_SECONDS = 1800.0
"""How long engines may take to start: the weights of a large model come from a network file system once."""

SHUTDOWN_SECONDS = 30.0
"""A pool is closed when its shards are done or cancelled, so nothing is waited for but the engines' own end."""

_LOST = (RayActorError, EngineLost, ReplicaUnavailableError)
_DEPLOYMENT = "Replica"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """What asks a pool; it can be sent to any task of the cluster."""

    replicas: Any
    serving: Manifest

    def ask(self, checkpoint: str, requests: Sequence[Request], sampling: Sampling) -> list[Reply]:
        """The replies of one shard in the order of its requests, all by exactly this checkpoint.

        Raises:
            SwapRefused: the checkpoint is damaged, of another identity, or could not be attested.
            PoolUnavailable: replicas died under the shard again and again.
        """
        if not requests:
            return []
        manifest = self._manifest(checkpoint)
        for loss in range(MAX_LOSSES + 1):
            try:
                return self._ask_once(checkpoint, manifest, requests, sampling)
            except _LOST as error:
                log.warning("a shard of %s was lost with its replica (%d of %d): %s", checkpoint, loss + 1, MAX_LOSSES, error)
        raise PoolUnavailable(
            f"a shard of {len(requests)} prompts of {checkpoint} was lost with its replica {MAX_LOSSES + 1} times; look into Serve's logs, "
            "and lower max_num_seqs or kv_cache_megabytes if memory ran out"
        )

    def _ask_once(self, checkpoint: str, manifest: Manifest, requests: Sequence[Request], sampling: Sampling) -> list[Reply]:
        holder = self.replicas.options(multiplexed_model_id=manifest.fingerprint)
        replies: list[Reply] = holder.answer.remote(checkpoint, list(requests), sampling).result()
        others = {reply.served for reply in replies} - {manifest.fingerprint}
        if others or [(reply.problem_id, reply.sample) for reply in replies] != [(each.problem_id, each.sample) for each in requests]:
            raise SwapRefused(f"the replies to a shard of {checkpoint} are by {sorted(others) or 'others of its requests'}: none is kept")
        return replies

    def _manifest(self, checkpoint: str) -> Manifest:
        try:
            manifest = read_manifest(Path(checkpoint))
        except ValueError as error:
            raise SwapRefused(str(error)) from error
        check_fit(Path(checkpoint), manifest, self.serving)
        return manifest


class _Admission:
    """Lets in shards of at most as many checkpoints at a time as there are live replicas, so that none swaps to and fro."""

    def __init__(self, live: Callable[[], int]) -> None:
        self._live = live
        self._asked: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, checkpoint: str) -> Iterator[None]:
        """The checkpoint is in flight for the length of the block."""
        with self._changed:
            while checkpoint not in self._asked and len(self._asked) >= max(1, self._live()):
                self._changed.wait(timeout=5)
            self._asked[checkpoint] += 1
        try:
            yield
        finally:
            with self._changed:
                self._asked[checkpoint] -= 1
                if not self._asked[checkpoint]:
                    del self._asked[checkpoint]
                self._changed.notify_all()


class Pool:
    """Replicas of an inference engine for one serving identity, from opening to `close`."""

    handle: Handle
    """For tasks that ask from elsewhere than the driver."""
    num_slots: int
    """Shards that are answered at a time."""

    def __init__(
        self,
        directory: str,
        resources: ServeResources,
        *,
        max_model_len: int | None,
        application: str,
        shard_size: int = 32,
        trust_remote_code: bool = False,
    ) -> None:
        """Deploys the application and waits until every replica answers.

        Args:
            directory: any checkpoint of the identity, such as the base model's.
            resources: how many replicas, and what each may take.
            max_model_len: positions that the engine keeps; the model's own where it is None.
            application: the name of the Serve application; one of that name must not be open.
            shard_size: prompts in the smallest kind of shard; enough shards are taken at a time to fill the engine with those.
            trust_remote_code: whether code in the model's directory may run.

        Raises:
            ValueError: the directory is no checkpoint.
            PoolUnavailable: the cluster has too little, or the engines do not start.
        """
        serving = read_manifest(Path(directory))
        settings = EngineSettings(
            directory=directory,
            dtype=serving.dtype,
            max_model_len=max_model_len,
            max_num_seqs=resources.max_num_seqs,
            gpus=resources.gpus_per_replica,
            kv_cache_megabytes=resources.kv_cache_megabytes,
            gpu_memory_utilization=resources.gpu_memory_utilization,
            trust_remote_code=trust_remote_code,
            prefix_caching=resources.prefix_caching,
        )
        _check_cluster(resources)
        self._application = application
        # One shard more than fills the engine: it stays full, and what is beyond goes to another replica.
        num_shards = math.ceil(resources.max_num_seqs / shard_size) + 1
        self._open(_deployment(resources, num_shards).bind(settings))
        self.handle = Handle(replicas=serve.get_app_handle(application), serving=serving)
        self.num_slots = resources.replicas * num_shards
        self._admission = _Admission(self.num_live)
        self._threads = ThreadPoolExecutor(max_workers=self.num_slots, thread_name_prefix=application)

    def submit(self, checkpoint: str, requests: Sequence[Request], sampling: Sampling) -> Future[list[Reply]]:
        """The future replies of one shard; errors as in `Handle.ask`."""
        return self._threads.submit(self._ask, checkpoint, requests, sampling)

    def ask(self, checkpoint: str, requests: Sequence[Request], sampling: Sampling) -> list[Reply]:
        """The replies of one shard, waited for."""
        return self.submit(checkpoint, requests, sampling).result()

    def num_live(self) -> int:
        """How many replicas answer now."""
        status = serve.status().applications.get(self._application)
        return int(status.deployments[_DEPLOYMENT].replica_states.get("RUNNING", 0)) if status and _DEPLOYMENT in status.deployments else 0

    def close(self) -> None:
        """Ends the application: shards that were not begun are cancelled, and no engine process is left."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        serve.delete(self._application)

    def __enter__(self) -> Self:
        """The open pool."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes the pool."""
        self.close()

    def _ask(self, checkpoint: str, requests: Sequence[Request], sampling: Sampling) -> list[Reply]:
        with self._admission.of(checkpoint):
            return self.handle.ask(checkpoint, requests, sampling)

    def _open(self, application: Any) -> None:
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        # No proxy: nothing is served over HTTP, and no port is taken.
        serve.start(proxy_location="Disabled")
        target = serve.RunTarget(application, name=self._application, route_prefix=None)
        serve.run_many([target], wait_for_ingress_deployment_creation=False, wait_for_applications_running=False)
        try:
            _wait_until_running(self._application)
        except BaseException:
            serve.delete(self._application)
            raise


def _deployment(resources: ServeResources, num_shards: int) -> Any:
    options: dict[str, Any] = {
        "num_cpus": resources.cpus_per_replica,
        "num_gpus": resources.gpus_per_replica,
        "runtime_env": {"env_vars": _environment(resources)},
    }
    if resources.accelerator_type is not None:
        options["accelerator_type"] = resources.accelerator_type
    return serve.deployment(
        Replica,
        name=_DEPLOYMENT,
        num_replicas=resources.replicas,
        ray_actor_options=options,
        max_ongoing_requests=num_shards,
        graceful_shutdown_timeout_s=SHUTDOWN_SECONDS,
        graceful_shutdown_wait_loop_s=0.5,
        logging_config={"log_level": "WARNING", "enable_access_log": False},
        # The event loop is busy while an engine begins or a long shard is decoded.
        health_check_period_s=10,
        health_check_timeout_s=300,
    )


def _environment(resources: ServeResources) -> dict[str, str]:
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "TOKENIZERS_PARALLELISM": "false"}
    if resources.gpus_per_replica:
        return quiet
    return quiet | {
        "OMP_NUM_THREADS": str(max(1, int(resources.cpus_per_replica))),
        # Threads that are bound to cores fight with whatever else computes there.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        # The worker lives in the engine's process: one process less to import everything, to wait for and to clean up.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }


def _check_cluster(resources: ServeResources) -> None:
    found = ray.cluster_resources()
    for kind, each in (("CPU", resources.cpus_per_replica), ("GPU", resources.gpus_per_replica)):
        if found.get(kind, 0.0) < each * resources.replicas:
            raise PoolUnavailable(
                f"{resources.replicas} replicas need {each * resources.replicas:g} {kind}s, the cluster has {found.get(kind, 0.0):g}; "
                "ask for fewer under `resources`, or add nodes"
            )


def _wait_until_running(application: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        status = serve.status().applications.get(application)
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
