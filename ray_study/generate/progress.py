"""One line that says how far a teacher is."""

from __future__ import annotations

import time
from collections.abc import Callable

from ray_study.generate.tally import Tally

SECONDS = 10.0
"""Between two lines."""


class Meter:
    """Tells now and then how far it is: attempts, tokens per second, share correct so far, time left."""

    def __init__(self, tell: Callable[[str], None], tally: Tally, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begins to count time; `tally` is what was counted before and what will be counted on."""
        self._tell, self._tally, self._clock = tell, tally, clock
        self._start = self._told = clock()
        self._attempts, self._tokens = tally.num_attempts, tally.num_tokens
        self._total = 0
        self._label = ""

    def begin(self, label: str, num_attempts: int) -> None:
        """So many more attempts are to be made, under a name for people."""
        self._label = label
        self._total = self._tally.num_attempts + num_attempts
        self._start = self._told = self._clock()
        self._attempts, self._tokens = self._tally.num_attempts, self._tally.num_tokens

    def step(self) -> None:
        """A shard was counted."""
        now = self._clock()
        done = self._tally.num_attempts >= self._total
        if done or now - self._told >= SECONDS:
            self._told = now
            self._tell(self.line())

    def line(self) -> str:
        """How far it is."""
        seconds = max(self._clock() - self._start, 1e-9)
        new = self._tally.num_attempts - self._attempts
        left = self._total - self._tally.num_attempts
        share = self._tally.share_correct
        parts = [
            f"{self._label}: {self._tally.num_attempts} of {self._total} attempts",
            f"{(self._tally.num_tokens - self._tokens) / seconds:,.0f} tokens/s",
            "nothing judged yet" if share is None else f"{share:.0%} correct so far",
        ]
        if left > 0:
            parts.append(f"{duration(left * seconds / new)} left" if new else "time left unknown")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
