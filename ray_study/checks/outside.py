"""What a study needs beside models and items: judges that answer, a sandbox for code. And what its protocols differ in.

Whatever else is needed enters which benchmarks need it, and a function that looks for it, in `PROBES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ray_study import verify
from ray_study.benchmarks import differences
from ray_study.checks.finding import Finding, Looked, Subject, because, failed, named, not_applicable, passed, unknown
from ray_study.checks.judges import look_for_judges
from ray_study.config import Benchmark
from ray_study.rows import Problem

Probe = Callable[[Subject, Sequence[str]], Looked]
"""(what is checked, the benchmarks that need it) -> what was found of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Something that some benchmarks need."""

    needed: Callable[[Benchmark, Sequence[Problem]], bool]
    """Whether a benchmark with these items needs it."""
    probe: Probe


def _sandbox(subject: Subject, needing: Sequence[str]) -> Looked:
    del subject, needing
    return Looked(faults=tuple(verify.missing(["code"]).values()))


PROBES: dict[str, Outside] = {
    "judge": Outside(needed=lambda benchmark, items: bool(benchmark.judge), probe=look_for_judges),
    "sandbox": Outside(needed=lambda benchmark, items: any(item.kind == "code" for item in items), probe=_sandbox),
}
"""Each thing from outside by its name."""


def judge_reachable(subject: Subject) -> Finding:
    """Whether the judge of each benchmark that needs one is there: a server that takes the key and knows the model, or a model's files."""
    return _there(subject, "judge", PROBES)


def sandbox_there(subject: Subject) -> Finding:
    """Whether code of models can be run without harm, where a benchmark runs code."""
    return _there(subject, "sandbox", PROBES)


def _there(subject: Subject, name: str, probes: Mapping[str, Outside]) -> Finding:
    wanted = probes[name]
    benchmarks = subject.study.evaluation.benchmarks
    needing = [exam for exam, items in subject.exams.items() if wanted.needed(benchmarks[exam], items)]
    if not needing:
        unseen = [exam for exam in benchmarks if exam not in subject.exams]
        return unknown(because(subject, "its items are not at hand")) if unseen else not_applicable(f"no benchmark needs a {name}")
    owed = [exam for exam in needing if exam not in subject.settled]
    if not owed:
        return not_applicable(f"all that needs a {name} is judged")
    looked = wanted.probe(subject, owed)
    if looked.faults:
        return failed([*looked.faults, *looked.doubts], stops=True)
    if looked.doubts:
        return failed(looked.doubts, stops=False)
    left = f"not looked at: {named(looked.unseen)}" if looked.unseen else ""
    if left and not looked.seen:
        return unknown(left)
    return passed(f"the {name} of {named(owed)} is there" + (f"; {left}" if left else ""))


def protocol_differences(subject: Subject) -> Finding:
    """In what the study's benchmarks differ from their other protocol: told, and no fault."""
    named_ones = dict.fromkeys(each.benchmark for each in subject.study.evaluation.benchmarks.values() if each.benchmark is not None)
    said = [sentence for name in named_ones for sentence in differences(name)]
    return passed("; ".join(said)) if said else not_applicable("no benchmark has two protocols")
