"""What a trial's description says of its falls."""

from __future__ import annotations

from typing import Any

from studies import study

from ray_study.descriptions import trial_note
from ray_study.grid import planned

ROW: dict[str, Any] = {
    "benchmark": "sums",
    "group": "in_domain",
    "metric": "accuracy",
    "first_value": 0.4,
    "first_step": 0,
    "last_value": 0.5,
    "last_step": 640,
    "shape": "monotone",
    "detectable": 0.08,
    "peak_fall": 0.123,
    "peak_step": 80,
    "peak_low_step": 640,
    "peak_established": True,
}


def said(**changes: Any) -> str:
    made = study()
    return trial_note(made, planned(made)[0], None, [{**ROW, **changes}])


def test_an_established_fall_from_a_high_stands_beside_the_verdict_and_another_does_not() -> None:
    assert "| monotone | none clear; 8.0 would have been seen; 12.3 from the high at step 80 to step 640 |" in said()
    assert "from the high" not in said(peak_established=False)
    assert "from the high" not in said(peak_established=None, peak_fall=None, peak_step=None, peak_low_step=None)
