from __future__ import annotations

import socket

import pytest

from ray_study.ray_cluster import Cluster, _check, connect, in_words, worker_environment


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


def test_an_address_at_which_nothing_listens_is_refused_at_once_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        # Bound and not listening: nobody else gets the port, and nobody answers there.
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with (
            pytest.raises(ValueError, match=rf"RAY_ADDRESS={address} does not answer .*unset it to run on this machine"),
            connect(num_cpus=1, num_gpus=0),
        ):
            pass


def test_only_a_cluster_of_our_own_does_without_the_watcher_for_lost_nodes() -> None:
    watcher = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"
    assert worker_environment(ours=True) == {**worker_environment(ours=False), watcher: "0"}
    assert watcher not in worker_environment(ours=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Traceback (most recent call last):\n  File x\nValueError: too few rows\n", "ValueError: too few rows"),
        (
            "5 worker(s) were killed due to the node running low on memory.\nRefer to the documentation on how to address it: https://x.",
            "Ray ended it because the machine ran low on memory; free some, or let fewer things run at once",
        ),
        ("", "RuntimeError"),
    ],
)
def test_an_error_of_rays_is_told_in_one_line(text: str, expected: str) -> None:
    assert in_words(RuntimeError(text)) == expected
