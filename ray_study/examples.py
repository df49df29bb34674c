"""Verdicts -> the examples of a data set: what also stands in a benchmark is removed, attempts are chosen, their form is changed.

Attempts are read shard by shard and examples are written shard by shard, so no more than some thousand texts are held.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from ray_study import cards, problems
from ray_study.attempts import grade_attempts
from ray_study.chat import Chat
from ray_study.config import Dataset
from ray_study.decontamination import Items, find_overlaps, list_removed, overlap_mark, removal_warning
from ray_study.gathering import candidates, texts_in_order
from ray_study.grid import DATASET_VERSION, counting_model, dataset_literal, problems_literal, selection_seed
from ray_study.materials import Lab, base_directory, load_problems
from ray_study.rows import Example, Problem
from ray_study.selection import Choice, Choosing, fits, limits, order_of
from ray_study.store import Result, Workspace
from ray_study.transforms import Form, Tokens, transformed

T = TypeVar("T")

SHARD_ROWS = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class _Recipe:
    """What is to become of what a data set is made from."""

    lab: Lab
    name: str
    dataset: Dataset
    seed: int

    @property
    def form(self) -> Form:
        return Form(transform=self.dataset.transform, truncate_thinking=self.dataset.truncate_thinking)

    def fault(self, text: object) -> ValueError:
        return ValueError(f"data set {self.name!r}: {text}")


def make_dataset(lab: Lab, name: str, items: Items) -> Result:
    """The examples of a data set, without the problems that also stand in a benchmark of the study, and its card.

    Raises:
        ValueError: nothing, or too little, is left to choose from; with the counts and the mend.
    """
    dataset = lab.study.datasets[name]
    if dataset.problems is None or dataset.teacher is None:
        return _read(_recipe(lab, name), items)
    source, rows = load_problems(lab, dataset.problems)
    return from_verdicts(lab, name, (source, rows), grade_attempts(lab, dataset.problems, dataset.teacher), items)


def _recipe(lab: Lab, name: str) -> _Recipe:
    return _Recipe(lab=lab, name=name, dataset=lab.study.datasets[name], seed=selection_seed(lab.study, name))


def from_verdicts(lab: Lab, name: str, asked: tuple[Result, Sequence[Problem]], verdicts: Result, items: Items) -> Result:
    """As `make_dataset`, where the problems and the verdicts on a teacher's attempts at them are there already."""
    recipe, (source, rows) = _recipe(lab, name), asked
    dataset = recipe.dataset
    assert dataset.problems is not None
    of = problems_literal(lab.study.problems[dataset.problems])
    overlap = find_overlaps(lab, name, of, [source], lambda: [(row.id, row.prompt) for row in rows], items)

    def build(workspace: Workspace) -> Mapping[str, object]:
        gone = list_removed(lab, recipe.name, workspace, overlap)
        by_id = {row.id: row for row in rows if row.id not in gone}
        choosing = Choosing(by_id, len(by_id), dataset.select, recipe.seed)
        counting = _tokens(recipe) if dataset.tokens_by is not None else None
        num_attempts = 0
        for candidate in candidates(f"{verdicts.path}/rows", dataset.select.arm, counting):
            num_attempts += 1
            if candidate.problem_id not in gone:
                choosing.offer(candidate)
        try:
            choices = choosing.chosen()
        except ValueError as error:
            raise recipe.fault(error) from error
        counts = {
            "num_problems": len(rows),
            "num_attempts": num_attempts,
            "verdicts": dict(verdicts.record["verdicts"]),
            "num_attempts_removed_by_overlap": num_attempts - choosing.num_attempts,
            "num_outside_limits": choosing.num_outside_limits,
            "num_eligible": choosing.num_eligible,
            "num_eligible_problems": choosing.num_eligible_problems,
            "num_distinct_eligible": len(choices),
        }
        take = functools.partial(_from_attempts, recipe, f"{verdicts.path}/rows", by_id, scratch=f"{workspace.path}/sorting")
        made_from = {"problems": source, "verdicts": verdicts, "overlap": overlap}
        return _write(recipe, workspace, _take(recipe, choices, take), counts, made_from)

    return lab.store.make(
        "dataset",
        dataset_literal(lab.study, recipe.name),
        build,
        version=DATASET_VERSION,
        sources=[verdicts, source, overlap_mark(recipe.name, overlap)],
    )


def _from_attempts(
    recipe: _Recipe, directory: str, by_id: Mapping[str, Problem], choices: Sequence[Choice], *, scratch: str
) -> Iterator[Example | None]:
    """The examples of the choices in their form, None for each of which nothing is left."""
    tokens = None if recipe.form == Form() else _tokens(recipe)
    select = recipe.dataset.select
    for choice, text in zip(choices, texts_in_order(directory, [choice.candidate for choice in choices], scratch), strict=True):
        row = choice.candidate
        problem = by_id[row.problem_id]
        example = Example(
            problem_id=row.problem_id,
            prompt=problem.prompt,
            response=text,
            num_tokens=row.num_tokens,
            source=problem.source,
            asked_of=row.asked_of,
            sample=row.sample,
            verdict=row.verdict,
            chosen=f"{select.arm}, {select.policy}",
            num_eligible=choice.num_eligible,
        )
        yield transformed(example, recipe.form, solution=problem.solution, tokens=tokens)


