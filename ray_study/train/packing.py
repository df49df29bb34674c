"""How the rows of a step are shared by workers and micro-batches. Light: it sees lengths only, and no torch.

Every worker gets as many micro-batches as any other, and none is empty, since workers that split weights or gradients take each together.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

Shares = list[list[list[int]]]
"""For each worker its micro-batches, each the indices of its rows."""


def padded_shares(lengths: Sequence[int], num_workers: int, at_most: int) -> Shares:
    """Micro-batches of up to `at_most` rows: rows of like length together, where the least padding is computed, the longest first."""
    by_length = _longest_first(lengths)
    mine = [by_length[rank::num_workers] for rank in range(num_workers)]
    return [[rows[start : start + at_most] for start in range(0, len(rows), at_most)] for rows in mine]


def packed_shares(lengths: Sequence[int], num_workers: int, at_most: int) -> Shares:
    """Micro-batches of up to `at_most` tokens, or as many as the longest row has: as few as rows placed longest first allow.

    Those that workers take at the same time have nearly as many tokens, and so have all of a worker together.

    Args:
        lengths: tokens of each row, at least 1.
        num_workers: divides the number of rows.
        at_most: tokens of a micro-batch.
    """
    assert len(lengths) % num_workers == 0, (len(lengths), num_workers)
    at_most = max(at_most, *lengths)
    each = max(1, -(-sum(lengths) // (at_most * num_workers)))
    packs = _placed(lengths, each * num_workers)
    while packs[0][0] > at_most:
        each += 1
        packs = _placed(lengths, each * num_workers)
    shares: Shares = [[] for _ in range(num_workers)]
    totals = [0] * num_workers
    for start in range(0, len(packs), num_workers):
        # The fullest of these goes to the worker that has the least so far.
        poorest = sorted(range(num_workers), key=lambda worker: totals[worker])
        for worker, (load, rows) in zip(poorest, packs[start : start + num_workers], strict=True):
            shares[worker].append(rows)
            totals[worker] += load
    return shares


def _placed(lengths: Sequence[int], num_packs: int) -> list[tuple[int, list[int]]]:
    """Each pack's tokens and rows, the fullest first: the longest row first, each into the pack with the least (Graham, 1969).

    None stays empty where there are as many rows.
    """
    heap: list[tuple[int, int]] = [(0, pack) for pack in range(num_packs)]
    rows: list[list[int]] = [[] for _ in range(num_packs)]
    for index in _longest_first(lengths):
        load, pack = heapq.heappop(heap)
        rows[pack].append(index)
        heapq.heappush(heap, (load + lengths[index], pack))
    return sorted(((load, rows[pack]) for load, pack in heap), reverse=True)


def _longest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: lengths[index], reverse=True)
