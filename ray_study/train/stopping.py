"""When a run ends before its last step: by what training itself shows, never by a score (that would delete what is studied)."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ray_study.config import Stop

log = logging.getLogger(__name__)


class NonFiniteError(ArithmeticError):
    """The loss or the gradient is no number any more: the run has diverged."""


class StoppedError(RuntimeError):
    """A rule of `training.stop` ended the run; the message is the reason."""


def check_finite(name: str, value: float, step: int, otherwise: Literal["stop", "skip"]) -> None:
    """Returns where the value of a step is a number, or where a step without one is only left out.

    Raises:
        NonFiniteError: it is none, and `otherwise` is to stop.
    """
    if math.isfinite(value):
        return
    if otherwise == "stop":
        raise NonFiniteError(f"the {name} of step {step} is {value}: the run has diverged; lower the learning rate, or warm up for longer")
    log.warning("the %s of step %d is %s, so the step moves nothing", name, step, value)


@dataclass(slots=True)
class Divergence:
    """Whether the training loss has left its lowest value for good. Every worker sees the same losses, so all agree."""

    stop: Stop
    lowest: float = math.inf
    num_above: int = 0
    """Steps in a row with a loss above `divergence_factor` times the lowest."""

    @classmethod
    def resumed(cls, stop: Stop, progress: Mapping[str, float]) -> Divergence:
        """As it was when a run's progress was kept."""
        return cls(stop, progress.get("lowest_loss", math.inf), int(progress.get("num_above", 0)))

    @property
    def progress(self) -> dict[str, float]:
        """What `resumed` needs; nothing where the rule is not asked for."""
        return {} if self.stop.divergence_factor is None else {"lowest_loss": self.lowest, "num_above": self.num_above}

    def check(self, step: int, loss: float) -> None:
        """Takes the loss of a step.

        Raises:
            StoppedError: it was above for too long.
        """
        factor = self.stop.divergence_factor
        if factor is None:
            return
        self.lowest = min(self.lowest, loss)
        self.num_above = self.num_above + 1 if loss > factor * self.lowest else 0
        if self.num_above >= self.stop.divergence_steps:
            raise StoppedError(
                f"stopped at step {step}: the loss was {loss:.4g}, and above {factor:g} times its lowest value {self.lowest:.4g} for "
                f"{self.num_above} steps (training.stop)"
            )


def spent(stop: Stop, step: int, num_tokens: int, seconds: float) -> str:
    """Which budget is spent and how to go on, in words; empty where none is."""
    again = "raise it to go on from here"
    if stop.tokens is not None and num_tokens >= stop.tokens:
        return f"stopped at step {step}: training.stop.tokens is {stop.tokens}, and {num_tokens} were learned from; {again}"
    if stop.hours is not None and seconds >= stop.hours * 3600:
        return f"stopped at step {step}: training.stop.hours is {stop.hours:g}, and it took {seconds / 3600:.3g}; {again}"
    return ""
