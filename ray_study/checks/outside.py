"""What a study needs beside models and items: judges that answer, a sandbox for code. And what its protocols differ in.

Whoever builds a judge or a sandbox enters the kinds of answer that need it, and a function that looks for it, in `PROBES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ray_study.checks.finding import Finding, Subject, because, failed, named, not_applicable, passed, unknown
from ray_study.config import Study

Probe = Callable[[Study, Sequence[str]], Sequence[str]]
"""(the study, the benchmarks that need it) -> a sentence for each thing that cannot be had now; none where all can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Something that some kinds of answer need."""

    kinds: frozenset[str] = frozenset()
    probe: Probe | None = None


PROBES: dict[str, Outside] = {"judge": Outside(), "sandbox": Outside()}
"""Each thing from outside by its name."""

DIFFERENCES: Callable[[Study], Sequence[str]] | None = None
"""Where the study's benchmarks, as they are set here, differ from their other protocol, as sentences."""


def judge_reachable(subject: Subject) -> Finding:
    """Whether the judge of each benchmark that needs one answers."""
    return _there(subject, "judge", PROBES)


def sandbox_there(subject: Subject) -> Finding:
    """Whether code of models can be run without harm, where a benchmark runs code."""
    return _there(subject, "sandbox", PROBES)


def _there(subject: Subject, name: str, probes: Mapping[str, Outside]) -> Finding:
    wanted = probes[name]
    needing = [exam for exam, items in subject.exams.items() if any(item.kind in wanted.kinds for item in items)]
    if not needing:
        unseen = [exam for exam in subject.study.evaluation.benchmarks if exam not in subject.exams]
        return unknown(because(subject, "its items are not at hand")) if unseen else not_applicable(f"no benchmark needs a {name}")
    if wanted.probe is None:
        return unknown(f"nobody says how to look for the {name} that {named(needing)} needs")
    faults = wanted.probe(subject.study, needing)
    return failed(faults, stops=True) if faults else passed(f"the {name} of {named(needing)} is there")


def protocol_differences(subject: Subject) -> Finding:
    """In what the study's benchmarks differ from their other protocol: told, and no fault."""
    said = DIFFERENCES(subject.study) if DIFFERENCES is not None else []
    return passed("; ".join(said)) if said else not_applicable("no benchmark has two protocols")
