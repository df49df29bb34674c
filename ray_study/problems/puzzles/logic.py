"""Logic: who lies, what follows from premises, how often a formula is true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from random import Random

from ray_study.problems.draws import between, pick, shuffled
from ray_study.problems.made import Draft
from ray_study.problems.puzzles.parts import NAMES, listed, puzzle, some

Row = Mapping[str, bool]

WORDING = (
    '"or" means that at least one of the two is true, and "X implies Y" is false only where X is true and Y is false; '
    '"not" applies only to what directly follows it.'
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a person says: of one other, of two, or (nobody named) how many of all are knights."""

    kind: str
    about: tuple[int, ...] = ()
    num: int = 0

    def holds(self, knights: Sequence[bool]) -> bool:
        """Whether the claim is true where `knights` says who is a knight."""
        seen = [knights[person] for person in self.about]
        return {
            "knight": lambda: seen[0],
            "knave": lambda: not seen[0],
            "same": lambda: seen[0] == seen[1],
            "different": lambda: seen[0] != seen[1],
            "some_knave": lambda: not all(seen),
            "count": lambda: sum(knights) == self.num,
        }[self.kind]()

    def text(self, names: Sequence[str]) -> str:
        """The claim in words."""
        who = [names[person] for person in self.about]
        return {
            "knight": lambda: f"{who[0]} is a knight",
            "knave": lambda: f"{who[0]} is a knave",
            "same": lambda: f"{who[0]} and {who[1]} are of the same kind",
            "different": lambda: f"{who[0]} and {who[1]} are of different kinds",
            "some_knave": lambda: f"at least one of {who[0]} and {who[1]} is a knave",
            "count": lambda: f"exactly {self.num} of the {len(names)} of us {'is a knight' if self.num == 1 else 'are knights'}",
        }[self.kind]()


def knights_knaves(rng: Random, difficulty: int) -> Draft:
    """Three to five people who each say one thing; exactly one way to tell knights from knaves fits."""
    num = 2 + difficulty
    while True:
        claims = [_claim(rng, speaker, num) for speaker in range(num)]
        fitting = [way for way in product([True, False], repeat=num) if _liar(claims, way) is None]
        if len(fitting) == 1:
            break
    names = some(rng, NAMES, num)
    said = "\n".join(f'{name} says: "{_capital(claim.text(names))}."' for name, claim in zip(names, claims, strict=True))
    thinking = []
    for way in product([True, False], repeat=num):
        at_odds = _liar(claims, way)
        if at_odds is None:
            thinking.append(f"{_letters(way)}: everything fits.")
            break
        truth = "true" if claims[at_odds].holds(way) else "false"
        thinking.append(f"{_letters(way)}: what {names[at_odds]} says is {truth}, no.")
    return puzzle(
        "knights_knaves",
        f"Knights always tell the truth and knaves always lie. {listed(names)} are each a knight or a knave.\n{said}\n"
        f"Who is what? Write one letter for each person in the order {', '.join(names)}: K for a knight, N for a knave, without "
        f"spaces (such as {'KN' * num:.{num}}).",
        kind="exact",
        answer=_letters(fitting[0]),
        thinking=thinking,
        key=[(claim.kind, sorted(claim.about), claim.num) for claim in claims],
    )


def _claim(rng: Random, speaker: int, num: int) -> Claim:
    others = shuffled(rng, [person for person in range(num) if person != speaker])
    kind = pick(rng, ["knight", "knave", "same", "different", "some_knave", "count"])
    if kind == "count":
        return Claim(kind, num=between(rng, 1, num - 1))
    return Claim(kind, tuple(others[:1] if kind in ("knight", "knave") else others[:2]))


def _liar(claims: Sequence[Claim], way: Sequence[bool]) -> int | None:
    """The first person whose kind and claim are at odds, or None where everything fits."""
    return next((person for person, claim in enumerate(claims) if claim.holds(way) != way[person]), None)


def _letters(way: Sequence[bool]) -> str:
    return "".join("K" if knight else "N" for knight in way)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


@dataclass(frozen=True, slots=True)
class Formula:
    """A variable (no parts), `not` of one part, or `and`, `or`, `implies` of two."""

    word: str
    parts: tuple[Formula, ...] = ()

    def __str__(self) -> str:
        """The formula in words, every pair in parentheses."""
        if not self.parts:
            return self.word
        if self.word == "not":
            return f"not {self.parts[0]}"
        return f"({self.parts[0]} {self.word} {self.parts[1]})"

    def holds(self, row: Row) -> bool:
        """Whether the formula is true where `row` says which variables are."""
        if not self.parts:
            return row[self.word]
        values = [part.holds(row) for part in self.parts]
        if self.word == "not":
            return not values[0]
        return {"and": all(values), "or": any(values), "implies": not values[0] or values[-1]}[self.word]

    def renamed(self, names: Mapping[str, str]) -> Formula:
        """The formula with other variables in the same places."""
        return Formula(self.word, tuple(part.renamed(names) for part in self.parts)) if self.parts else Formula(names[self.word])

    def names(self) -> list[str]:
        """The variables from left to right, repeats included."""
        return [name for part in self.parts for name in part.names()] if self.parts else [self.word]


