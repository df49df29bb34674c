"""The driver's side of a reward model: one Serve application, and shards of conversations that are scored by it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ray import serve

from ray_study.config import Model, ServeResources
from ray_study.ray_cluster import in_words
from ray_study.serving import applications
from ray_study.serving.errors import LOST, in_our_words
from ray_study.serving.handle import MAX_LOSSES, result_of
from ray_study.serving.scorer import Scorer
from ray_study.serving.words import EngineSettings, PoolUnavailable, Scored

log = logging.getLogger(__name__)

SHARDS_AT_ONCE = 2
"""One that fills the engine, and one that is there when its last conversations leave room."""


class RewardPool:
    """Replicas of a reward model, from opening to `close`."""

    replicas: Any
    """Serve's handle of them."""

    def __init__(self, directory: str, resources: ServeResources, model: Model, *, application: str) -> None:
        """Deploys the application and waits until its replicas answer.

        Args:
            directory: of the reward model, in Hugging Face layout.
            resources: how many replicas, and what each may take.
            model: in which dtype, with how many positions.
            application: the name of the Serve application.

        Raises:
            PoolUnavailable: the cluster has too little, or the engines do not start.
        """
        settings = EngineSettings(
            directory=directory,
            dtype=model.dtype,
            max_model_len=model.max_model_len,
            max_num_seqs=resources.max_num_seqs,
            gpus=resources.gpus_per_replica,
            kv_cache_megabytes=resources.kv_cache_megabytes,
            gpu_memory_utilization=resources.gpu_memory_utilization,
            trust_remote_code=model.trust_remote_code,
            prefix_caching=resources.prefix_caching,
        )
        applications.check_cluster(resources)
        self._application = application
        self._closing = threading.Event()
        deployed = applications.deployment(resources, SHARDS_AT_ONCE, replica=Scorer)
        applications.open_application(application, deployed.bind(settings))
        self.replicas = serve.get_app_handle(application)
        self._threads = ThreadPoolExecutor(max_workers=resources.replicas * SHARDS_AT_ONCE, thread_name_prefix=application)

    def submit(self, conversations: Sequence[tuple[int, ...]], *, label: str) -> Future[list[Scored]]:
        """The future scores of a shard, in its order; `label` says for people what it is of.

        PoolUnavailable is its error where replicas died under it again and again, or the pool was closed.
        """
        return self._threads.submit(self._ask, list(conversations), label)

    def stop(self) -> None:
        """Whatever was asked and is not scored yet ends with `PoolUnavailable`, begun or not."""
        self._closing.set()
        self._threads.shutdown(wait=True)

    def close(self) -> None:
        """Ends the application."""
        self.stop()
        applications.delete(self._application)

    def _ask(self, conversations: list[tuple[int, ...]], label: str) -> list[Scored]:
        with in_our_words():
            for loss in range(MAX_LOSSES + 1):
                try:
                    scored: list[Scored] = result_of(self.replicas.score.remote(conversations), self._closing.is_set)
                except LOST as error:
                    lost = f"{loss + 1} of {MAX_LOSSES + 1}"
                    log.warning("a shard of %s was lost with its replica (%s): %s", label, lost, in_words(error))
                    continue
                return scored
        raise PoolUnavailable(f"a shard of {len(conversations)} conversations of {label} was lost with its replica {MAX_LOSSES + 1} times")
