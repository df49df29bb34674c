"""A teacher's attempts at problems, and the verdicts on them, each made once and kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ray_study import generate, problems, verify
from ray_study.chat import Chat
from ray_study.config import Teacher
from ray_study.generate import Asking, Cut, Matching, Meter, Rule, Server, Tally, driving
from ray_study.generate.asking import shard_name
from ray_study.generate.driving import Job
from ray_study.grid import ATTEMPTS_VERSION, attempts_literal, teacher_literal
from ray_study.manifests import digest, read_manifest
from ray_study.materials import Lab, base_directory, grade, load_problems
from ray_study.models import positions
from ray_study.problems.formats import without_request
from ray_study.rows import Attempt, Problem
from ray_study.serving.pool import Pool
from ray_study.store import Result, Workspace, outside
from ray_study.verify import VERSION as VERIFY_VERSION

UNASKED_SHARD_ROWS = 10_000
"""Attempts in a shard where nobody is asked: written as they are read."""

Facts = dict[str, object]
Drive = Callable[[Sequence[Cut], Callable[[str], None]], None]
"""Makes shards whole and says the name of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A teacher and the problems that it is asked."""

    lab: Lab
    name: str
    problem_set: str
    source: Result
    rows: Sequence[Problem]

    @property
    def teacher(self) -> Teacher:
        """The teacher's settings."""
        return self.lab.study.teachers[self.name]

    @property
    def label(self) -> str:
        """For people."""
        return f"attempts of {self.name} at {self.problem_set}"


def make_attempts(lab: Lab, problem_set: str, teacher: str) -> Result:
    """A teacher's attempts at a set of problems: shards that are whole stay, whatever ends the driver.

    Raises:
        ValueError: the problems, the recording or the server's settings cannot work.
        RuntimeError: whoever is asked failed again and again.
    """
    source, rows = load_problems(lab, problem_set)
    task = Task(lab=lab, name=teacher, problem_set=problem_set, source=source, rows=rows)
    build = {"vllm": _by_pool, "endpoint": _by_server, "solver": _by_solver, "recorded": _by_recording}[task.teacher.by]
    inputs = attempts_literal(lab.study, problem_set, teacher)
    sources = [source, *_sources(lab, task.teacher)]
    return lab.store.make("attempts", inputs, lambda workspace: build(task, workspace), version=ATTEMPTS_VERSION, sources=sources)


def grade_attempts(lab: Lab, problem_set: str, teacher: str) -> Result:
    """The verdicts on a teacher's attempts."""
    source, rows = load_problems(lab, problem_set)
    attempts = make_attempts(lab, problem_set, teacher)
    inputs = {"attempts": attempts.fingerprint, "verify": VERIFY_VERSION}

    return grade(lab, attempts, rows, [source], inputs, f"{teacher} at {problem_set}")


def _sources(lab: Lab, teacher: Teacher) -> list[Result]:
    """What lies outside the store and decides the answers."""
    if teacher.model is not None:
        directory = base_directory(lab, teacher.model)
        return [outside(f"model {teacher.model}", read_manifest(Path(directory)).fingerprint)]
    if teacher.recorded is not None:
        return problems.local_file(teacher.recorded.name)
    return []


def _by_solver(task: Task, workspace: Workspace) -> Facts:
    return _stream(workspace, generate.solver_attempts(task.rows))


def _by_recording(task: Task, workspace: Workspace) -> Facts:
    assert task.teacher.recorded is not None
    rows, resolved = problems.read_recorded(task.teacher.recorded)
    matching = Matching()
    facts = _stream(workspace, matching.attempts(rows, task.rows, without_request))
    counts = matching.facts()
    task.lab.progress(
        f"{task.label}: {counts['num_matched_rows']} of {matching.num_rows} recorded rows belong to "
        f"{matching.num_matched_problems} of {len(task.rows)} problems"
    )
    return {**facts, **counts, "resolved": resolved}


def _stream(workspace: Workspace, attempts: Iterator[Attempt]) -> Facts:
    """Writes attempts shard by shard as they come; their counts."""
    whole = workspace.shards()
    names: list[str] = []
    num_rows = num_tokens = 0
    while batch := list(islice(attempts, UNASKED_SHARD_ROWS)):
        name = shard_name(len(names), ((attempt.problem_id, attempt.sample) for attempt in batch))
        if name not in whole:
            workspace.write(name, batch, Attempt)
        names.append(name)
        num_rows += len(batch)
        num_tokens += sum(attempt.num_tokens for attempt in batch)
    workspace.keep(names)
    return {"num_rows": num_rows, "num_tokens": num_tokens}


