"""What asks a pool, from wherever it is: a shard goes to a replica, and is asked again where that was lost."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray.exceptions import RayTaskError

from ray_study.config import Sampling
from ray_study.manifests import Manifest, read_manifest
from ray_study.ray_cluster import in_words
from ray_study.serving.attest import check_fit
from ray_study.serving.errors import LOST, in_our_words
from ray_study.serving.words import PoolUnavailable, Reply, Request, SwapRefused

log = logging.getLogger(__name__)

MAX_LOSSES = 3
"""How often a shard may be lost with its replica before the study hears of it."""

POLL_SECONDS = 1.0
"""How soon whoever waits for a shard notices that nobody wants it any more."""


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Handle:
    """What asks a pool; it can be sent to any task of the cluster."""

    replicas: Any
    serving: Manifest

    def ask(
        self, checkpoint: str, requests: Sequence[Request], sampling: Sampling, *, given_up: Callable[[], bool] = _never, label: str = ""
    ) -> list[Reply]:
        """The replies of one shard in the order of its requests, all by exactly this checkpoint.

        Args:
            checkpoint: its directory.
            requests: the prompts.
            sampling: how each is answered.
            given_up: whether nobody wants the replies any more.
            label: what the shard is of, for people: the name of a benchmark.

        Raises:
            SwapRefused: the checkpoint is damaged, of another identity, or could not be attested.
            PoolUnavailable: replicas died under the shard again and again, the pool failed otherwise, or it was given up.
        """
        if not requests:
            return []
        manifest = self._manifest(checkpoint)
        what = f"{label} of {checkpoint}" if label else checkpoint
        with in_our_words():
            for loss in range(MAX_LOSSES + 1):
                try:
                    return self._ask_once(checkpoint, manifest, requests, sampling, given_up)
                except LOST as error:
                    lost = f"{loss + 1} of {MAX_LOSSES + 1}"
                    log.warning(
                        "a shard of %s from %r on was lost with its replica (%s): %s",
                        what,
                        requests[0].problem_id,
                        lost,
                        in_words(error),
                    )
        raise PoolUnavailable(
            f"a shard of {len(requests)} prompts of {what}, from {requests[0].problem_id!r} to {requests[-1].problem_id!r}, was lost "
            f"with its replica {MAX_LOSSES + 1} times; look into Serve's logs, and lower max_num_seqs or kv_cache_megabytes if memory "
            "ran out"
        )

    def _ask_once(
        self, checkpoint: str, manifest: Manifest, requests: Sequence[Request], sampling: Sampling, given_up: Callable[[], bool]
    ) -> list[Reply]:
        holder = self.replicas.options(multiplexed_model_id=manifest.fingerprint)
        replies: list[Reply] = result_of(holder.answer.remote(checkpoint, list(requests), sampling), given_up)
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


def result_of(response: Any, given_up: Callable[[], bool]) -> Any:
    """What a replica returned; PoolUnavailable, and the replica is told, where nobody wants it any more. What it raised is raised."""
    while not given_up():
        try:
            found = response.result(timeout_s=POLL_SECONDS)
        except TimeoutError as error:
            # Raised there, and not by the wait for it.
            if isinstance(error, RayTaskError):
                raise
        else:
            return found
    response.cancel()
    raise PoolUnavailable("the pool was closed before the shard was answered")