def _read(recipe: _Recipe, items: Items) -> Result:
    lab, dataset = recipe.lab, recipe.dataset
    assert dataset.name is not None
    files = problems.local_file(dataset.name)

    @functools.cache
    def there() -> tuple[Mapping[str, Example], dict[str, str]]:
        assert dataset.read is not None
        assert dataset.name is not None
        rows, resolved = problems.read_examples(
            dataset.read, dataset.name, revision=dataset.revision, split=dataset.split, columns=dataset.columns
        )
        return {row.problem_id: row for row in rows}, resolved

    of = dataset.model_dump(mode="json", include={"read", "name", "revision", "split", "columns"})
    overlap = find_overlaps(lab, recipe.name, of, files, lambda: [(row.problem_id, row.prompt) for row in there()[0].values()], items)

    def build(workspace: Workspace) -> Mapping[str, object]:
        rows, resolved = there()
        gone = list_removed(lab, recipe.name, workspace, overlap)
        tokens = _tokens(recipe) if counting_model(lab.study, recipe.name) is not None else None
        left = {name: _as_read(recipe, row, tokens) for name, row in rows.items() if name not in gone}
        eligible = [name for name, row in left.items() if fits(dataset.select, row.num_tokens)]
        counts = {"num_problems": len(rows), "num_eligible": len(eligible), "num_outside_limits": len(left) - len(eligible)}
        wanted = dataset.select.num_examples or 1
        if len(eligible) < wanted:
            raise recipe.fault(
                f"found {len(eligible)} rows in {dataset.name}, expected {wanted} ({len(rows)} are there, {len(gone)} also stand in a "
                f"benchmark, {counts['num_outside_limits']} have not {limits(dataset.select) or 'any limit'}); set num_examples to what is "
                "there, or `decontaminate: {remove: false}` to keep the set as it was published"
            )
        form = functools.partial(transformed, form=recipe.form, tokens=tokens)
        order = order_of(eligible, dataset.select, recipe.seed)
        kept = _take(recipe, order, lambda names: (form(left[name]) for name in names))
        return _write(recipe, workspace, kept, {**counts, "resolved": resolved}, {"overlap": overlap})

    sources = [*files, overlap_mark(recipe.name, overlap)]
    return lab.store.make("dataset", dataset_literal(lab.study, recipe.name), build, version=DATASET_VERSION, sources=sources)


def _as_read(recipe: _Recipe, row: Example, tokens: Tokens | None) -> Example:
    dataset = recipe.dataset
    counted = tokens.count(row.response) if tokens else row.num_tokens
    return replace(row, num_tokens=counted, source=row.source or f"{dataset.read} {dataset.name}", chosen=f"read, {dataset.select.policy}")


def _take(recipe: _Recipe, order: Sequence[T], form: Callable[[Sequence[T]], Iterable[Example | None]]) -> Iterator[Example | None]:
    """What the order gives, in its form, until as many are kept as are wanted: each example, or None where one was dropped.

    Raises:
        ValueError: so many are not left.
    """
    wanted = recipe.dataset.select.num_examples or len(order)
    start = num_kept = 0
    while start < len(order) and num_kept < wanted:
        batch = order[start : start + wanted - num_kept]
        start += len(batch)
        for example in form(batch):
            num_kept += example is not None
            yield example
    if not num_kept or (recipe.dataset.select.num_examples is not None and num_kept < wanted):
        mend = "problems with written solutions" if recipe.form.transform == "human_solution" else "another form"
        raise recipe.fault(
            f"transform {recipe.form.name!r} left something of {num_kept} of {start} responses, expected {wanted}; "
            f"set num_examples to what is left, or choose {mend}"
        )


def _write(
    recipe: _Recipe,
    workspace: Workspace,
    taken: Iterator[Example | None],
    counts: Mapping[str, object],
    made_from: Mapping[str, Result],
) -> Mapping[str, object]:
    """The facts of the data set, once its rows are written and its card is beside them."""
    workspace.keep(())
    tally = cards.Tally(recipe.seed)
    kept = (example for example in taken if tally.count(example))
    for number in itertools.count():
        rows = list(itertools.islice(kept, SHARD_ROWS))
        if not rows:
            break
        workspace.write(f"{number:06d}", rows, Example)
    overlap = made_from["overlap"].record
    num_overlapping = int(overlap["num_rows"])
    num_removed = num_overlapping if recipe.dataset.decontaminate.remove else 0
    facts = {
        **counts,
        "num_overlapping": num_overlapping,
        "num_removed_by_overlap": num_removed,
        "overlaps": {key: overlap[key] for key in ("by_benchmark", "by_how", "num_items")},
        "num_selected": tally.num_rows + tally.num_dropped,
        "num_dropped_by_transform": tally.num_dropped,
        "num_rows": tally.num_rows,
        "content": tally.digest,
        "warning": removal_warning(num_removed, overlap),
    }
    cards.write(workspace, cards.card(recipe.lab.study, recipe.lab.store, recipe.name, facts, tally, made_from), tally)
    return facts


def _tokens(recipe: _Recipe) -> Tokens | None:
    """The tokenizer that counts and cuts; None where nobody has one."""
    name = counting_model(recipe.lab.study, recipe.name)
    if name is None:
        return None
    chat = Chat(base_directory(recipe.lab, name), trust_remote_code=recipe.lab.study.models[name].trust_remote_code)
    return Tokens(
        name=name, count=lambda text: len(chat.response_ids(text)), first=lambda text, number: chat.decode(chat.ids(text)[:number])
    )
