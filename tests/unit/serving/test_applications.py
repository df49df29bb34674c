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


def test_the_fewest_replicas_are_what_a_cluster_must_hold() -> None:
    assert ServeResources(replicas=4).fewest_replicas == 4
    assert ServeResources(replicas=4, min_replicas=2).fewest_replicas == 2
    assert ServeResources(replicas=4, min_replicas=0).fewest_replicas == 1


def test_more_at_least_than_at_most_is_refused() -> None:
    with pytest.raises(ValueError, match=r"min_replicas is 3, more than replicas \(2\); lower it, or raise replicas"):
        ServeResources(replicas=2, min_replicas=3)
