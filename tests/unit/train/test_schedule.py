from __future__ import annotations

import warnings

import pytest
import torch
from transformers import get_constant_schedule_with_warmup, get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from ray_study.config import Training
from ray_study.train.schedule import learning_rate, num_steps, num_warmup_steps


def test_epochs_count_whole_batches() -> None:
    assert num_steps(Training(epochs=8, batch_size=256), 20480) == 640
    assert num_steps(Training(epochs=2, batch_size=10), 25) == 4
    assert num_steps(Training(epochs=0.5, batch_size=10), 40) == 2
    assert num_steps(Training(steps=7, batch_size=10), 40) == 7


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_every_schedule_warms_up_and_no_step_is_spent_on_a_rate_of_0(schedule: str) -> None:
    training = Training.model_validate({"steps": 640, "learning_rate": 1e-3, "schedule": schedule, "warmup_share": 0.1})
    rates = [learning_rate(training, step, 640) for step in range(1, 641)]
    assert rates[0] == pytest.approx(1e-3 / 64)
    assert rates[63] == pytest.approx(1e-3)
    assert rates[:64] == sorted(rates[:64])
    assert min(rates) > 0
    assert max(rates) == pytest.approx(1e-3)


def test_cosine_and_linear_fall_to_half_in_the_middle_and_towards_0_at_the_end() -> None:
    for schedule in ("cosine", "linear"):
        training = Training.model_validate({"steps": 101, "learning_rate": 1.0, "schedule": schedule, "warmup_share": 0})
        assert learning_rate(training, 1, 101) == pytest.approx(1.0)
        assert learning_rate(training, 51, 101) == pytest.approx(0.5, abs=0.01)
        assert 0 < learning_rate(training, 101, 101) < 0.02
    constant = Training(steps=101, learning_rate=1.0, schedule="constant", warmup_share=0)
    assert learning_rate(constant, 101, 101) == 1.0


def test_a_run_of_one_step_learns_at_the_peak() -> None:
    assert learning_rate(Training(steps=1, learning_rate=0.5), 1, 1) == pytest.approx(0.5)


@pytest.mark.parametrize(("last", "share"), [(640, 0.1), (80, 0.1), (86, 0.1), (100, 0.29), (20, 0.0), (1, 0.5)])
@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_counted_from_0_each_step_has_the_rate_of_the_usual_schedulers(schedule: str, last: int, share: float) -> None:
    training = Training.model_validate({"steps": last, "schedule": schedule, "warmup_share": share, "schedule_from": 0})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=training.learning_rate)
    warmup = num_warmup_steps(training, last)
    usual = {
        "cosine": lambda: get_cosine_schedule_with_warmup(optimizer, warmup, last),
        "linear": lambda: get_linear_schedule_with_warmup(optimizer, warmup, last),
        "constant": lambda: get_constant_schedule_with_warmup(optimizer, warmup),
    }[schedule]()
    expected = []
    with warnings.catch_warnings():
        # Nothing is learned here, so the scheduler steps alone.
        warnings.simplefilter("ignore")
        for _ in range(last):
            expected.append(float(usual.get_last_lr()[0]))
            usual.step()
    assert [learning_rate(training, step, last) for step in range(1, last + 1)] == pytest.approx(expected, rel=1e-12)
    assert expected[0] == (0.0 if warmup else training.learning_rate)


def test_a_broken_warm_up_is_cut_where_time_is_counted_from_0() -> None:
    assert [num_warmup_steps(Training.model_validate({"steps": 86, "schedule_from": start}), 86) for start in (0, 1)] == [8, 9]
    assert num_warmup_steps(Training(steps=100, schedule_from=0, warmup_share=0.29), 100) == 29
