"""What a sweep file may say about when a run is saved, whose weights stay, and when it ends early."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ray_study.settings import Settings


class Stop(Settings):
    """When a run ends before its last step, as a failed run with the reason. Never by a score: see `config.NO_SCHEDULER`.

    A loss or gradient that is no number always ends it. None of this changes a weight, so it does not identify a run: raise a budget,
    and the next `run` goes on from where it ended.
    """

    divergence_factor: float | None = Field(None, gt=1)
    """Ends a run whose loss is above so many times its lowest for `divergence_steps` steps in a row. A run that overfits reaches losses
    near 0, of which many times are little: leave it out there."""
    divergence_steps: int = Field(20, ge=1)
    hours: float | None = Field(None, gt=0)
    """Of training, over all attempts at the run."""
    tokens: int | None = Field(None, ge=1)
    """Of prompts and responses that it learned from."""


class Kept(Settings):
    """Steps whose weights stay after they are scored; the last step's always do."""

    scored_at: tuple[int, ...]


class Checkpoints(Settings):
    """At which steps a run is saved and scored; step 0, the base model itself, always is, and so is the last step."""

    steps: tuple[int, ...] | None = None
    every: int | None = Field(None, ge=1)
    log_spaced: int | None = Field(None, ge=1)
    keep: Literal["all", "last"] | Kept = "all"
    """Whose weights stay once everything that is owed of a checkpoint is scored. Manifests and scores always do, but a benchmark that is
    added later cannot be asked of deleted weights. Does not identify a run."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [key for key in ("steps", "every", "log_spaced") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of steps, every and log_spaced, found {given or 'none'}")
        if self.steps is not None and (list(self.steps) != sorted(set(self.steps)) or not self.steps or self.steps[0] < 1):
            raise ValueError(f"steps must rise from 1 or above (step 0 is always there), found {list(self.steps)}")
        if isinstance(self.keep, Kept) and self.steps is not None and set(self.keep.scored_at) - set(self.steps):
            never = sorted(set(self.keep.scored_at) - set(self.steps))
            raise ValueError(f"keep.scored_at names {never}, at which no run is saved; saved are {list(self.steps)}")
        return self

    def keeps(self, step: int, last: int) -> bool:
        """Whether the weights of a step stay after it is scored, in a run that ends at step `last`."""
        if self.keep == "all" or step == last:
            return True
        return isinstance(self.keep, Kept) and step in self.keep.scored_at

    @property
    def kept_in_words(self) -> str:
        """`keep` as the sweep file has it."""
        return f"{{scored_at: {list(self.keep.scored_at)}}}" if isinstance(self.keep, Kept) else self.keep

    def at(self, last: int) -> tuple[int, ...]:
        """The saved steps of a run of `last` steps, without step 0 and always with the last one.

        Raises:
            ValueError: a named step lies after the last one.
        """
        if self.steps is not None:
            beyond = [step for step in self.steps if step > last]
            if beyond:
                raise ValueError(f"checkpoints.steps names {beyond}, but a run has only {last} steps; leave them out or train longer")
            return tuple(sorted({*self.steps, last}))
        if self.every is not None:
            return tuple(sorted({*range(self.every, last + 1, self.every), last}))
        number = min(self.log_spaced or 1, last)
        spaced = {max(1, round(last ** (index / number))) for index in range(1, number + 1)}
        return tuple(sorted({*spaced, last}))
