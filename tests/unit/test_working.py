"""What several nodes need before a study may run on them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from studies import study

from ray_study.ray_cluster import prove_shared
from ray_study.store import Store
from ray_study.working import check_several_nodes, most_cpus, needed_cpus

SERVER = {"tracking": "http://127.0.0.1:5000"}


def seen(path: str, *, blind: str = "", blind_below: Path = Path("/")) -> dict[str, str]:
    """What two nodes read; `blind` does not see what lies below a directory."""
    text = Path(path).read_text()
    return {node: "" if node == blind and Path(path).is_relative_to(blind_below) else text for node in ("10.0.0.1", "10.0.0.2")}


def proof(read: Callable[[str], dict[str, str]]) -> Callable[[str, str], None]:
    return lambda directory, mend: prove_shared(directory, mend, read)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("RAY_STUDY_CACHE", str(tmp_path / "cache"))
    return Store(str(tmp_path / "results"), "small")


def test_directories_that_every_node_sees_are_taken_and_nothing_is_left_in_them(store: Store, tmp_path: Path) -> None:
    check_several_nodes(study(SERVER), store, proof(seen))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert Path(store.root).is_dir()
    assert (tmp_path / "cache").is_dir()


def test_storage_that_a_node_does_not_see_is_refused_with_the_mend(store: Store, tmp_path: Path) -> None:
    read = partial(seen, blind="10.0.0.2", blind_below=Path(store.root))
    with pytest.raises(ValueError, match=r"small is not shared: node 10\.0\.0\.2 does not see .*RAY_STUDY_STORAGE=/shared/results"):
        check_several_nodes(study(SERVER), store, proof(read))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_cache_of_models_that_a_node_does_not_see_is_refused_with_the_mend(store: Store, tmp_path: Path) -> None:
    read = partial(seen, blind="10.0.0.2", blind_below=tmp_path / "cache")
    with pytest.raises(ValueError, match=r"cache is not shared: node 10\.0\.0\.2 does not see .*RAY_STUDY_CACHE=/shared/cache"):
        check_several_nodes(study(SERVER), store, proof(read))


@pytest.mark.parametrize("tracking", [..., "sqlite:////shared/mlflow.db"])
def test_sqlite_is_refused_on_several_nodes_before_anything_is_written(store: Store, tmp_path: Path, tracking: object) -> None:
    with pytest.raises(ValueError, match="SQLite on a shared file system loses writes; set `tracking` to an MLflow server's URI"):
        check_several_nodes(study({"tracking": tracking} if tracking is not ... else {}), store, proof(seen))
    assert list(tmp_path.iterdir()) == []


def test_an_object_store_is_no_nodes_own() -> None:
    prove_shared("s3://bucket/results", "", lambda path: {"10.0.0.1": ""})


def test_a_pool_that_grows_needs_the_cpus_of_its_fewest_replicas() -> None:
    serve = {"replicas": 4, "cpus_per_replica": 2}
    fixed = needed_cpus(study({"resources": {"evaluate": serve, "generate": serve}}))
    growing = {**serve, "min_replicas": 1}
    grows = study({"resources": {"evaluate": growing, "generate": growing}})
    assert needed_cpus(grows) == fixed - 3 * 2
    assert most_cpus(grows) == fixed, "a cluster of our own counts CPUs for all that may come"


def test_a_model_whose_replicas_take_more_cpus_is_counted_too() -> None:
    serve = {"replicas": 4, "cpus_per_replica": 2, "gpus_per_replica": 1, "by_model": {"tiny": {"cpus_per_replica": 5}}}
    made = study({"resources": {"num_gpus": 4, "evaluate": serve}})
    assert most_cpus(made) - most_cpus(study({"resources": {"num_gpus": 4}})) == 4 * 5 - 1
    assert needed_cpus(made) - needed_cpus(study({"resources": {"num_gpus": 4}})) == 5 - 1
