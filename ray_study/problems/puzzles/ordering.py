"""Ordering: a race from clues, words in alphabetical order, days of the week."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from random import Random

from ray_study.problems.draws import between, shuffled
from ray_study.problems.made import Draft
from ray_study.problems.puzzles.parts import NAMES, WORDS, listed, puzzle, some

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
Order = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Clue:
    """One fact about the order of a race; `two` is empty where it is about one person and a place."""

    kind: str
    one: str
    two: str = ""
    place: int = 0

    def holds(self, order: Order) -> bool:
        """Whether the fact holds in a whole order."""
        one = order.index(self.one)
        if self.kind == "not_at":
            return one != self.place - 1
        ahead = order.index(self.two) - one
        if self.kind == "before":
            return ahead > 0
        return ahead == -1 if self.kind == "next" else abs(ahead) == 2

    def text(self) -> str:
        """The fact in words."""
        return {
            "before": f"{self.one} finished before {self.two}.",
            "next": f"{self.one} finished directly after {self.two}.",
            "apart": f"Exactly one person finished between {self.one} and {self.two}.",
            "not_at": f"{self.one} did not finish in place {self.place}.",
        }[self.kind]


def race_order(rng: Random, difficulty: int) -> Draft:
    """The order of four to six people from clues that fit one order only, none of which can be left out."""
    order = tuple(some(rng, NAMES, 3 + difficulty))
    clues = _clues(rng, order)
    runners = sorted(order)
    numbered = "\n".join(f"{number}. {clue.text()}" for number, clue in enumerate(clues, 1))
    answer = "".join(name[0] for name in order)
    places = {name: place for place, name in enumerate(order)} | {"": -1}
    return puzzle(
        "race_order",
        f"{listed(runners)} ran a race, and no two finished together.\n{numbered}\n"
        "In which order did they finish? Write the first letters of their names from the first to the last, without spaces "
        f"(such as {''.join(name[0] for name in runners)}).",
        kind="exact",
        answer=answer,
        thinking=_search(clues, list(permutations(runners)), ()),
        # Names do not matter: each person is the place in which they finished.
        key=sorted(_without_names(clue, places) for clue in clues),
    )


def _without_names(clue: Clue, places: Mapping[str, int]) -> tuple[str, list[int], int]:
    who = [places[clue.one], places[clue.two]]
    return clue.kind, sorted(who) if clue.kind == "apart" else who, clue.place


def _clues(rng: Random, order: Order) -> list[Clue]:
    pairs = [(one, two) for one in order for two in order if one != two]
    known = [Clue("before", one, two) for one, two in pairs] + [Clue("next", one, two) for one, two in pairs]
    known += [Clue("apart", min(two), max(two)) for two in combinations(order, 2)]
    known += [Clue("not_at", one, place=between(rng, 1, len(order))) for one in order]
    everyone = list(permutations(order))
    left, chosen = set(everyone), dict[Clue, set[Order]]()
    for clue in shuffled(rng, [clue for clue in known if clue.holds(order)]):
        fitting = {other for other in everyone if clue.holds(other)}
        if not left <= fitting:
            chosen[clue] = fitting
            left &= fitting
        if len(left) == 1:
            break
    for clue in list(chosen):
        others = [fitting for other, fitting in chosen.items() if other != clue]
        if len(set.intersection(*others)) == 1:
            del chosen[clue]
    return list(chosen)


def _search(clues: Sequence[Clue], ways: Sequence[Order], begun: Order) -> list[str]:
    """Places filled from the first, each try given up with the first clue that cannot hold any more; ends in the order."""
    lines: list[str] = []
    for name in dict.fromkeys(way[len(begun)] for way in ways):
        tried = (*begun, name)
        label = "".join(one[0] for one in tried)
        left = [way for way in ways if way[: len(tried)] == tried]
        broken = next((number for number, clue in enumerate(clues, 1) if not any(clue.holds(way) for way in left)), None)
        if broken:
            lines.append(f"{label}: breaks {broken}")
        elif len(tried) == len(ways[0]):
            return [*lines, f"{label}: fits all"]
        else:
            lines += [f"{label}: go on", *_search(clues, left, tried)]
            if lines[-1].endswith("fits all"):
                return lines
    return lines


def sort_words(rng: Random, difficulty: int) -> Draft:
    """One word of a list in alphabetical order; at difficulty 3 the words are compared from their ends."""
    words = some(rng, WORDS, 4 + 2 * difficulty)
    backwards = difficulty == 3
    ordered = sorted(words, key=lambda word: word[::-1] if backwards else word)
    place = between(rng, 1, len(words))
    how = "alphabetical order of their spelling backwards, from the last letter to the first" if backwards else "alphabetical order"
    shown = [f"{word[::-1]} ({word})" if backwards else word for word in ordered]
    return puzzle(
        "sort_words",
        f"Put these words into {how}: {', '.join(words)}.\nWhich word is then number {place}, counted from 1? Write the word as it is "
        "given, in small letters.",
        kind="exact",
        answer=ordered[place - 1],
        thinking=[f"{number} {text}" for number, text in enumerate(shown[:place], 1)],
        key=f"{backwards} {sorted(words)}",
    )


def weekday(rng: Random, difficulty: int) -> Draft:
    """The day of the week some days away, or of another date in the same year (2) or years later (3)."""
    return _days_away(rng) if difficulty == 1 else _dates(rng, most_years=0 if difficulty == 2 else 3)


def _days_away(rng: Random) -> Draft:
    today, num = between(rng, 0, 6), between(rng, 8, 400)
    later = rng.random() < 0.5
    answer = DAYS[(today + (num if later else -num)) % 7]
    asked = f"Which day of the week will it be in {num} days?" if later else f"Which day of the week was it {num} days ago?"
    return puzzle(
        "weekday",
        f"Today is {DAYS[today]}. {asked} Write its full English name with a capital letter.",
        kind="exact",
        answer=answer,
        thinking=[
            f"{num} = 7*{num // 7} + {num % 7}",
            f"{num % 7} {'after' if later else 'before'} {DAYS[today]}: {answer}",
        ],
        key=f"{today} {num} {later}",
    )


def _dates(rng: Random, most_years: int) -> Draft:
    year = between(rng, 1950, 2090)
    until = year + (between(rng, 1, most_years) if most_years else 0)
    first, second = _day(rng, year), _day(rng, until)
    while abs((second - first).days) < 8:
        second = _day(rng, until)
    first, second = sorted([first, second])
    num = (second - first).days
    answer = DAYS[second.weekday()]
    lengths = [365 + _is_leap(between_year) for between_year in range(year, until)]
    counted = " + ".join(map(str, [*lengths, _number_in_year(second)])) + f" - {_number_in_year(first)} = {num} days"
    years = [f"{one} has {365 + _is_leap(one)} days" for one in range(year, until)]
    return puzzle(
        "weekday",
        f"{_written(first)} is a {DAYS[first.weekday()]}. Which day of the week is {_written(second)}? "
        "Write its full English name with a capital letter.",
        kind="exact",
        answer=answer,
        thinking=[
            _counted(first),
            _counted(second),
            *years,
            counted,
            f"{num} = 7*{num // 7} + {num % 7}",
            f"{num % 7} after {DAYS[first.weekday()]}: {answer}",
        ],
        key=f"{first} {second}",
    )


def _day(rng: Random, year: int) -> datetime.date:
    return datetime.date(year, 1, 1) + datetime.timedelta(days=between(rng, 0, 364))


def _written(day: datetime.date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _number_in_year(day: datetime.date) -> int:
    return (day - datetime.date(day.year, 1, 1)).days + 1


def _counted(day: datetime.date) -> str:
    """The day's number in its year, as a sum of the months before it."""
    lengths = [31, 28 + _is_leap(day.year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    terms = [*lengths[: day.month - 1], day.day]
    return f"{_written(day)} is day {' + '.join(map(str, terms))}" + (f" = {sum(terms)}" if len(terms) > 1 else "")
