from __future__ import annotations

import calendar
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from itertools import groupby, permutations, product
from random import Random

import pytest

from ray_study.problems import SOURCES, arithmetic, countdown, load, procedural, puzzles
from ray_study.problems.draws import Split, pick_by_share, split_of
from ray_study.problems.formats import without_request
from ray_study.problems.made import Draft, collect
from ray_study.problems.puzzles import games, logic, ordering
from ray_study.problems.puzzles.parts import NAMES
from ray_study.rows import Problem
from ray_study.verify import check_gold, judge

NUM = 120
TINY = dict.fromkeys(procedural.TASKS, 1.0)


def made(task: str, difficulty: int = 1, num: int = NUM, seed: int = 0, split: str = "train") -> list[Problem]:
    options = {"tasks": {task: 1.0}, "difficulty": difficulty, "split": split, "request": "none"}
    return load("puzzles", num_problems=num, seed=seed, options=options)


# Answers found again from the prompt alone, each in another way than the generator's.


def who_is_a_knight(prompt: str) -> str:
    names = re.findall(r"^(\w+) says", prompt, flags=re.MULTILINE)
    said = re.findall(r'says: "(.*)\."', prompt)

    def is_true(claim: str, knights: Mapping[str, bool]) -> bool:
        about = [name for name in re.findall(r"\w+", claim) if name in knights]
        if claim.startswith("Exactly"):
            return sum(knights.values()) == int(claim.split()[1])
        if claim.startswith("At least one"):
            return {knights[name] for name in about} != {True}
        if "same kind" in claim or "different kinds" in claim:
            return (len({knights[name] for name in about}) == 1) == ("same" in claim)
        return knights[about[0]] == claim.endswith("a knight")

    fitting = []
    for letters in product("KN", repeat=len(names)):
        knights = {name: letter == "K" for name, letter in zip(names, letters, strict=True)}
        if all(is_true(claim, knights) == knights[name] for name, claim in zip(names, said, strict=True)):
            fitting.append("".join(letters))
    assert len(fitting) == 1
    return fitting[0]


def truth(text: str, row: Mapping[str, bool]) -> bool:
    """The value of a formula, by putting values for variables and reducing the innermost parentheses until one value is left."""
    for name, value in row.items():
        text = re.sub(rf"\b{name}\b", "1" if value else "0", text)
    before = ""
    while text != before:
        before = text
        text = text.replace("not 1", "0").replace("not 0", "1")
        text = re.sub(r"\((\d) and (\d)\)", lambda found: str(int(found[1]) & int(found[2])), text)
        text = re.sub(r"\((\d) or (\d)\)", lambda found: str(int(found[1]) | int(found[2])), text)
        text = re.sub(r"\((\d) implies (\d)\)", lambda found: str(int(found[1] <= found[2])), text)
    assert text in ("0", "1")
    return text == "1"


def all_rows(names: str) -> list[dict[str, bool]]:
    return [{name: bool(number >> place & 1) for place, name in enumerate(names)} for number in range(2 ** len(names))]


def true_rows(prompt: str) -> str:
    names = "".join(re.findall(r"\b[p-t]\b", prompt.split(" is true")[0]))
    return str(sum(truth(prompt.splitlines()[1], row) for row in all_rows(names)))


def what_follows(prompt: str) -> str:
    names = "".join(re.findall(r"\b[p-s]\b", prompt.split(" is true")[0]))
    premises = re.findall(r"Premise \d: (.*)", prompt)
    conclusion = re.findall(r"Conclusion: (.*)", prompt)[0]
    left = [row for row in all_rows(names) if all(truth(one, row) for one in premises)]
    values = [truth(conclusion, row) for row in left]
    return "D" if not values else "A" if all(values) else "C" if any(values) else "B"


