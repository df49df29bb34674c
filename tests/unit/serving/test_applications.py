"""What Serve is told about a pool's replicas."""

from __future__ import annotations

import pytest

from ray_study.config import ServeResources
from ray_study.serving.applications import DRAIN_SECONDS, SHUTDOWN_SECONDS, deployment


def test_a_pool_has_as_many_replicas_as_asked_for_unless_it_may_grow() -> None:
    made = deployment(ServeResources(replicas=3), num_shards=5)
    assert made.num_replicas == 3
    assert made._deployment_config.autoscaling_config is None
    assert made._deployment_config.graceful_shutdown_timeout_s == SHUTDOWN_SECONDS


@pytest.mark.parametrize("fewest", [0, 2])
def test_a_pool_that_grows_does_so_with_the_shards_that_its_replicas_take(fewest: int) -> None:
    made = deployment(ServeResources(replicas=4, min_replicas=fewest), num_shards=5)._deployment_config
    scale = made.autoscaling_config
    assert (scale.min_replicas, scale.max_replicas) == (fewest, 4)
    assert scale.target_ongoing_requests == made.max_ongoing_requests == 5
    assert scale.upscale_delay_s < 60 <= scale.downscale_delay_s, "an engine starts in a minute or more, so it is kept for longer"
    assert made.graceful_shutdown_timeout_s == DRAIN_SECONDS
    assert scale.initial_replicas == max(1, fewest), "a pool is opened for work that waits"


def test_evaluators_with_accelerators_come_and_go_from_none_and_the_first_comes_with_the_pool() -> None:
    scale = deployment(ServeResources(replicas=8, gpus_per_replica=2), num_shards=5)._deployment_config.autoscaling_config
    assert (scale.min_replicas, scale.initial_replicas, scale.max_replicas) == (0, 1, 8)
    always = deployment(ServeResources(replicas=8, gpus_per_replica=2, min_replicas=8), num_shards=5)._deployment_config.autoscaling_config
    assert (always.min_replicas, always.initial_replicas, always.max_replicas) == (8, 8, 8)


def test_a_replica_that_goes_ends_the_longest_shard_first() -> None:
    made = deployment(ServeResources(replicas=8, min_replicas=0), num_shards=5)._deployment_config
    # An attempt of 32k tokens in a full engine of a large model, at ten tokens a second each.
    assert made.graceful_shutdown_timeout_s > 32_768 / 10
    # Serve looks this often whether the replica is idle: one that looked never would hold its accelerators until the time is over.
    assert made.graceful_shutdown_wait_loop_s <= 1


def test_a_pool_is_pinned_to_the_accelerator_that_is_asked_for() -> None:
    options = deployment(ServeResources(gpus_per_replica=2, accelerator_type="H100"), num_shards=5).ray_actor_options
    assert options["num_gpus"] == 2
    # As Ray has it: a little of the resource that every node with such an accelerator has.
    assert options["accelerator_type"] == "H100"
    assert "accelerator_type" not in deployment(ServeResources(gpus_per_replica=2), num_shards=5).ray_actor_options


def test_the_fewest_replicas_are_what_a_cluster_must_hold() -> None:
    assert ServeResources(replicas=4, gpus_per_replica=1).fewest_replicas == 1
    assert ServeResources(replicas=4).fewest_replicas == 4
    assert ServeResources(replicas=4, min_replicas=2).fewest_replicas == 2
    assert ServeResources(replicas=4, min_replicas=0).fewest_replicas == 1


def test_more_at_least_than_at_most_is_refused() -> None:
    with pytest.raises(ValueError, match=r"min_replicas is 3, more than replicas \(2\); lower it, or raise replicas"):
        ServeResources(replicas=2, min_replicas=3)
