"""Paid replies are kept line by line, and a budget is never passed, however many ask at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ray_study.judge_settings import Budget
from ray_study.ledger import BudgetSpent, Ledger, Paid, Worst
from ray_study.rows import Attempt

WORST = Worst(input_tokens=100, output_tokens=10)
PRICES = {"dollars_per_million_input_tokens": 1e4, "dollars_per_million_output_tokens": 1e5}
"""A worst request costs 1 + 1 dollars, one as `paid` 0.5 + 0.1."""


def paid(number: int) -> Paid:
    made = Attempt.of_text(f"p{number}", "Level: 1")
    attempt = Attempt(**{**{name: getattr(made, name) for name in made.__slots__}, "prompt_hash": f"hash-{number}"})
    return Paid(attempt=attempt, input_tokens=50, output_tokens=1)


def buy(ledger: Ledger, number: int, budget: Budget | None = None, seconds: float = 0.0) -> None:
    with ledger.paying(budget, WORST) as pay:
        time.sleep(seconds)
        pay(paid(number))


def test_what_was_paid_for_is_there_for_the_next_driver_and_a_line_that_a_kill_cut_is_not(tmp_path: Path) -> None:
    path = tmp_path / "judges" / "policy.jsonl"
    ledger = Ledger(path)
    buy(ledger, 1)
    buy(ledger, 2)
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    again = Ledger(path)
    assert again.find("hash-1") == paid(1).attempt
    assert again.find("hash-2") is None
    buy(again, 3)
    assert [Ledger(path).find(f"hash-{number}") is not None for number in (1, 2, 3)] == [True, False, True]


def test_a_budget_of_requests_counts_what_earlier_drivers_paid(tmp_path: Path) -> None:
    budget = Budget(requests=3)
    buy(Ledger(tmp_path / "book"), 0, budget)
    ledger = Ledger(tmp_path / "book")
    buy(ledger, 1, budget)
    buy(ledger, 2, budget)
    with pytest.raises(BudgetSpent, match="budget of 3 requests is spent"):
        buy(ledger, 3, budget)
    assert len(ledger) == 3


@pytest.mark.parametrize("budget", [Budget(requests=5), Budget(dollars=4.4, **PRICES)], ids=["requests", "dollars"])
def test_many_at_once_pass_no_budget_and_use_what_there_is(tmp_path: Path, budget: Budget) -> None:
    ledger = Ledger(tmp_path / "book")
    ended: list[str] = []

    def one(number: int) -> None:
        try:
            buy(ledger, number, budget, seconds=0.01)
            ended.append("paid")
        except BudgetSpent:
            ended.append("spent")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(20)))
    # 4.4 dollars: after four at 0.6 the next may cost 2, which is what is left; after five it is not.
    assert (len(ledger), ended.count("paid"), len(ended)) == (5, 5, 20)
    assert ledger.spent(budget) <= (budget.dollars or 0.0)


def test_a_request_that_failed_gives_back_what_was_set_aside_for_it(tmp_path: Path) -> None:
    ledger, budget = Ledger(tmp_path / "book"), Budget(requests=1)
    with pytest.raises(RuntimeError, match="away"), ledger.paying(budget, WORST):
        raise RuntimeError("the server is away")
    buy(ledger, 1, budget)
    assert len(ledger) == 1


def test_who_waits_for_the_cost_of_another_goes_on_when_that_is_known(tmp_path: Path) -> None:
    ledger, budget = Ledger(tmp_path / "book"), Budget(dollars=2.7, **PRICES)
    first = threading.Thread(target=buy, args=(ledger, 1, budget, 0.2))
    first.start()
    time.sleep(0.05)
    buy(ledger, 2, budget)
    first.join()
    assert len(ledger) == 2
