"""What a study needs beside models and items: judges that answer, a sandbox for code. And what its protocols differ in.

Whatever else is needed enters which benchmarks need it, and a function that looks for it, in `PROBES`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ray_study import generate, verify
from ray_study.benchmarks import differences
from ray_study.checks.finding import Finding, Subject, because, failed, named, not_applicable, passed, unknown
from ray_study.config import Benchmark, Endpoint, Study
from ray_study.rows import Problem

REACH_SECONDS = 5.0
"""How long a judge's server may take to accept a connection."""

Probe = Callable[[Study, Sequence[str]], Sequence[str]]
"""(the study, the benchmarks that need it) -> a sentence for each thing that cannot be had now; none where all can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Something that some benchmarks need."""

    needed: Callable[[Benchmark, Sequence[Problem]], bool]
    """Whether a benchmark with these items needs it."""
    probe: Probe


def _sandbox_faults(study: Study, needing: Sequence[str]) -> list[str]:
    del study, needing
    return list(verify.missing(["code"]).values())


def _judge_faults(study: Study, needing: Sequence[str]) -> list[str]:
    """Judges elsewhere that do not answer. One that is served here is started when it is first asked."""
    names = dict.fromkeys(judge for exam in needing for judge in study.evaluation.benchmarks[exam].judge)
    return [fault for name in names if (fault := _endpoint_fault(name, study.judges[name].endpoint))]


def _endpoint_fault(name: str, endpoint: Endpoint | None) -> str:
    if endpoint is None:
        return ""
    place = urlsplit(endpoint.url)
    try:
        generate.key_of(endpoint.key_from)
        socket.create_connection((place.hostname or "", place.port or (443 if place.scheme == "https" else 80)), REACH_SECONDS).close()
    except ValueError as error:
        return f"judge {name}: {error}"
    except OSError as error:
        return f"judge {name} at {place.hostname} does not answer ({error}); start it, or mend judges.{name}.endpoint.url"
    return ""


PROBES: dict[str, Outside] = {
    "judge": Outside(needed=lambda benchmark, items: bool(benchmark.judge), probe=_judge_faults),
    "sandbox": Outside(needed=lambda benchmark, items: any(item.kind == "code" for item in items), probe=_sandbox_faults),
}
"""Each thing from outside by its name."""


def judge_reachable(subject: Subject) -> Finding:
    """Whether the judge of each benchmark that needs one answers."""
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
    faults = wanted.probe(subject.study, needing)
    return failed(faults, stops=True) if faults else passed(f"the {name} of {named(needing)} is there")


def protocol_differences(subject: Subject) -> Finding:
    """In what the study's benchmarks differ from their other protocol: told, and no fault."""
    named_ones = dict.fromkeys(each.benchmark for each in subject.study.evaluation.benchmarks.values() if each.benchmark is not None)
    said = [sentence for name in named_ones for sentence in differences(name)]
    return passed("; ".join(said)) if said else not_applicable("no benchmark has two protocols")
