from __future__ import annotations

import random
from itertools import chain

import pytest

from ray_study.train.packing import Shares, packed_shares, padded_shares


def _lengths(number: int) -> list[int]:
    """Rows with the spread of chains of thought: log-normal, cut at a maximum of four times the mean."""
    rng = random.Random(7)
    return [min(4000, max(8, int(rng.lognormvariate(6.6, 0.8)))) for _ in range(number)]


def _loads(shares: Shares, lengths: list[int]) -> list[list[int]]:
    return [[sum(lengths[index] for index in part) for part in parts] for parts in shares]


@pytest.mark.parametrize(("num_workers", "at_most"), [(1, 4), (2, 3), (4, 8)])
def test_workers_share_padded_rows_whole_and_in_equally_many_parts(num_workers: int, at_most: int) -> None:
    shares = padded_shares(_lengths(16), num_workers, at_most)
    assert len({len(parts) for parts in shares}) == 1
    assert sorted(chain.from_iterable(chain.from_iterable(shares))) == list(range(16))
    assert all(len(part) <= at_most for parts in shares for part in parts)


@pytest.mark.parametrize(("number", "num_workers", "at_most"), [(256, 8, 8000), (64, 1, 4000), (32, 4, 100000), (8, 8, 10)])
def test_workers_share_packed_rows_whole_and_in_equally_many_parts_of_the_budget(number: int, num_workers: int, at_most: int) -> None:
    lengths = _lengths(number)
    shares = packed_shares(lengths, num_workers, at_most)
    assert len({len(parts) for parts in shares}) == 1
    assert sorted(chain.from_iterable(chain.from_iterable(shares))) == list(range(number))
    loads = _loads(shares, lengths)
    assert max(chain.from_iterable(loads)) <= max(at_most, *lengths)
    assert min(chain.from_iterable(loads)) > 0


def test_packs_are_nearly_full_and_workers_nearly_level() -> None:
    lengths = _lengths(256)
    loads = _loads(packed_shares(lengths, 8, 8000), lengths)
    assert len(loads[0]) <= -(-sum(lengths) // (8 * 8000)) + 1
    assert max(map(sum, loads)) <= 1.01 * min(map(sum, loads))
    # What workers take at the same time is level too, since they wait for each other.
    assert all(max(together) <= 1.05 * min(together) for together in zip(*loads, strict=True))


def test_a_row_over_the_budget_is_the_budget() -> None:
    shares = packed_shares([5000, *[10] * 19], 1, 100)
    assert sorted(_loads(shares, [5000, *[10] * 19])[0]) == [190, 5000]
