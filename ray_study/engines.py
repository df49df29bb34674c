"""The pool that is open now: teachers and students of one serving identity share it, another identity takes its place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ray_study.config import Model, ServeResources
from ray_study.manifests import digest, read_manifest
from ray_study.serving import Pool

log = logging.getLogger(__name__)


class Engines:
    """At most one pool at a time, so that accelerators are never asked for twice; it ends with the study."""

    def __init__(self, progress: Callable[[str], None], *, shard_size: int) -> None:
        """Opens nothing yet; `shard_size` is of the smallest kind of shard that will be asked."""
        self._progress = progress
        self._shard_size = shard_size
        self._open: Pool | None = None
        self._key = ""
        self._users = 0
        self._changed = threading.Condition()

    @contextmanager
    def use(self, checkpoint: str, resources: ServeResources, model: Model) -> Iterator[Pool]:
        """The pool that serves the checkpoint's identity; opened, or another closed for it, once nobody uses that one."""
        identity = read_manifest(Path(checkpoint)).identity
        key = digest([identity, resources.model_dump(mode="json"), model.max_model_len, model.trust_remote_code])
        with self._changed:
            self._changed.wait_for(lambda: key == self._key or self._users == 0)
            if key != self._key or self._open is None:
                self._replace(checkpoint, resources, model, key)
            self._users += 1
            pool = self._open
        assert pool is not None
        try:
            yield pool
        finally:
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Closes the open pool: its accelerators are free, and no engine process is left."""
        if self._open is not None:
            self._open.close()
        self._open, self._key = None, ""

    def _replace(self, checkpoint: str, resources: ServeResources, model: Model, key: str) -> None:
        self.close()
        self._progress("starting an inference engine")
        self._open = Pool(
            checkpoint,
            resources,
            max_model_len=model.max_model_len,
            application=f"pool-{key}",
            shard_size=self._shard_size,
            trust_remote_code=model.trust_remote_code,
        )
        self._key = key
