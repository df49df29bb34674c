"""Which pools stand at a time, with pools that only say what they were opened with."""

from __future__ import annotations

import itertools
import math
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from ray_study.config import Model, Scratch, ServeResources
from ray_study.engines import Engines, OpenPool, num_beside, share
from ray_study.manifests import hash_files, read_manifest, write_manifest
from ray_study.model_files import prepare
from ray_study.serving import PoolUnavailable

MODEL = Model(scratch=Scratch(hidden_size=32, num_layers=1, num_heads=1, positions=64), dtype="float32")


@dataclass(kw_only=True)
class Opened:
    """Stands for a pool."""

    directory: str
    replicas: int
    gpus: int
    """Of each."""
    application: str
    closed: bool = False

    def close(self) -> None:
        self.closed = True


@dataclass(kw_only=True)
class Opener:
    """Opens such pools, and remembers them; a checkpoint that it is told to fail at is not served."""

    opened: list[Opened] = field(default_factory=list)
    fails_at: str = ""

    def __call__(self, directory: str, resources: ServeResources, *of: Model, **settings: Any) -> Opened:
        del of
        if directory == self.fails_at:
            raise PoolUnavailable("the engines did not start")
        self.opened.append(
            Opened(
                directory=directory,
                replicas=resources.replicas,
                gpus=resources.gpus_per_replica,
                application=settings["application"],
            )
        )
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
    how: dict[str, Any] = {"open_pool": opener, "open_scorer": opener}
    return Engines(lambda line: None, shard_size=4, owner="tests", **how)


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


def test_a_student_its_judge_and_a_reward_model_stand_beside_each_other_and_none_is_started_twice(
    engines: Engines, opener: Opener, models: dict[str, str]
) -> None:
    resources = ServeResources(replicas=4)
    # As `--follow` does: each checkpoint is asked, then judged, then scored by the reward model.
    for _ in range(3):
        for name in "ab":
            with engines.use(models[name], resources, MODEL, name=name, identities=3):
                pass
        with engines.use_scorer(models["c"], resources, MODEL, name="c", identities=3):
            pass
    assert opener.standing() == {"a", "b", "c"}
    assert [pool.replicas for pool in opener.opened] == [2, 1, 1], "each was opened once, together as many as the resources hold"


def test_where_replicas_are_too_few_a_reward_model_takes_the_place_of_who_was_not_used_for_longest(
    engines: Engines, opener: Opener, models: dict[str, str]
) -> None:
    resources = ServeResources(replicas=2)
    for name in "ab":
        with engines.use(models[name], resources, MODEL, name=name, identities=3):
            pass
    with engines.use_scorer(models["c"], resources, MODEL, name="c", identities=3):
        assert opener.standing() == {"b", "c"}


LARGE = {"c": {"gpus_per_replica": 4}}


def test_a_model_that_needs_more_accelerators_has_fewer_replicas_of_the_same_accelerators(
    engines: Engines, opener: Opener, models: dict[str, str]
) -> None:
    resources = ServeResources.model_validate({"replicas": 9, "gpus_per_replica": 1, "by_model": LARGE})
    for name in "ac":
        with engines.use(models[name], resources, MODEL, name=name, identities=2):
            pass
    assert opener.standing() == {"a", "c"}
    assert [(pool.replicas, pool.gpus) for pool in opener.opened] == [(5, 1), (1, 4)]


def test_where_a_part_would_be_too_small_for_the_largest_model_there_are_fewer_parts() -> None:
    resources = ServeResources.model_validate({"replicas": 8, "gpus_per_replica": 1, "by_model": LARGE})
    assert [num_beside(resources, identities) for identities in (1, 2, 3, 9)] == [1, 2, 2, 2]
    assert num_beside(resources.model_copy(update={"by_model": {}}), 3) == 3
    small = ServeResources.model_validate({"replicas": 4, "gpus_per_replica": 1, "by_model": LARGE})
    assert num_beside(small, 3) == 1


@pytest.mark.parametrize("own", [1, 2, 3, 4])
@pytest.mark.parametrize("each", [1, 2, 3])
def test_parts_never_take_more_accelerators_than_there_are_and_none_is_without_a_replica(each: int, own: int) -> None:
    by_model = {"large": {"gpus_per_replica": own}}
    for replicas, identities in itertools.product(range(math.ceil(own / each), 20), (1, 2, 3, 5)):
        resources = ServeResources.model_validate({"replicas": replicas, "gpus_per_replica": each, "by_model": by_model})
        parts = num_beside(resources, identities)
        shares = [[share(resources, parts, number, name) for name in ("large", "other")] for number in range(parts)]
        assert all(part.replicas >= 1 for pair in shares for part in pair)
        assert sum(max(part.replicas * part.gpus_per_replica for part in pair) for pair in shares) <= replicas * each


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
