"""Paid replies are kept line by line, and a budget is never passed, however many ask at once."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
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
    with ledger.trying(budget, WORST) as request:
        time.sleep(seconds)
        request.paid(paid(number))


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
    last = Ledger(path)
    assert [last.find(f"hash-{number}") is not None for number in (1, 2, 3)] == [True, False, True]
    # What the second request took is lost with its line, so it took the most.
    assert (len(last), last.num_requests) == (2, 3)
    assert last.spent(Budget(dollars=9, **PRICES)) == pytest.approx(0.6 + 2.0 + 0.6)


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


def test_a_request_that_nobody_bills_gives_back_what_was_set_aside_for_it(tmp_path: Path) -> None:
    ledger, budget = Ledger(tmp_path / "book"), Budget(requests=1)
    with ledger.trying(budget, WORST) as request:
        request.unbilled()
    buy(ledger, 1, budget)
    assert (len(ledger), ledger.num_requests, Ledger(tmp_path / "book").num_requests) == (1, 1, 1)


# Until it was mended, what was set aside came back here too: but a provider bills what it answered too late, or what was cut on its way.
def test_a_request_of_which_nothing_came_back_counts_at_its_most_for_this_driver_and_the_next(tmp_path: Path) -> None:
    ledger, budget = Ledger(tmp_path / "book"), Budget(requests=1, dollars=9, **PRICES)
    with pytest.raises(RuntimeError, match="timed out"), ledger.trying(budget, WORST):
        raise RuntimeError("it timed out")
    for book in (ledger, Ledger(tmp_path / "book")):
        assert (len(book), book.num_requests, book.spent(budget)) == (0, 1, pytest.approx(2.0))
        with pytest.raises(BudgetSpent, match=r"budget of 1 requests is spent \(1 of its requests brought no reply and may be billed\)"):
            buy(book, 1, budget)


def test_an_answer_that_is_no_reply_counts_at_what_it_says_that_it_took(tmp_path: Path) -> None:
    ledger, prices = Ledger(tmp_path / "book"), Budget(dollars=9, **PRICES)
    with ledger.trying(None, WORST) as request:
        request.unanswered(input_tokens=30, output_tokens=None)
    assert ledger.spent(prices) == Ledger(tmp_path / "book").spent(prices) == pytest.approx(0.3 + 1.0)


def test_a_request_is_in_the_file_before_it_is_sent_so_a_killed_driver_has_spent_it(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "book")
    with ledger.trying(None, WORST) as request:
        killed = Ledger(tmp_path / "book")
        request.paid(paid(1))
    assert (len(killed), killed.num_requests) == (0, 1)
    assert (len(Ledger(tmp_path / "book")), Ledger(tmp_path / "book").num_requests) == (1, 1)


def test_a_book_of_before_there_were_tries_is_read_and_equal_prompts_that_were_paid_twice_are_two_requests(tmp_path: Path) -> None:
    path = tmp_path / "book"
    path.write_text("".join(json.dumps(asdict(paid(number))) + "\n" for number in (1, 2, 2)) + "5\n[]\n{}\n")
    ledger = Ledger(path)
    assert (len(ledger), ledger.num_requests) == (2, 3)
    assert ledger.find("hash-1") == paid(1).attempt


def test_who_waits_for_the_cost_of_another_goes_on_when_that_is_known(tmp_path: Path) -> None:
    ledger, budget = Ledger(tmp_path / "book"), Budget(dollars=2.7, **PRICES)
    first = threading.Thread(target=buy, args=(ledger, 1, budget, 0.2))
    first.start()
    time.sleep(0.05)
    buy(ledger, 2, budget)
    first.join()
    assert len(ledger) == 2
