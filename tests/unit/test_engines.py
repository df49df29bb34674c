"""Which pools stand at a time, with pools that only say what they were opened with."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from ray_study.config import Model, Scratch, ServeResources
from ray_study.engines import Engines, OpenPool, share
from ray_study.manifests import hash_files, read_manifest, write_manifest
from ray_study.model_files import prepare
from ray_study.serving import PoolUnavailable

MODEL = Model(scratch=Scratch(hidden_size=32, num_layers=1, num_heads=1, positions=64), dtype="float32")


@dataclass(kw_only=True)
class Opened:
    """Stands for a pool."""

    directory: str
    replicas: int
    application: str
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass(kw_only=True)
class Opener:
    """Opens such pools, and remembers them; a checkpoint that it is told to fail at is not served."""

    opened: list[Opened] = field(default_factory=list)
    fails_at: str = ""

    def __call__(self, directory: str, resources: ServeResources, **settings: Any) -> Opened:
        if directory == self.fails_at:
            raise PoolUnavailable("the engines did not start")
        self.opened.append(Opened(directory=directory, replicas=resources.replicas, application=settings["application"]))
        return self.opened[-1]

    def standing(self) -> set[str]:
        return {Path(pool.directory).name for pool in self.opened if not pool.closed}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Three models of three identities: their templates differ."""
    root = tmp_path_factory.mktemp("models")
    base = Path(prepare(MODEL, "tiny", root))
    found = {}
    for name in "abc":
        shutil.copytree(base, root / name)
        template = root / name / "chat_template.jinja"
        template.write_text(template.read_text() + f"{{# {name} #}}")
        write_manifest(root / name, replace(read_manifest(base), files=hash_files(root / name)))
        found[name] = str(root / name)
    return found


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
def engines(opener: Opener) -> Engines:
    return Engines(lambda line: None, shard_size=4, owner="tests", open_pool=cast(OpenPool, opener))


def uses(work: Callable[[], None]) -> threading.Event:
    """Set once a thread has done the work."""
    done = threading.Event()

    def run() -> None:
        work()
        done.set()

    threading.Thread(target=run, daemon=True).start()
    return done


def test_where_replicas_suffice_the_pools_of_two_models_stand_beside_each_other(
    engines: Engines, opener: Opener, models: dict[str, str]
) -> None:
    resources = ServeResources(replicas=3)
    with engines.use(models["a"], resources, MODEL, identities=2), engines.use(models["b"], resources, MODEL, identities=2):
        assert opener.standing() == {"a", "b"}
        assert [pool.replicas for pool in opener.opened] == [2, 1], "together as many as the resources hold"
        assert engines.opened_with == {models["a"], models["b"]}
    with engines.use(models["a"], resources, MODEL, identities=2):
        assert len(opener.opened) == 2, "an open pool is used again"
    engines.close()
    assert opener.standing() == set()


def test_where_one_replica_is_all_pools_take_turns_and_nobody_loses_his(engines: Engines, opener: Opener, models: dict[str, str]) -> None:
    resources = ServeResources(replicas=1)

    def other() -> None:
        with engines.use(models["b"], resources, MODEL, identities=2):
            assert opener.standing() == {"b"}

    with engines.use(models["a"], resources, MODEL, identities=2):
        waited = uses(other)
        assert not waited.wait(0.2)
        assert opener.standing() == {"a"}
    assert waited.wait(30)


def test_the_pool_that_was_not_used_for_longest_makes_room(engines: Engines, opener: Opener, models: dict[str, str]) -> None:
    resources = ServeResources(replicas=2)
    for name in "abac":
        with engines.use(models[name], resources, MODEL, identities=3):
            pass
    assert opener.standing() == {"a", "c"}


def test_another_stages_resources_take_the_place_of_all_pools(engines: Engines, opener: Opener, models: dict[str, str]) -> None:
    for name in "ab":
        with engines.use(models[name], ServeResources(replicas=2), MODEL, identities=2):
            pass
    with engines.use(models["a"], ServeResources(replicas=2, max_num_seqs=8), MODEL):
        assert opener.standing() == {"a"}
        assert opener.opened[-1].replicas == 2


def test_a_pool_that_does_not_open_leaves_its_place_to_others(engines: Engines, opener: Opener, models: dict[str, str]) -> None:
    opener.fails_at = models["a"]
    with pytest.raises(PoolUnavailable, match="did not start"), engines.use(models["a"], ServeResources(), MODEL):
        raise AssertionError("not reached")
    assert engines.opened_with == frozenset()
    with engines.use(models["b"], ServeResources(), MODEL):
        assert opener.standing() == {"b"}


def test_fewest_replicas_are_parted_too() -> None:
    parts = [share(ServeResources(replicas=5, min_replicas=1), 2, number) for number in (0, 1)]
    assert [(part.replicas, part.min_replicas) for part in parts] == [(3, 1), (2, 0)]


def test_two_studies_on_one_cluster_have_pools_of_their_own_for_one_model(opener: Opener, models: dict[str, str]) -> None:
    for owner in ("results/one", "results/other"):
        engines = Engines(lambda line: None, shard_size=4, owner=owner, open_pool=cast(OpenPool, opener))
        with engines.use(models["a"], ServeResources(), MODEL):
            pass
    one, other = (pool.application.rpartition("-")[0] for pool in opener.opened)
    # Each ends what begins with its own prefix, and that only.
    assert not one.startswith(other)
    assert not other.startswith(one)
