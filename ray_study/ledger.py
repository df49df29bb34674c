"""Every reply of a judge that was paid for, appended as it comes: whoever is killed asks nothing again, and a budget knows what is spent.

One file a judge in the study's store, a JSON object a line. A line that was cut by a kill is left out. Equal prompts are one reply.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ray_study.judge_settings import Budget
from ray_study.rows import Attempt

log = logging.getLogger(__name__)


class BudgetSpent(RuntimeError):
    """The next request may cost more than is left; what is judged stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """A reply and what it cost."""

    attempt: Attempt
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The most that a request can cost, before it is answered."""

    input_tokens: int
    output_tokens: int


class Ledger:
    """The replies of one judge; used by several threads at once."""

    def __init__(self, path: str | Path) -> None:
        """Reads what is there."""
        self._path = Path(path)
        self._changed = threading.Condition()
        self._replies: dict[str, Paid] = {}
        self._under_way: list[Worst] = []
        self._input_tokens = self._output_tokens = 0
        self._read()

    def __len__(self) -> int:
        """How many replies were paid for."""
        return len(self._replies)

    def find(self, prompt_hash: str) -> Attempt | None:
        """The reply to a prompt, or None where it was never given."""
        with self._changed:
            paid = self._replies.get(prompt_hash)
        return None if paid is None else paid.attempt

    def spent(self, budget: Budget) -> float:
        """Dollars so far, at the budget's prices."""
        return budget.dollars_of(self._input_tokens, self._output_tokens)

    @contextmanager
    def paying(self, budget: Budget | None, worst: Worst) -> Iterator[Callable[[Paid], None]]:
        """For the length of one request: gives the function that takes its reply into the book, once that is there.

        Raises:
            BudgetSpent: the request may cost more than is left. While others are under way it is waited for what they really cost.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._exceeded(budget, worst) or not self._under_way)
            if budget is not None and (why := self._exceeded(budget, worst)):
                raise BudgetSpent(why)
            self._under_way.append(worst)
        try:
            yield self._append
        finally:
            with self._changed:
                self._under_way.remove(worst)
                self._changed.notify_all()

    def _exceeded(self, budget: Budget | None, worst: Worst) -> str:
        """Why one request more may be too much; empty where it may be asked."""
        if budget is None:
            return ""
        if budget.requests is not None and len(self._replies) + len(self._under_way) >= budget.requests:
            return f"the judge's budget of {budget.requests} requests is spent"
        if budget.dollars is None:
            return ""
        going = sum(budget.dollars_of(each.input_tokens, each.output_tokens) for each in (*self._under_way, worst))
        spent = self.spent(budget)
        if spent + going <= budget.dollars:
            return ""
        return f"the judge's budget of {budget.dollars:g} dollars is spent: {spent:.4f} so far, and the next may cost more than is left"

    def _append(self, paid: Paid) -> None:
        line = json.dumps(asdict(paid), sort_keys=True)
        with self._changed:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("ab") as file:
                # A line that a kill cut short must not swallow this one.
                file.write(b"\n" + line.encode() if self._torn() else line.encode())
                file.write(b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._keep(paid)

    def _keep(self, paid: Paid) -> None:
        self._replies[paid.attempt.prompt_hash] = paid
        self._input_tokens += paid.input_tokens
        self._output_tokens += paid.output_tokens

    def _torn(self) -> bool:
        if self._path.stat().st_size == 0:
            return False
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def _read(self) -> None:
        if not self._path.is_file():
            return
        for number, line in enumerate(self._path.read_bytes().splitlines(), 1):
            try:
                raw = json.loads(line)
                attempt = Attempt(**raw["attempt"])
                paid = Paid(attempt=attempt, input_tokens=int(raw["input_tokens"]), output_tokens=int(raw["output_tokens"]))
            except (ValueError, TypeError, KeyError):
                log.warning("%s: line %d is no reply and is left out; a driver was killed while it wrote", self._path, number)
                continue
            self._keep(paid)
