"""The pools that are open now: models of one serving identity share one, and others stand beside it or take its place."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ray_study.config import Model, ServeResources
from ray_study.manifests import digest, read_manifest
from ray_study.serving import PoolUnavailable
from ray_study.serving.applications import delete_all
from ray_study.serving.errors import in_our_words
from ray_study.serving.pool import Pool
from ray_study.serving.reward_pool import RewardPool

log = logging.getLogger(__name__)


class OpenPool(Protocol):
    """Opens a pool, as `Pool` does."""

    def __call__(
        self,
        directory: str,
        resources: ServeResources,
        *,
        max_model_len: int | None,
        application: str,
        shard_size: int,
        trust_remote_code: bool,
    ) -> Pool:
        """The pool, once it answers."""


class OpenScorer(Protocol):
    """Opens the pool of a reward model, as `RewardPool` does."""

    def __call__(self, directory: str, resources: ServeResources, model: Model, *, application: str) -> RewardPool:
        """The pool, once it answers."""


@dataclass(slots=True, kw_only=True)
class _Place:
    """What of the resources a pool takes, from the moment that it is asked for."""

    group: str
    """Pools of one group stand beside each other; those of two never do, since each may count on all accelerators."""
    number: int
    """Which part of the resources it has."""
    opened_with: str
    users: int = 1
    pool: Pool | RewardPool | None = None
    """None while it is being opened."""


Opened = Callable[[ServeResources, str], Pool | RewardPool]
"""Opens a pool on its part of the resources, under the name of its application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A pool that somebody needs: which one it is, what it is started from, and how it is opened."""

    group: str
    most: int
    """How many of its group stand beside each other."""
    opened_with: str
    resources: ServeResources
    """Of the whole group."""
    name: str
    """Of the model, as `resources.by_model` has it."""
    opened: Opened


class Engines:
    """No more pools than the resources hold, so that accelerators are never asked for twice; they end with the study."""

    def __init__(
        self,
        progress: Callable[[str], None],
        *,
        shard_size: int,
        owner: str,
        open_pool: OpenPool = Pool,
        open_scorer: OpenScorer = RewardPool,
    ) -> None:
        """Opens nothing yet.

        Args:
            progress: told when an engine starts.
            shard_size: prompts in the smallest kind of shard that will be asked.
            owner: whose the pools are, such as the store's root: on a cluster of several studies each ends its own only.
            open_pool: how a pool is opened.
            open_scorer: how that of a reward model is.
        """
        self._progress = progress
        self._shard_size = shard_size
        self._prefix = _prefix(owner)
        self._open_pool = open_pool
        self._open_scorer = open_scorer
        # The one that was used last is the last.
        self._places: dict[str, _Place] = {}
        self._stopped = False
        self._changed = threading.Condition()

    @contextmanager
    def use(self, checkpoint: str, resources: ServeResources, model: Model, *, name: str = "", identities: int = 1) -> Iterator[Pool]:
        """The pool that serves the checkpoint's identity; opened, in place of another where there is no room, once nobody uses that one.

        Args:
            checkpoint: its directory.
            resources: what all pools of this kind may take together.
            model: how it is served.
            name: of the model, by which `resources.by_model` may say of it what is otherwise.
            identities: how many different models will be asked of these resources: their replicas are parted between as many pools,
                or, where there are fewer replicas, one a pool, and pools take turns.

        Raises:
            PoolUnavailable: it could not be opened, or what was asked of it failed.
        """
        identity = read_manifest(Path(checkpoint)).identity
        most = num_beside(resources, identities)

        def opened(part: ServeResources, application: str) -> Pool:
            return self._open_pool(
                checkpoint,
                part,
                max_model_len=model.max_model_len,
                application=application,
                shard_size=self._shard_size,
                trust_remote_code=model.trust_remote_code,
            )

        group = _group(resources, most)
        # Two models of one identity may be served by engines of different sizes.
        own = resources.of(name).model_dump(mode="json")
        key = digest([identity, group, own, model.max_model_len, model.trust_remote_code])
        asked = _Asked(group=group, most=most, opened_with=checkpoint, resources=resources, name=name, opened=opened)
        with self._using(key, asked) as pool:
            assert not isinstance(pool, RewardPool)
            yield pool

    @contextmanager
    def use_scorer(
        self, directory: str, resources: ServeResources, model: Model, *, name: str = "", identities: int = 1
    ) -> Iterator[RewardPool]:
        """The pool of a reward model, opened as others are; the arguments are those of `use`.

        Raises:
            PoolUnavailable: it could not be opened, or what was asked of it failed.
        """

        def opened(part: ServeResources, application: str) -> RewardPool:
            return self._open_scorer(directory, part, model, application=application)

        most = num_beside(resources, identities)
        group = _group(resources, most)
        key = digest(["reward", directory, group, model.model_dump(mode="json")])
        asked = _Asked(group=group, most=most, opened_with=directory, resources=resources, name=name, opened=opened)
        with self._using(key, asked) as pool:
            assert not isinstance(pool, Pool)
            yield pool

    @contextmanager
    def _using(self, key: str, asked: _Asked) -> Iterator[Pool | RewardPool]:
        with in_our_words():
            place, is_new = self._take(key, asked)
            try:
                if is_new:
                    self._open(key, place, asked)
                assert place.pool is not None
                yield place.pool
            finally:
                with self._changed:
                    place.users -= 1
                    self._changed.notify_all()

    @property
    def opened_with(self) -> frozenset[str]:
        """The checkpoints that the open pools' replicas start from."""
        with self._changed:
            return frozenset(place.opened_with for place in self._places.values())

    @property
    def pools(self) -> tuple[Pool | RewardPool, ...]:
        """Those that are open."""
        with self._changed:
            return tuple(place.pool for place in self._places.values() if place.pool is not None)

    def stop(self) -> None:
        """Whoever uses a pool or waits for one hears `PoolUnavailable`: the study ends."""
        self._stopped = True
        for pool in self.pools:
            pool.stop()
        # Also one that is being opened, by a thread that may have minutes to wait.
        delete_all(self._prefix)
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Closes the open pools: their accelerators are free, and no engine process is left."""
        with self._changed:
            places, self._places = self._places, {}
        for place in places.values():
            if place.pool is not None:
                place.pool.close()

    def close_left(self, owners: Iterable[str]) -> None:
        """Closes the pools that earlier drivers of these owners left: Serve's replicas outlive a driver that was killed."""
        for owner in owners:
            for name in delete_all(_prefix(owner)):
                log.warning("ended %s, which a driver of this study had left", name)

    def _take(self, key: str, asked: _Asked) -> tuple[_Place, bool]:
        """The place of a pool, and whether it is for the caller to open; waits until there is one."""
        with self._changed:
            while True:
                if self._stopped:
                    raise PoolUnavailable("the study is ending")
                place = self._places.get(key)
                if place is not None and place.pool is not None:
                    place.users += 1
                    self._places[key] = self._places.pop(key)
                    return place, False
                if place is None and (number := self._room(asked.group, asked.most)) is not None:
                    # Said before it is open: from here on the checkpoint's weights must stay.
                    self._places[key] = _Place(group=asked.group, number=number, opened_with=asked.opened_with)
                    return self._places[key], True
                self._changed.wait()

    def _room(self, group: str, most: int) -> int | None:
        """Which part of the resources is free, if need be once pools that nobody uses are closed; None where one must be waited for."""
        for key in [key for key, place in self._places.items() if place.group != group and not place.users]:
            self._end(key)
        if any(place.group != group for place in self._places.values()):
            return None
        if len(self._places) == most:
            idle = [key for key, place in self._places.items() if not place.users]
            if not idle:
                return None
            self._end(idle[0])
        return min(set(range(most)) - {place.number for place in self._places.values()})

    def _end(self, key: str) -> None:
        pool = self._places.pop(key).pool
        assert pool is not None
        pool.close()

    def _open(self, key: str, place: _Place, asked: _Asked) -> None:
        self._progress("starting an inference engine")
        try:
            pool = asked.opened(share(asked.resources, asked.most, place.number, asked.name), f"{self._prefix}{key}")
        except BaseException:
            with self._changed:
                self._places.pop(key, None)
            raise
        with self._changed:
            place.pool = pool
            self._changed.notify_all()


def num_beside(resources: ServeResources, identities: int) -> int:
    """How many pools stand beside each other: as many as there are models, or as have room for the largest of them in each part."""
    largest = max((own.gpus_per_replica or 0 for own in resources.by_model.values()), default=0)
    most = max(1, min(identities, resources.replicas))
    # The largest has room in the whole: `resources` are checked for that.
    return next((parts for parts in range(most, 1, -1) if resources.replicas // parts * resources.gpus_per_replica >= largest), 1)


def share(resources: ServeResources, parts: int, number: int, name: str = "") -> ServeResources:
    """What one of so many pools may take of the resources, for the model of a name; the first ones have what does not divide."""

    def part(count: int) -> int:
        return count // parts + (number < count % parts)

    fewest = None if resources.min_replicas is None else part(resources.min_replicas)
    return resources.model_copy(update={"replicas": part(resources.replicas), "min_replicas": fewest}).of(name)


def _group(resources: ServeResources, most: int) -> str:
    return digest([resources.model_dump(mode="json"), most])


def _prefix(owner: str) -> str:
    return f"pool-{digest(owner)}-"
