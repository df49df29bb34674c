"""Algorithms done by hand: number bases, shortest paths, brackets, run lengths, counting letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random

from ray_study.problems.draws import between, pick, shuffled
from ray_study.problems.made import Draft
from ray_study.problems.puzzles.parts import WORDS, listed, puzzle, some

PAIRS = {"(": ")", "[": "]", "{": "}"}


def base_conversion(rng: Random, difficulty: int) -> Draft:
    """A whole number from one base to another, both from 2 to 10."""
    given, wanted = shuffled(rng, range(2, 11))[:2]
    value = between(rng, 11, 2 ** (4 + 3 * difficulty))
    text, answer = digits(value, given), digits(value, wanted)
    thinking = []
    if given != 10:
        terms = [f"{digit}*{given ** (len(text) - 1 - place)}" for place, digit in enumerate(text)]
        thinking.append(f"{' + '.join(terms)} = {value}")
    if wanted != 10:
        left = value
        while left:
            thinking.append(f"{left} = {wanted}*{left // wanted} + {left % wanted}")
            left //= wanted
        thinking.append(f"remainders from the last: {answer}")
    return puzzle(
        "base_conversion",
        f"The number {text} is written in base {given}. Write it in base {wanted}, with its digits only.",
        kind="number",
        answer=answer,
        thinking=thinking,
        key=f"{value} {sorted([given, wanted])}",
    )


def digits(value: int, base: int) -> str:
    """A number above 0 in a base up to 10."""
    text = ""
    while value:
        text = str(value % base) + text
        value //= base
    return text


Edges = Mapping[tuple[str, str], int]


def shortest_path(rng: Random, difficulty: int) -> Draft:
    """The length of the shortest way between two towns that have no direct road."""
    towns = "ABCDEFGHI"[: 4 + difficulty]
    start, goal = towns[0], towns[-1]
    tree = [(pick(rng, towns[: max(1, place - 1)]), towns[place]) for place in range(1, len(towns) - 1)]
    tree.append((pick(rng, towns[1:-2]), goal))
    spare = [(one, two) for one in towns for two in towns if one < two and (one, two) not in tree and (one, two) != (start, goal)]
    chosen = [*tree, *shuffled(rng, spare)[: 1 + difficulty]]
    roads = {pair: between(rng, 1, 6 + 4 * difficulty) for pair in shuffled(rng, chosen)}
    thinking, length = _settle(roads, start, goal)
    lines = "\n".join(f"{one}-{two}: {km} km" for (one, two), km in roads.items())
    return puzzle(
        "shortest_path",
        f"Roads can be driven in both directions:\n{lines}\nHow many kilometres long is the shortest way from {start} to {goal}?",
        kind="number",
        answer=length,
        thinking=thinking,
        key=sorted(roads.items()),
    )


def _settle(roads: Edges, start: str, goal: str) -> tuple[list[str], int]:
    """Towns settled from the nearest, as lines, and the distance of the goal."""
    near: dict[str, list[tuple[str, int]]] = {}
    for (one, two), km in roads.items():
        near.setdefault(one, []).append((two, km))
        near.setdefault(two, []).append((one, km))
    found, settled = {start: 0}, set[str]()
    lines: list[str] = []
    while True:
        here = min((town for town in found if town not in settled), key=lambda town: (found[town], town))
        if here == goal:
            return [*lines, f"{goal} at {found[goal]}: this is the goal."], found[goal]
        settled.add(here)
        better = {}
        for town, km in sorted(near[here]):
            if found[here] + km < found.get(town, 10**9):
                better[town] = found[town] = found[here] + km
        reached = ", ".join(f"{town} {km}" for town, km in better.items()) or "nothing nearer"
        lines.append(f"{here} at {found[here]}: {reached}")


def brackets(rng: Random, difficulty: int) -> Draft:
    """Where brackets first go wrong; balanced, wrong and left open are all common."""
    text = list(_balanced(rng, 2 + 2 * difficulty))
    fault = pick(rng, ["none", "change", "change", "cut"])
    if fault == "change":
        place = between(rng, 0, len(text) - 1)
        text[place] = pick(rng, [sign for sign in "([{)]}" if sign != text[place]])
    elif fault == "cut":
        text = text[: -between(rng, 1, 2)]
    thinking, answer = _read(text)
    shown = "".join(text)
    kinds = list(dict.fromkeys(sign.translate(str.maketrans(")]}", "([{")) for sign in shown))
    order = str.maketrans("".join(kinds) + "".join(PAIRS[kind] for kind in kinds), "abc"[: len(kinds)] + "ABC"[: len(kinds)])
    return puzzle(
        "brackets",
        f"Read these brackets from left to right:\n{' '.join(shown)}\nEach closing bracket must be of the same kind as the last bracket "
        "that is still open, and closes it. At which position, counted from 1, stands the first closing bracket that breaks this rule? "
        "If none breaks it, answer 0 if all brackets are closed at the end, and -1 if some are still open.",
        kind="number",
        answer=answer,
        thinking=thinking,
        key=shown.translate(order),
    )


def _balanced(rng: Random, num_pairs: int) -> str:
    if num_pairs == 0:
        return ""
    inside = between(rng, 0, num_pairs - 1)
    kind = pick(rng, sorted(PAIRS))
    return kind + _balanced(rng, inside) + PAIRS[kind] + _balanced(rng, num_pairs - 1 - inside)


def _read(text: Sequence[str]) -> tuple[list[str], int]:
    """What is open after each bracket, as lines, and the answer."""
    still_open = ""
    lines: list[str] = []
    for place, sign in enumerate(text, 1):
        if sign in PAIRS:
            still_open += sign
        elif still_open and PAIRS[still_open[-1]] == sign:
            still_open = still_open[:-1]
        else:
            return [*lines, f"{place} {sign} does not close {still_open[-1:] or 'anything'}"], place
        lines.append(f"{place} {sign} open: {still_open or 'none'}")
    return lines, -1 if still_open else 0


def run_length(rng: Random, difficulty: int) -> Draft:
    """Runs of letters to their lengths, or back."""
    letters = [pick(rng, "abcd")]
    while len(letters) < 2 + 2 * difficulty:
        letters.append(pick(rng, [letter for letter in "abcd" if letter != letters[-1]]))
    runs = [(between(rng, 1, 5), letter) for letter in letters]
    spelled, coded = "".join(num * letter for num, letter in runs), "".join(f"{num}{letter}" for num, letter in runs)
    how = "In run-length coding each run of equal letters is written as its length followed by the letter, so aaabcc is 3a1b2c."
    if rng.random() < 0.5:
        ask, answer = f"Write {spelled} in run-length coding, without spaces.", coded
        thinking = [f"{num * letter}: {num}{letter}" for num, letter in runs]
    else:
        ask, answer = f"Which text has the run-length coding {coded}? Write it without spaces.", spelled
        thinking = [f"{num}{letter}: {num * letter}" for num, letter in runs]
    return puzzle("run_length", f"{how} {ask}", kind="exact", answer=answer, thinking=thinking, key=coded)


def letter_count(rng: Random, difficulty: int) -> Draft:
    """How often a letter occurs in some words, at least once."""
    words = some(rng, WORDS, 2 + 2 * difficulty)
    letter = pick(rng, "".join(words))
    counts = [word.count(letter) for word in words]
    sums = [sum(counts[:end]) for end in range(len(counts) + 1)]
    steps = [f"{word}: {after - before}, together {after}" for word, (before, after) in zip(words, pairwise(sums), strict=True)]
    return puzzle(
        "letter_count",
        f'How many times does the letter "{letter}" occur in the words {listed(words)} taken together?',
        kind="number",
        answer=sums[-1],
        thinking=steps,
        key=f"{letter} {sorted(words)}",
    )