def formula(rng: Random, names: Sequence[str], num_leaves: int) -> Formula:
    """A random formula whose leaves are variables, some of them negated."""
    if num_leaves == 1:
        leaf = Formula(pick(rng, names))
        return Formula("not", (leaf,)) if rng.random() < 0.4 else leaf
    left = between(rng, 1, num_leaves - 1)
    pair = (formula(rng, names, left), formula(rng, names, num_leaves - left))
    whole = Formula(pick(rng, ["and", "or", "implies"]), pair)
    return Formula("not", (whole,)) if rng.random() < 0.15 else whole


def rows(names: Sequence[str]) -> list[Row]:
    """All truth values of the variables, first all true."""
    return [dict(zip(names, values, strict=True)) for values in product([True, False], repeat=len(names))]


def truth_rows(rng: Random, difficulty: int) -> Draft:
    """How many of the rows of a truth table make a formula true."""
    names = "pqrst"[: 2 + difficulty]
    while True:
        whole = formula(rng, names, len(names) + 1)
        if set(whole.names()) == set(names):
            break
    seen = [(row, whole.holds(row)) for row in rows(names)]
    answer = sum(true for _, true in seen)
    first = list(dict.fromkeys(whole.names()))
    renamed = whole.renamed(dict(zip(first, names, strict=True)))
    return puzzle(
        "truth_rows",
        f"Each of {listed(names)} is true or false, which makes {len(seen)} combinations. In how many of them is this formula true?\n"
        f"{whole}\nHere {WORDING}",
        kind="number",
        answer=answer,
        thinking=[f"In the order {', '.join(names)}:", *(f"{_values(row)}: {_value(true)}" for row, true in seen), f"true: {answer}"],
        key=renamed,
    )


STANDINGS = (
    "it must be true",
    "it must be false",
    "it may be true and it may be false",
    "the premises cannot all be true together",
)


def entailment(rng: Random, difficulty: int) -> Draft:
    """What premises say of a conclusion, as a choice of four, each as likely."""
    names = "pqrs"[: 1 + difficulty]
    wanted = between(rng, 0, 3)
    while True:
        premises = [formula(rng, names, between(rng, 1, 3)) for _ in range(1 + difficulty)]
        conclusion = formula(rng, names, between(rng, 1, 2))
        texts = {str(one) for one in (*premises, conclusion)}
        is_open = len({conclusion.holds(row) for row in rows(names)}) == 2
        if is_open and len(texts) == len(premises) + 1 and standing(premises, conclusion, names) == wanted:
            break
    numbered = "\n".join(f"Premise {number}: {one}" for number, one in enumerate(premises, 1))
    options = "\n".join(f"{letter}) {text}" for letter, text in zip("ABCD", STANDINGS, strict=True))
    thinking = [f"In the order {', '.join(names)}:"]
    for row in rows(names):
        false = next((number for number, one in enumerate(premises, 1) if not one.holds(row)), None)
        after = f"premise {false} is false" if false else f"premises true, conclusion {_value(conclusion.holds(row))}"
        thinking.append(f"{_values(row)}: {after}")
    return puzzle(
        "entailment",
        f"Each of {listed(names)} is true or false.\n{numbered}\nConclusion: {conclusion}\nHere {WORDING}\n"
        f"If all premises are true, what holds for the conclusion?\n{options}",
        kind="choice",
        answer="ABCD"[wanted],
        thinking=[*thinking, f"So {STANDINGS[wanted]}."],
        key=_argument_key(premises, conclusion, names),
    )


def standing(premises: Sequence[Formula], conclusion: Formula, names: Sequence[str]) -> int:
    """The place in `STANDINGS` of what the premises say of the conclusion."""
    found = {conclusion.holds(row) for row in rows(names) if all(one.holds(row) for one in premises)}
    if not found:
        return 3
    if len(found) == 2:
        return 2
    return 0 if True in found else 1


def _argument_key(premises: Sequence[Formula], conclusion: Formula, names: str) -> str:
    """One key for all orders of the premises and all names of the variables."""
    ways = [dict(zip(names, other, strict=True)) for other in permutations(names)]
    return min(f"{sorted(str(one.renamed(way)) for one in premises)} {conclusion.renamed(way)}" for way in ways)


def _values(row: Row) -> str:
    return "".join("T" if true else "F" for true in row.values())


def _value(true: bool) -> str:
    return "true" if true else "false"
