"""What a judge was asked and answered, written as it happens: whoever is killed asks nothing again, and a budget knows what is spent.

One file a judge in the study's store, a JSON object a line: a request before it is sent, then its reply, or what else became of it. One
of which nothing came, as when the driver was killed, counts at the most that it can have cost: a provider may bill it. A line that was
cut by a kill is left out. Equal prompts are one reply.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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


class Try:
    """One request that is under way. Where nothing is said of it, it counts at its worst."""

    def __init__(self, worst: Worst) -> None:
        """Nothing came yet."""
        self._ended: dict[str, object] = {"billed": True, "input_tokens": worst.input_tokens, "output_tokens": worst.output_tokens}

    @property
    def ended(self) -> Mapping[str, object]:
        """What became of it, as a line of the file says it."""
        return self._ended

    def paid(self, paid: Paid) -> None:
        """It was answered."""
        self._ended = asdict(paid)

    def unanswered(self, *, input_tokens: int | None, output_tokens: int | None) -> None:
        """What came back is no reply, but says what it took; where that is None, it took the most."""
        said = {"input_tokens": input_tokens, "output_tokens": output_tokens}
        self._ended |= {key: count for key, count in said.items() if count is not None}

    def unbilled(self) -> None:
        """It was never sent whole, or answered by a status that nobody bills."""
        self._ended = {"billed": False}


class Ledger:
    """The replies of one judge; used by several threads at once."""

    def __init__(self, path: str | Path) -> None:
        """Reads what is there."""
        self._path = Path(path)
        self._changed = threading.Condition()
        self._replies: dict[str, Paid] = {}
        self._under_way: dict[str, Worst] = {}
        self._num_requests = self._num_unanswered = 0
        self._input_tokens = self._output_tokens = 0
        self._read()

    def __len__(self) -> int:
        """How many replies there are."""
        return len(self._replies)

    @property
    def num_requests(self) -> int:
        """How many requests may have been billed, those without a reply included."""
        return self._num_requests

    def find(self, prompt_hash: str) -> Attempt | None:
        """The reply to a prompt, or None where it was never given."""
        with self._changed:
            paid = self._replies.get(prompt_hash)
        return None if paid is None else paid.attempt

    def spent(self, budget: Budget) -> float:
        """Dollars so far, at the budget's prices."""
        return budget.dollars_of(self._input_tokens, self._output_tokens)

    @contextmanager
    def trying(self, budget: Budget | None, worst: Worst) -> Iterator[Try]:
        """For the length of one request, which is in the file before it is sent: gives what is told of how it ended.

        Raises:
            BudgetSpent: the request may cost more than is left. While others are under way it is waited for what they really cost.
        """
        made, number = Try(worst), uuid.uuid4().hex
        with self._changed:
            self._changed.wait_for(lambda: not self._exceeded(budget, worst) or not self._under_way)
            if budget is not None and (why := self._exceeded(budget, worst)):
                raise BudgetSpent(why)
            self._write({"try": number, **asdict(worst)})
            self._under_way[number] = worst
        try:
            yield made
        finally:
            with self._changed:
                del self._under_way[number]
                line = {"ended": number, **made.ended}
                self._keep(line)
                # Even where the line cannot be written, nobody waits for this one any more.
                self._changed.notify_all()
                self._write(line)

    def _exceeded(self, budget: Budget | None, worst: Worst) -> str:
        """Why one request more may be too much; empty where it may be asked."""
        if budget is None:
            return ""
        lost = f" ({self._num_unanswered} of its requests brought no reply and may be billed)" if self._num_unanswered else ""
        if budget.requests is not None and self._num_requests + len(self._under_way) >= budget.requests:
            return f"the judge's budget of {budget.requests} requests is spent{lost}"
        if budget.dollars is None:
            return ""
        going = sum(budget.dollars_of(each.input_tokens, each.output_tokens) for each in (*self._under_way.values(), worst))
        spent = self.spent(budget)
        if spent + going <= budget.dollars:
            return ""
        return (
            f"the judge's budget of {budget.dollars:g} dollars is spent: {spent:.4f} so far{lost}, and the next may cost more than is left"
        )

    def _write(self, row: Mapping[str, object]) -> None:
        line = json.dumps(row, sort_keys=True).encode() + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            # A line that a kill cut short must not swallow this one.
            file.write(b"\n" + line if self._torn() else line)
            file.flush()
            os.fsync(file.fileno())

    def _keep(self, row: Mapping[str, Any]) -> None:
        """Counts what a request came to; a row that does not say whether it was billed was."""
        if not row.get("billed", True):
            return
        into, out = int(row["input_tokens"]), int(row["output_tokens"])
        if "attempt" in row:
            paid = Paid(attempt=Attempt(**row["attempt"]), input_tokens=into, output_tokens=out)
            self._replies[paid.attempt.prompt_hash] = paid
        else:
            self._num_unanswered += 1
        self._num_requests += 1
        self._input_tokens += into
        self._output_tokens += out

    def _torn(self) -> bool:
        if self._path.stat().st_size == 0:
            return False
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def _read(self) -> None:
        if not self._path.is_file():
            return
        never_ended: dict[str, dict[str, Any]] = {}
        for number, line in enumerate(self._path.read_bytes().splitlines(), 1):
            try:
                row = json.loads(line)
                if "try" in row:
                    never_ended[row["try"]] = asdict(Worst(input_tokens=int(row["input_tokens"]), output_tokens=int(row["output_tokens"])))
                    continue
                self._keep(row)
                never_ended.pop(row.get("ended", ""), None)
            except (ValueError, TypeError, KeyError, AttributeError):
                log.warning("%s: line %d is none of ours and is left out; a driver was killed while it wrote", self._path, number)
        for worst in never_ended.values():
            self._keep(worst)
