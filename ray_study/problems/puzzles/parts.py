"""What the puzzles share: names, words, and a draft from a task's parts."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from ray_study.problems.draws import shuffled
from ray_study.problems.made import Draft
from ray_study.rows import Kind

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Jana", "Kim", "Leo", "Mia", "Noah", "Olga", "Paul")
"""Each with another first letter, so that an order of people can be written as letters."""

_TEXT = (
    "anchor apple apron arrow autumn badge balloon barrel basket beetle blossom bottle branch bridge bucket butter button cabbage "
    "camera candle canoe carpet carrot castle cellar cherry circle coffee corner cottage cotton cradle dancer dinner doctor dollar "
    "donkey dragon feather fiddle forest funnel garden garlic ginger guitar hammer harbor hollow honey insect island jacket jungle "
    "kettle kitchen ladder lantern lemon letter lizard magnet marble meadow melon mirror mitten monkey mountain needle nettle orange "
    "orchard otter paddle pebble pencil pepper pillow pocket puddle puppet rabbit ribbon rocket saddle sailor salmon shadow silver "
    "spider spring stable summer sunset teapot thunder ticket tomato tunnel turnip valley velvet village violet wagon walnut willow "
    "window winter wizard yellow zipper"
)
WORDS = tuple(_TEXT.split())


def puzzle(task: str, prompt: str, *, kind: Kind, answer: object, thinking: Sequence[str], key: object) -> Draft:
    """A draft whose solution thinks line by line and then boxes the answer; keys of different tasks never meet."""
    lines = "\n".join(thinking)
    return Draft(
        prompt=prompt,
        kind=kind,
        answer=str(answer),
        solution=f"<think>{lines}</think>\nThe answer is \\boxed{{{answer}}}.",
        key=f"{task} {key}",
        task=task,
    )


def some(rng: Random, values: Sequence[str], num: int) -> list[str]:
    """`num` different values in a random order."""
    return shuffled(rng, values)[:num]


def listed(values: Sequence[object]) -> str:
    """The values as a person lists them: `a, b and c`."""
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + f" and {texts[-1]}"