def _by_pool(task: Task, workspace: Workspace) -> Facts:
    lab, teacher = task.lab, task.teacher
    assert teacher.model is not None
    name = teacher.model
    model, directory = lab.study.models[name], base_directory(lab, name)
    job = _job(task, workspace, positions(Path(directory), model), trust_remote_code=model.trust_remote_code)
    with ExitStack() as stack:
        opened: list[Pool] = []

        def drive(owed: Sequence[Cut], told: Callable[[str], None]) -> None:
            if not opened:
                # One engine for all rounds, and none where nothing is owed.
                resources = lab.study.resources.generate
                opened.append(stack.enter_context(lab.engines.use(directory, resources, model, name=name)))
            driving.drive(owed, opened[0], directory, job, told=told)

        facts = _rounds(task, workspace, drive)
    chat = Chat(directory, trust_remote_code=model.trust_remote_code)
    return {
        **facts,
        "template_differences": _differences(chat, task.rows),
        "model_fingerprint": read_manifest(Path(directory)).fingerprint,
    }


def _by_server(task: Task, workspace: Workspace) -> Facts:
    endpoint = task.teacher.endpoint
    assert endpoint is not None
    server = Server(endpoint, key=generate.key_of(endpoint.key_from))
    # The server knows how much its model can take; the cap of an attempt is what it was asked for.
    job = _job(task, workspace, task.teacher.sampling.max_tokens)

    def drive(owed: Sequence[Cut], told: Callable[[str], None]) -> None:
        driving.drive_server(owed, server, task.rows, job, told=told)

    return {**_rounds(task, workspace, drive), "endpoint": {"url": server.name, "model": endpoint.model}}


def _job(task: Task, workspace: Workspace, num_positions: int, *, trust_remote_code: bool = False) -> Job:
    study, teacher = task.lab.study, task.teacher
    asking = Asking(
        num_samples=teacher.num_attempts,
        sampling=teacher.sampling,
        positions=num_positions,
        seed_parts=(study.seed, "teacher", digest(teacher_literal(study, task.name))),
        worked_examples=teacher.worked_examples,
        thinking=teacher.thinking,
        prompt_template=teacher.prompt_template,
    )
    return Job(
        problems=f"{task.source.path}/rows",
        path=workspace.path,
        asking=asking,
        judge=verify.grade,
        shard_size=teacher.shard_size,
        trust_remote_code=trust_remote_code,
    )


def _rounds(task: Task, workspace: Workspace, drive: Drive) -> Facts:
    """Asks in rounds until every problem has enough correct attempts; without `until_correct` there is one round."""
    teacher, ids = task.teacher, [row.id for row in task.rows]
    rule = Rule(num_attempts=teacher.num_attempts, until_correct=teacher.until_correct, at_most=teacher.at_most)
    tally = Tally()
    names: list[str] = []
    rounds: list[dict[str, int]] = []
    meter = Meter(task.lab.progress, tally)
    whole = driving.done(workspace.path)

    def told(name: str) -> None:
        tally.add(generate.read_facts(workspace.path, name))
        meter.step()

    while (round_ := rule.next(len(rounds), ids, tally.num_good, frozenset(tally.refused))) is not None:
        cuts = list(generate.cuts(round_, ids, shard_size=teacher.shard_size))
        for cut in cuts:
            if cut.name in whole:
                tally.add(generate.read_facts(workspace.path, cut.name))
        owed = [cut for cut in cuts if cut.name not in whole]
        task.lab.progress(_begin(task, rule, round_, sum(len(cut.rows) for cut in owed)))
        if owed:
            meter.begin(task.label, sum(len(cut.rows) for cut in owed))
            drive(owed, told)
        names += [cut.name for cut in cuts]
        rounds.append({"num_problems": len(round_.rows), "num_attempts": round_.num_attempts})
    # Only now is it known which names belong: what a run that cut the work otherwise has left goes.
    workspace.keep(names)
    return {**_counts(tally), **_saved(task, rule, tally, rounds)}


def _begin(task: Task, rule: Rule, round_: generate.Round, num_owed: int) -> str:
    number = f", round {round_.number + 1} of at most {rule.most_rounds}" if rule.until_correct is not None else ""
    stored = f", {round_.num_attempts - num_owed} of them stored already" if num_owed < round_.num_attempts else ""
    return f"{task.label}{number}: {len(round_.rows)} problems x {len(round_.samples)}{stored}"


def _counts(tally: Tally) -> Facts:
    return {
        "num_rows": tally.num_attempts,
        "num_tokens": tally.num_tokens,
        "num_refused": tally.num_refused,
        "verdicts": dict(tally.verdicts.most_common()),
        "conditions": sorted(tally.conditions),
    }


def _saved(task: Task, rule: Rule, tally: Tally, rounds: Iterable[Mapping[str, int]]) -> Facts:
    if rule.until_correct is None:
        return {}
    most = rule.most * len(task.rows)
    enough = sum(count >= rule.until_correct for count in tally.num_good.values())
    task.lab.progress(
        f"{task.label}: {enough} of {len(task.rows)} problems have {rule.until_correct} correct; "
        f"{tally.num_attempts} attempts asked, {most - tally.num_attempts} of at most {most} saved"
    )
    return {"rounds": list(rounds), "num_saved": most - tally.num_attempts, "num_enough": enough}


def _differences(chat: Chat, rows: Sequence[Problem]) -> list[str]:
    written = [row for row in rows if row.solution][:1]
    return [sentence for row in written for sentence in chat.differences(row.prompt, row.solution)]
