from __future__ import annotations

import pytest

from ray_study.ray_cluster import Cluster, _check


def cluster(*, cpus: float = 8, gpus: float = 0) -> Cluster:
    return Cluster(num_cpus=cpus, num_gpus=gpus, num_nodes=1, ours=False, dashboard="")


def test_a_cluster_with_enough_is_taken() -> None:
    _check(cluster(cpus=8, gpus=2), 8.0, 2)


def test_a_cluster_with_too_few_slots_is_refused_at_once_with_the_flag_that_mends_it() -> None:
    with pytest.raises(ValueError, match=r"has 2 logical CPUs, the study needs 8: use `ray start --head --num-cpus=8` or more"):
        _check(cluster(cpus=2), 8.0, 0)


def test_a_cluster_with_too_few_accelerators_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"has 1 GPUs, the study needs 4: .*--num-gpus=4.*ask for less under `resources`"):
        _check(cluster(gpus=1), 8.0, 4)
