"""Games: winning moves of Nim, three in a row on a larger board, the Game of Life."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import product
from operator import xor
from random import Random

from ray_study.problems.draws import between, shuffled
from ray_study.problems.made import Draft
from ray_study.problems.puzzles.parts import listed, puzzle

Board = tuple[str, ...]
"""Rows of a square board."""


def nim(rng: Random, difficulty: int) -> Draft:
    """How many first moves win a game of Nim, sometimes none."""
    piles = [between(rng, 1, 15) for _ in range(2 + difficulty)]
    if rng.random() < 0.2 and reduce(xor, piles[1:]):
        piles[0] = reduce(xor, piles[1:])
    total = reduce(xor, piles)
    wins = [(number, pile) for number, pile in enumerate(piles, 1) if pile ^ total < pile]
    lines = [*(f"{pile} = {pile:04b}" for pile in piles), f"bits that occur an odd number of times: {total:04b}"]
    if total:
        lines += [
            f"pile {number}: {pile} to {pile ^ total}" if pile ^ total < pile else f"pile {number}: {pile} to {pile ^ total}, not fewer"
            for number, pile in enumerate(piles, 1)
        ]
    else:
        lines.append("none, so every move loses")
    return puzzle(
        "nim",
        f"There are {len(piles)} piles with {listed(piles)} stones. Two players take turns; a move takes one or more stones from one "
        "pile, and whoever takes the last stone of all wins. How many of the first player's possible first moves win if both then "
        "play perfectly? Moves that take from different piles, or different numbers of stones, are different moves.",
        kind="number",
        answer=len(wins),
        thinking=lines,
        key=sorted(piles),
    )


def three_in_a_row(rng: Random, difficulty: int) -> Draft:
    """The only cell that wins at once (1), or that makes sure of winning on the next turn (2 and 3)."""
    size = 5 if difficulty == 3 else 4
    lines = rows_of_three(size)
    while True:
        cells = _position(rng, size, num_each=between(rng, 3, 4) + (difficulty == 3))
        if any(_winning(cells, lines, mark) for mark in ("XXX", "OOO")):
            continue
        now = winning_moves(cells, lines, "X")
        sure = now if difficulty == 1 else ([] if now else _sure_moves(cells, lines))
        if len(sure) == 1:
            break
    move = sure[0]
    board = tuple(cells[row * size : (row + 1) * size] for row in range(size))
    shown = "\n".join(" ".join(row) for row in board)
    ask = "wins at once" if difficulty == 1 else "makes sure that X wins with X's next mark after this one, whatever O does"
    return puzzle(
        "three_in_a_row",
        f"On this {size} by {size} board, whoever first has three marks next to each other in a row, a column or a diagonal wins "
        f"(. is an empty cell):\n{shown}\nThe cells are numbered from 1 to {size * size}, row by row from the top left. It is X's turn. "
        f"Exactly one cell {ask}. What is its number?",
        kind="number",
        answer=move + 1,
        thinking=_line_thinking(cells, lines, move) if difficulty == 1 else _sure_thinking(cells, lines, move),
        key=f"{difficulty > 1} {min(seen_from_all_sides(board))}",
    )


def rows_of_three(size: int) -> list[tuple[int, int, int]]:
    """All three cells that lie next to each other in a line."""
    found = []
    for row, column, (down, right) in product(range(size), range(size), [(0, 1), (1, 0), (1, 1), (1, -1)]):
        if row + 2 * down < size and 0 <= column + 2 * right < size:
            found.append(tuple((row + step * down) * size + column + step * right for step in range(3)))
    return [(one, two, three) for one, two, three in found]


def _position(rng: Random, size: int, num_each: int) -> str:
    order = shuffled(rng, range(size * size))
    marks = {cell: "X" for cell in order[:num_each]} | {cell: "O" for cell in order[num_each : 2 * num_each]}
    return "".join(marks.get(cell, ".") for cell in range(size * size))


def _winning(cells: str, lines: Iterable[tuple[int, int, int]], three: str) -> bool:
    return any(cells[one] + cells[two] + cells[last] == three for one, two, last in lines)


def winning_moves(cells: str, lines: Iterable[tuple[int, int, int]], mark: str) -> list[int]:
    """The empty cells that make three of the mark."""
    found = set()
    for line in lines:
        marks = [cells[cell] for cell in line]
        if marks.count(mark) == 2 and marks.count(".") == 1:
            found.add(line[marks.index(".")])
    return sorted(found)


def _placed(cells: str, cell: int) -> str:
    return f"{cells[:cell]}X{cells[cell + 1 :]}"


def _sure_moves(cells: str, lines: Sequence[tuple[int, int, int]]) -> list[int]:
    """Cells after which O cannot win at once and X has two ways to win, of which O can stop one."""
    return [
        cell
        for cell in range(len(cells))
        if cells[cell] == "."
        and not winning_moves(_placed(cells, cell), lines, "O")
        and len(winning_moves(_placed(cells, cell), lines, "X")) > 1
    ]


def _line_thinking(cells: str, lines: Sequence[tuple[int, int, int]], move: int) -> list[str]:
    line = next(line for line in lines if move in line and sorted(cells[cell] for cell in line) == [".", "X", "X"])
    own = [cell + 1 for cell in line if cell != move]
    marks = listed([cell + 1 for cell, mark in enumerate(cells) if mark == "X"])
    return [f"X stands on {marks}", f"{listed(own)} lie in one line with {move + 1}, which is empty"]


def _sure_thinking(cells: str, lines: Sequence[tuple[int, int, int]], move: int) -> list[str]:
    wins = [cell + 1 for cell in winning_moves(_placed(cells, move), lines, "X")]
    danger = winning_moves(cells, lines, "O")
    return [
        f"O would win on {danger[0] + 1}, so it must be filled" if danger else "O cannot win with one mark",
        f"X on {move + 1} could then win on {listed(wins)}",
        "O can stop only one of them",
    ]


def seen_from_all_sides(board: Board) -> list[Board]:
    """The board turned and mirrored in all eight ways."""
    found = []
    for _ in range(4):
        board = tuple("".join(column) for column in zip(*board[::-1], strict=True))
        found += [board, board[::-1]]
    return found


def life(rng: Random, difficulty: int) -> Draft:
    """How many cells live after one step (1, 2) or two steps (3) of the Game of Life."""
    size, num_steps = (4, 1) if difficulty == 1 else (5, difficulty - 1)
    board = tuple("".join("#" if rng.random() < 0.4 else "." for _ in range(size)) for _ in range(size))
    shown = "\n".join(" ".join(row) for row in board)
    thinking, after = [], board
    for _ in range(num_steps):
        counts = neighbours(after)
        thinking.append("neighbours:\n" + "\n".join(" ".join(map(str, row)) for row in counts))
        after = tuple(
            "".join("#" if num == 3 or (num == 2 and cell == "#") else "." for cell, num in zip(row, nums, strict=True))
            for row, nums in zip(after, counts, strict=True)
        )
        thinking.append("then:\n" + "\n".join(" ".join(row) for row in after))
    alive = [row.count("#") for row in after]
    steps = "one step" if num_steps == 1 else f"{num_steps} steps"
    return puzzle(
        "life",
        f"In the Game of Life, # is a living cell and . a dead one:\n{shown}\nIn each step a living cell with two or three living "
        "neighbours stays alive, a dead cell with exactly three living neighbours comes alive, and every other cell is dead afterwards. "
        "Neighbours are the up to eight cells around a cell, diagonals included; cells outside the board are always dead. How many cells "
        f"are alive after {steps}?",
        kind="number",
        answer=sum(alive),
        thinking=[*thinking, f"{' + '.join(map(str, alive))} = {sum(alive)}"],
        key=f"{num_steps} {min(seen_from_all_sides(board))}",
    )


def neighbours(board: Board) -> list[list[int]]:
    """The number of living neighbours of every cell."""
    size = len(board)

    def around(row: int, column: int) -> int:
        near = product(range(max(0, row - 1), min(size, row + 2)), range(max(0, column - 1), min(size, column + 2)))
        return sum(board[one][two] == "#" for one, two in near if (one, two) != (row, column))

    return [[around(row, column) for column in range(size)] for row in range(size)]
