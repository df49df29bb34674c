"""The pool that is open now: teachers and students of one serving identity share it, another identity takes its place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ray_study.config import Model, ServeResources
from ray_study.manifests import digest, read_manifest
from ray_study.serving import Pool, PoolUnavailable, delete_all, in_our_words

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
        self._prefix = _prefix(owner)
        self._open: Pool | None = None
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
        with in_our_words():
            pool = self._take(checkpoint, resources, model, key)
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

    def close_left(self, owners: Iterable[str]) -> None:
        """Closes the pools that earlier drivers of these owners left: Serve's replicas outlive a driver that was killed."""
        for owner in owners:
            for name in delete_all(_prefix(owner)):
                log.warning("ended %s, which a driver of this study had left", name)

    def _take(self, checkpoint: str, resources: ServeResources, model: Model, key: str) -> Pool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or key == self._key or self._users == 0)
            if self._stopped:
                raise PoolUnavailable("the study is ending")
            if key != self._key or self._open is None:
                self._replace(checkpoint, resources, model, key)
            assert self._open is not None
            self._users += 1
            return self._open

    def _replace(self, checkpoint: str, resources: ServeResources, model: Model, key: str) -> None:
        self.close()
        self._progress("starting an inference engine")
        # Said before it is open: from here on the checkpoint's weights must stay.
        self._opened_with = checkpoint
        self._open = Pool(
            checkpoint,
            resources,
            max_model_len=model.max_model_len,
            application=f"{self._prefix}{key}",
            shard_size=self._shard_size,
            trust_remote_code=model.trust_remote_code,
        )
        self._key = key


def _prefix(owner: str) -> str:
    return f"pool-{digest(owner)}-"