def in_base(prompt: str) -> str:
    text, given, wanted = re.findall(r"number (\d+) is written in base (\d+)\. Write it in base (\d+)", prompt)[0]
    value, base, answer = int(text, int(given)), int(wanted), ""
    power = base ** max(place for place in range(20) if base**place <= value)
    while power:
        answer += str(value // power)
        value, power = value % power, power // base
    return answer


def shortest(prompt: str) -> str:
    roads = {frozenset((one, two)): int(km) for one, two, km in re.findall(r"(\w)-(\w): (\d+) km", prompt)}
    start, goal = re.findall(r"from (\w) to (\w)\?", prompt)[0]
    assert frozenset((start, goal)) not in roads
    between = sorted(set().union(*roads) - {start, goal})
    lengths = []
    for ways in (permutations(between, stops) for stops in range(len(between) + 1)):
        for way in ways:
            steps = [frozenset(step) for step in zip((start, *way), (*way, goal), strict=True)]
            if all(step in roads for step in steps):
                lengths.append(sum(roads[step] for step in steps))
    return str(min(lengths))


def first_wrong_bracket(prompt: str) -> str:
    text = prompt.splitlines()[1].replace(" ", "")

    def reduced(part: str) -> str:
        shorter = part.replace("()", "").replace("[]", "").replace("{}", "")
        return shorter if shorter == part else reduced(shorter)

    for end in range(1, len(text) + 1):
        if set(reduced(text[:end])) & set(")]}"):
            return str(end)
    return "-1" if reduced(text) else "0"


def runs(prompt: str) -> str:
    if found := re.search(r"\. Write (\w+) in", prompt):
        return "".join(f"{len(list(group))}{letter}" for letter, group in groupby(found[1]))
    coded = re.findall(r"coding (\w+)\?", prompt)[0]
    return "".join(letter * int(num) for num, letter in re.findall(r"(\d)(\w)", coded))


def letters(prompt: str) -> str:
    letter, words = re.findall(r'letter "(\w)" occur in the words (.*) taken', prompt)[0]
    return str(Counter(re.sub(r",| and ", " ", words))[letter])


def finish(prompt: str) -> str:
    names = re.findall(r"\w+", prompt.split(" ran a race")[0].replace(" and ", " "))
    clues = re.findall(r"^\d+\. (.*)\.$", prompt, flags=re.MULTILINE)

    def holds(clue: str, place: Mapping[str, int]) -> bool:
        one, *more = [place[name] for name in re.findall(r"\w+", clue) if name in place]
        if "not finish" in clue:
            return one != int(clue.split()[-1])
        if "before" in clue:
            return one < more[0]
        return one - more[0] == 1 if "directly" in clue else one - more[0] in (2, -2)

    orders = ["".join(name[0] for name in order) for order in permutations(names)]
    places = [{name: order.index(name[0]) + 1 for name in names} for order in orders]
    fitting = [{order for order, place in zip(orders, places, strict=True) if holds(clue, place)} for clue in clues]
    assert all(len(set.intersection(*fitting[:at], *fitting[at + 1 :])) > 1 for at in range(len(clues)))
    (answer,) = set.intersection(*fitting)
    return answer


def word_at(prompt: str) -> str:
    words = re.findall(r": (.*)\.$", prompt, flags=re.MULTILINE)[0].split(", ")
    place = int(re.findall(r"number (\d+)", prompt)[0])
    compared = {word: "".join(reversed(word)) if "backwards" in prompt else word for word in words}
    return next(word for word in words if sum(other <= compared[word] for other in compared.values()) == place)


def day_of_the_week(prompt: str) -> str:
    names = list(calendar.day_name)
    dates = re.findall(r"(\d+) ([A-Z]\w+) (\d{4})", prompt)
    today = names.index(re.findall(r"is (?:a )?(\w+day)\.", prompt)[0])
    if not dates:
        num, way = re.findall(r"(\d+) days( ago)?", prompt)[0]
        for _ in range(int(num)):
            today += -1 if way else 1
        return names[today % 7]
    months = list(calendar.month_name)
    (day, month, year), last = ((int(day), months.index(month), int(year)) for day, month, year in dates)
    assert calendar.weekday(year, month, day) == today
    while (day, month, year) != last:
        day, today = day + 1, today + 1
        if day > calendar.monthrange(year, month)[1]:
            day, month = 1, month + 1
        if month > 12:
            month, year = 1, year + 1
    return names[today % 7]


@cache
def wins(piles: tuple[int, ...]) -> bool:
    """Whether whoever moves can win: there is a move after which the other cannot."""
    return any(not wins(after) for after in moves(piles))


def moves(piles: tuple[int, ...]) -> list[tuple[int, ...]]:
    return [tuple(sorted((*piles[:at], left, *piles[at + 1 :]))) for at, pile in enumerate(piles) for left in range(pile)]


def nim_moves(prompt: str) -> str:
    piles = tuple(int(pile) for pile in re.findall(r"\d+", prompt.split(" stones")[0])[1:])
    return str(sum(not wins(after) for after in moves(piles)))


def winning_cell(prompt: str) -> str:
    size = int(re.findall(r"(\d) by \d board", prompt)[0])
    board = {(row, column): mark for row, line in enumerate(prompt.splitlines()[1 : size + 1]) for column, mark in enumerate(line.split())}
    assert len(board) == size * size
    assert Counter(board.values())["X"] == Counter(board.values())["O"]

    def won(cells: Mapping[tuple[int, int], str], mark: str) -> bool:
        held = {cell for cell, sign in cells.items() if sign == mark}
        ways = [(0, 1), (1, 0), (1, 1), (1, -1)]
        return any(
            all((row + step * down, column + step * right) in held for step in range(3)) for row, column in held for down, right in ways
        )

    def free(cells: Mapping[tuple[int, int], str]) -> list[tuple[int, int]]:
        return [cell for cell, sign in cells.items() if sign == "."]

    def can_win(cells: Mapping[tuple[int, int], str]) -> bool:
        return any(won({**cells, cell: "X"}, "X") for cell in free(cells))

    def is_right(cell: tuple[int, int]) -> bool:
        after = {**board, cell: "X"}
        if "wins at once" in prompt:
            return won(after, "X")
        replies = [{**after, reply: "O"} for reply in free(after)]
        return not won(after, "X") and all(not won(reply, "O") and can_win(reply) for reply in replies)

    assert not won(board, "X")
    assert not won(board, "O")
    right = [cell for cell in free(board) if is_right(cell)]
    assert len(right) == 1
    return str(right[0][0] * size + right[0][1] + 1)


def living(prompt: str) -> str:
    board = [line.split() for line in prompt.split("In each step")[0].splitlines()[1:]]
    alive = {(row, column) for row, line in enumerate(board) for column, cell in enumerate(line) if cell == "#"}
    around = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
    for _ in range(2 if "2 steps" in prompt else 1):
        near = Counter((row + down, column + right) for row, column in alive for down, right in around)
        inside = {cell: num for cell, num in near.items() if min(cell) >= 0 and max(cell) < len(board)}
        alive = {cell for cell, num in inside.items() if num == 3 or (num == 2 and cell in alive)}
    return str(len(alive))


ANSWERS: dict[str, Callable[[str], str]] = {
    "knights_knaves": who_is_a_knight,
    "entailment": what_follows,
    "truth_rows": true_rows,
    "base_conversion": in_base,
    "shortest_path": shortest,
    "brackets": first_wrong_bracket,
    "run_length": runs,
    "letter_count": letters,
    "race_order": finish,
    "sort_words": word_at,
    "weekday": day_of_the_week,
    "nim": nim_moves,
    "three_in_a_row": winning_cell,
    "life": living,
}


def test_every_task_has_answers_found_in_another_way() -> None:
    assert set(ANSWERS) == set(puzzles.TASKS)


@pytest.mark.parametrize("difficulty", [1, 2, 3])
@pytest.mark.parametrize("task", puzzles.TASKS)
def test_the_gold_is_what_brute_force_finds_from_the_prompt_alone(task: str, difficulty: int) -> None:
    for problem in made(task, difficulty):
        assert ANSWERS[task](problem.prompt) == problem.answer, problem.prompt


@pytest.mark.parametrize("difficulty", [1, 2, 3])
@pytest.mark.parametrize("task", puzzles.TASKS)
def test_the_written_solution_thinks_and_is_judged_correct(task: str, difficulty: int) -> None:
    problems = made(task, difficulty)
    check_gold(problems)
    for problem in problems:
        assert judge(problem.kind, problem.solution, problem.answer).verdict == "correct", problem.solution
        assert re.fullmatch(r"<think>.+</think>\nThe answer is \\boxed\{.+\}\.", problem.solution, flags=re.DOTALL)


@pytest.mark.parametrize("task", puzzles.TASKS)
def test_no_answer_is_right_often_enough_to_be_guessed(task: str) -> None:
    commonest = Counter(problem.answer for problem in made(task, 2, num=200)).most_common(1)[0][1]
    assert commonest <= 100
    assert task != "entailment" or commonest <= 80


def drafts_of(source: str) -> Callable[[Random], Draft]:
    """What the source's own loading draws from, with its canonical keys."""
    tiny = procedural.ProceduralOptions(tasks=TINY)
    return {
        "arithmetic": lambda rng: arithmetic.draft(rng, arithmetic.ArithmeticOptions(operators=["+", "-"])),
        "countdown": lambda rng: countdown.draft(rng, countdown.CountdownOptions()),
        "procedural": lambda rng: procedural.TASKS[pick_by_share(rng, TINY)](rng, tiny),
        "puzzles": lambda rng: puzzles.draft(rng, puzzles.PuzzleOptions()),
    }[source]


OPTIONS: dict[str, dict[str, object]] = {
    "arithmetic": {"operators": ["+", "-"]},
    "countdown": {},
    "procedural": {"tasks": TINY},
    "puzzles": {},
}


def test_every_source_without_end_is_held_to_disjoint_splits() -> None:
    # Composed instructions are no puzzles: `test_instruction_prompts.py` holds their splits apart.
    assert {name for name, source in SOURCES.items() if source.endless} == {*OPTIONS, "instructions"}


@pytest.mark.parametrize("source", OPTIONS)
def test_training_and_held_out_problems_of_any_seeds_share_no_canonical_key_and_no_prompt(source: str) -> None:
    found: dict[Split, list[Draft]] = {"train": [], "heldout": []}
    loaded: dict[Split, set[str]] = {"train": set(), "heldout": set()}
    sizes: dict[Split, int] = {"train": 600, "heldout": 150}
    for split, num in sizes.items():
        for seed in range(4):
            found[split] += collect(drafts_of(source), source, num=num, seed=seed, split=split)
            problems = load(source, num_problems=num, seed=seed, options={**OPTIONS[source], "split": split})
            loaded[split] |= {without_request(problem.prompt) for problem in problems}
        assert {draft.prompt for draft in found[split]} == loaded[split]
        assert all(split_of(draft.key) == split for draft in found[split])
    assert {draft.key for draft in found["train"]}.isdisjoint(draft.key for draft in found["heldout"])
    assert loaded["train"].isdisjoint(loaded["heldout"])


def test_one_prompt_has_one_key_and_one_answer() -> None:
    seen: dict[str, tuple[str, str]] = {}
    for seed in range(4):
        for draft in collect(drafts_of("puzzles"), "puzzles", num=600, seed=seed, split="train"):
            assert seen.setdefault(draft.prompt, (draft.key, draft.answer)) == (draft.key, draft.answer)


def test_a_board_seen_from_another_side_is_the_same_problem() -> None:
    board = ("X..", ".O.", "..X")
    turned = ("..X", ".O.", "X..")
    assert min(games.seen_from_all_sides(board)) == min(games.seen_from_all_sides(turned))
    assert len(set(games.seen_from_all_sides(("XO.", "...", "..O")))) == 8


def test_other_names_leave_the_key_of_a_race_as_it_is() -> None:
    keys = []
    for first, second, third in [("Ada", "Ben", "Cleo"), ("Cleo", "Ben", "Ada")]:
        clues = [ordering.Clue("apart", min(first, third), max(first, third)), ordering.Clue("next", second, first)]
        places = {first: 0, second: 1, third: 2, "": -1}
        keys.append([ordering._without_names(clue, places) for clue in clues])
    assert keys[0] == keys[1]


def test_the_key_of_knights_and_knaves_holds_no_name_and_no_task_shares_a_key() -> None:
    drafts = collect(drafts_of("puzzles"), "puzzles", num=600, seed=0, split="train")
    assert all(draft.key.startswith(f"{draft.task} ") for draft in drafts)
    for draft in drafts:
        if draft.task in ("knights_knaves", "race_order"):
            assert not any(name in draft.key for name in NAMES)


def test_other_variables_and_another_order_of_premises_leave_the_key_as_it_is() -> None:
    p, q = logic.Formula("p"), logic.Formula("q")
    first = [logic.Formula("implies", (p, q)), logic.Formula("not", (q,))]
    second = [logic.Formula("not", (p,)), logic.Formula("implies", (q, p))]
    assert logic._argument_key(first, p, "pq") == logic._argument_key(second, q, "pq")
    assert logic._argument_key(first, p, "pq") != logic._argument_key(first, q, "pq")


def test_fewer_puzzles_are_the_beginning_of_more() -> None:
    many = load("puzzles", num_problems=300, seed=3, options={})
    assert many[:50] == load("puzzles", num_problems=50, seed=3, options={})
    assert len({problem.id for problem in many}) == 300


def test_two_processes_with_other_hash_salts_make_the_same_puzzles() -> None:
    program = (
        "import hashlib; from ray_study.problems import load\n"
        "made = [load('puzzles', num_problems=150, seed=5, options={'difficulty': level}) for level in (1, 2, 3)]\n"
        "print(hashlib.sha256(repr(made).encode()).hexdigest())"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": salt}, capture_output=True, text=True, check=True
        ).stdout
        for salt in ("1", "2")
    }
    assert len(answers) == 1


