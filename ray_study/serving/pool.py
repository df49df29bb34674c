"""The driver's side of serving: one Serve application for one serving identity, and shards that are asked of it."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from ray import serve
from ray.exceptions import RayError

from ray_study.config import Sampling, ServeResources
from ray_study.manifests import read_manifest
from ray_study.ray_cluster import in_words
from ray_study.serving import applications
from ray_study.serving.admission import Admission
from ray_study.serving.handle import Handle
from ray_study.serving.words import EngineSettings, PoolUnavailable, Reply, Request

log = logging.getLogger(__name__)


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
        """Deploys the application and waits until every replica answers that must be there.

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
        applications.check_cluster(resources)
        self._application = application
        self._live = 0
        self._closing = threading.Event()
        # One shard more than fills the engine: it stays full, and what is beyond goes to another replica.
        num_shards = math.ceil(resources.max_num_seqs / shard_size) + 1
        applications.open_application(application, applications.deployment(resources, num_shards).bind(settings))
        self.handle = Handle(replicas=serve.get_app_handle(application), serving=serving)
        self.num_slots = resources.replicas * num_shards
        self._admission = Admission(self.num_live, most_replicas=resources.replicas, shards_each=num_shards)
        self._threads = ThreadPoolExecutor(max_workers=self.num_slots, thread_name_prefix=application)

    def submit(self, checkpoint: str, requests: Sequence[Request], sampling: Sampling, *, label: str = "") -> Future[list[Reply]]:
        """The future replies of one shard; what `label` is and errors as in `Handle.ask`."""
        return self._threads.submit(self._ask, checkpoint, requests, sampling, label)

    def ask(self, checkpoint: str, requests: Sequence[Request], sampling: Sampling) -> list[Reply]:
        """The replies of one shard, waited for."""
        return self.submit(checkpoint, requests, sampling).result()

    def num_live(self) -> int:
        """How many replicas answer now, or did when it was last known: Serve's controller may be gone for a moment."""
        try:
            self._live = applications.num_live(self._application)
        except RayError as error:
            log.warning("cannot count the replicas of %s: %s", self._application, in_words(error))
        return self._live

    def stop(self) -> None:
        """Whatever was asked and is not answered yet ends with `PoolUnavailable`, begun or not."""
        self._closing.set()
        # Not cancelled: who waits for several shards at once would never hear of those that no thread took.
        self._threads.shutdown(wait=True)

    def close(self) -> None:
        """Ends the application; what was asked is stopped, and no engine process is left."""
        self.stop()
        applications.delete(self._application)

    def __enter__(self) -> Self:
        """The open pool."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Closes the pool."""
        self.close()

    def _ask(self, checkpoint: str, requests: Sequence[Request], sampling: Sampling, label: str) -> list[Reply]:
        with self._admission.of(checkpoint):
            if self._closing.is_set():
                raise PoolUnavailable("the pool was closed before the shard was asked")
            return self.handle.ask(checkpoint, requests, sampling, given_up=self._closing.is_set, label=label)
