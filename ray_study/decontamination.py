"""Which training problems also stand in a benchmark of the study: found once, listed beside the data set, and a source of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ray_study import problems
from ray_study.manifests import digest
from ray_study.materials import Lab
from ray_study.rows import Problem, Removed
from ray_study.store import Result, Workspace, outside

Items = Mapping[str, Sequence[Problem]]
"""The items of the study's benchmarks by name: what may not be trained on."""


def find_overlaps(
    lab: Lab,
    name: str,
    of: Mapping[str, object],
    sources: Sequence[Result],
    prompts: Callable[[], Iterable[tuple[str, str]]],
    items: Items,
) -> Result:
    """The training prompts that also stand in a benchmark, as `Removed` rows.

    Args:
        lab: where the study is worked on.
        name: of the data set, whose `decontaminate` says what counts as an overlap.
        of: what identifies the prompts.
        sources: what they are read from.
        prompts: gives (problem id, prompt) of each.
        items: of the benchmarks.
    """
    settings = lab.study.datasets[name].decontaminate
    asked = digest([[benchmark, [[row.id, row.prompt] for row in rows]] for benchmark, rows in sorted(items.items())])
    inputs = {"of": dict(of), "settings": settings.model_dump(mode="json", exclude={"remove"}), "items": asked}

    def build(workspace: Workspace) -> Mapping[str, object]:
        index = problems.Benchmarks(items, ngram=settings.ngram, similarity=settings.similarity)
        found = list(problems.overlaps(prompts(), index))
        workspace.write("all", found, Removed)
        return {
            "num_rows": len(found),
            "num_prompts": sum(1 for _ in prompts()),
            "by_benchmark": dict(Counter(row.benchmark for row in found).most_common()),
            "by_how": dict(Counter(row.how for row in found).most_common()),
            "num_items": {benchmark: len(rows) for benchmark, rows in items.items()},
        }

    return lab.store.make("overlap", inputs, build, sources=sources)


def overlap_mark(name: str, overlap: Result) -> Result:
    """The overlaps as a source of a data set: other overlaps make it again, other benchmarks with the same overlaps do not."""
    return outside(f"overlap of {name}", digest([[row.problem_id, row.benchmark, row.item_id] for row in overlap.stream(Removed)]))


def list_removed(lab: Lab, name: str, workspace: Workspace, overlap: Result) -> frozenset[str]:
    """The ids of the problems that are removed, once they are listed in `removed.parquet` beside the rows.

    Raises:
        ValueError: that is all of them.
    """
    workspace.write_beside_rows("removed", overlap.stream(Removed), Removed)
    if not lab.study.datasets[name].decontaminate.remove:
        return frozenset()
    gone = frozenset(row.problem_id for row in overlap.stream(Removed))
    warning = removal_warning(len(gone), overlap.record)
    if warning and len(gone) == overlap.record["num_prompts"]:
        raise ValueError(f"data set {name!r}: {warning}; the list is in {workspace.path}/removed.parquet")
    if warning:
        lab.progress(f"data set {name}: {warning}")
    return gone


def removal_warning(num_removed: int, overlap: Mapping[str, Any]) -> str:
    """What to say where more than half of the training problems stand in a benchmark; empty where fewer do."""
    total = int(overlap["num_prompts"])
    if num_removed * 2 <= total:
        return ""
    where = ", ".join(f"{count} in {benchmark}" for benchmark, count in overlap["by_benchmark"].items())
    return (
        f"{num_removed} of {total} problems also stand in a benchmark of the study ({where}): a benchmark is inside the training "
        "data; train on another source, or take that benchmark out of `evaluation.benchmarks`"
    )