def test_all_tasks_come_in_equal_shares_unless_others_are_asked_for() -> None:
    equal = Counter(problem.cluster for problem in load("puzzles", num_problems=1400, seed=0, options={}))
    assert set(equal) == set(puzzles.TASKS)
    assert min(equal.values()) > 60
    assert max(equal.values()) < 145
    asked = Counter(problem.cluster for problem in load("puzzles", num_problems=400, seed=0, options={"tasks": {"nim": 3, "life": 1}}))
    assert asked == pytest.approx({"nim": 300, "life": 100}, abs=30)


def test_a_choice_is_asked_for_as_a_letter_and_the_rest_as_a_box() -> None:
    problems = load("puzzles", num_problems=200, seed=0, options={})
    assert {problem.kind for problem in problems} == set(SOURCES["puzzles"].kinds)
    for problem in problems:
        assert ("letter choice" in problem.prompt) == (problem.kind == "choice") == (problem.cluster == "entailment")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": {"chess": 1.0}}, r"unknown tasks \['chess'\]; choose from \['base_conversion'"),
        ({"tasks": {}}, "unknown tasks"),
        ({"tasks": {"nim": 0.0}}, "leave a task out"),
        ({"difficulty": 4}, "difficulty"),
    ],
)
def test_what_cannot_be_made_is_refused_with_what_can(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load("puzzles", num_problems=5, seed=0, options=options)
