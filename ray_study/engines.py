"""The pool that is open now: teachers and students of one serving identity share it, another identity takes its place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ray_study.config import Model, ServeResources
from ray_study.manifests import digest, read_manifest
from ray_study.serving import Pool, PoolUnavailable, RewardPool, delete_all, in_our_words

log = logging.getLogger(__name__)


class Engines:
    """At most one pool at a time, so that accelerators are never asked for twice; it ends with the study."""

    def __init__(self, progress: Callable[[str], None], *, shard_size: int, owner: str) -> None:
        """Opens nothing yet.

        Args:
            progress: told when an engine starts.
            shard_size: prompts in the smallest kind of shard that will be asked.
            owner: whose the pools are, such as the store's root: on a cluster of several studies each ends its own only.
        """
        self._progress = progress
        self._shard_size = shard_size
        self._prefix = f"pool-{digest(owner)}-"
        self._open: Pool | RewardPool | None = None
        self._key = ""
        self._opened_with = ""
        self._users = 0
        self._stopped = False
        self._changed = threading.Condition()

    @contextmanager
    def use(self, checkpoint: str, resources: ServeResources, model: Model) -> Iterator[Pool]:
        """The pool that serves the checkpoint's identity; opened, or another closed for it, once nobody uses that one.

        Raises:
            PoolUnavailable: it could not be opened, or what was asked of it failed.
        """
        identity = read_manifest(Path(checkpoint)).identity
        key = digest([identity, resources.model_dump(mode="json"), model.max_model_len, model.trust_remote_code])

        def opened() -> Pool:
            # Said before it is open: from here on the checkpoint's weights must stay.
            self._opened_with = checkpoint
            return Pool(
                checkpoint,
                resources,
                max_model_len=model.max_model_len,
                application=f"{self._prefix}{key}",
                shard_size=self._shard_size,
                trust_remote_code=model.trust_remote_code,
            )

        with self._using(key, opened) as pool:
            assert isinstance(pool, Pool)
            yield pool

    @contextmanager
    def use_scorer(self, directory: str, resources: ServeResources, model: Model) -> Iterator[RewardPool]:
        """The pool of a reward model; it takes the place of another pool once nobody uses that one.

        Raises:
            PoolUnavailable: it could not be opened, or what was asked of it failed.
        """
        key = digest(["reward", directory, resources.model_dump(mode="json"), model.model_dump(mode="json")])
        with self._using(key, lambda: RewardPool(directory, resources, model, application=f"{self._prefix}{key}")) as pool:
            assert isinstance(pool, RewardPool)
            yield pool

    @contextmanager
    def _using(self, key: str, opened: Callable[[], Pool | RewardPool]) -> Iterator[Pool | RewardPool]:
        with in_our_words():
            pool = self._take(key, opened)
            try:
                yield pool
            finally:
                with self._changed:
                    self._users -= 1
                    self._changed.notify_all()

    @property
    def opened_with(self) -> str:
        """The checkpoint that the open pool's replicas start from; empty where none is open."""
        return self._opened_with

    def stop(self) -> None:
        """Whoever uses a pool or waits for one hears `PoolUnavailable`: the study ends."""
        self._stopped = True
        if self._open is not None:
            self._open.stop()
        # Also one that is being opened, by a thread that holds the lock and may have minutes to wait.
        delete_all(self._prefix)
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Closes the open pool: its accelerators are free, and no engine process is left."""
        if self._open is not None:
            self._open.close()
        self._open, self._key, self._opened_with = None, "", ""

    def close_left(self) -> None:
        """Closes the pools that an earlier driver of this owner left: Serve's replicas outlive a driver that was killed."""
        for name in delete_all(self._prefix):
            log.warning("ended %s, which a driver of this study had left", name)

    def _take(self, key: str, opened: Callable[[], Pool | RewardPool]) -> Pool | RewardPool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or key == self._key or self._users == 0)
            if self._stopped:
                raise PoolUnavailable("the study is ending")
            if key != self._key or self._open is None:
                self.close()
                self._progress("starting an inference engine")
                self._open = opened()
                self._key = key
            self._users += 1
            return self._open
