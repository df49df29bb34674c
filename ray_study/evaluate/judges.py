"""A judge at work: prompts in, replies out, asked as a teacher or a student is; what it answered once is not asked again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from ray_study import generate
from ray_study.chat import Chat
from ray_study.config import Sampling
from ray_study.evaluate.answering import answer_shards
from ray_study.evaluate.questions import Question, clipped, fitted
from ray_study.evaluate.rewards import reward_sources, score_shards
from ray_study.evaluators import num_identities
from ray_study.generate import Answered, Asking, EndpointUnavailable, Server, TryFailed
from ray_study.judge_settings import Budget, Judge
from ray_study.ledger import BudgetSpent, Ledger, Paid, Worst
from ray_study.manifests import digest, read_manifest
from ray_study.materials import Lab, base_directory, ledger
from ray_study.models import positions
from ray_study.rows import Attempt, Problem
from ray_study.serving.pool import Pool
from ray_study.store import Result, Workspace, outside
from ray_study.verify.rubrics import REWARD, RUBRICS, judge_literal

SPARE_TOKENS = 64
"""Of a chat template around a prompt, in the most that it can cost: a token is at least one byte of text."""


class JudgeFailed(RuntimeError):
    """A judge could not be asked; what it answered is kept."""


def judge_sources(lab: Lab, name: str) -> list[Result]:
    """What lies outside the store and decides a judge's replies: the files of a model that is served."""
    model = lab.study.judges[name].model
    if model is None:
        return []
    if lab.study.judges[name].rubric == REWARD:
        return reward_sources(lab, name)
    return [outside(f"model {model}", read_manifest(Path(base_directory(lab, model))).fingerprint)]


def ask_judge(lab: Lab, name: str, questions: Mapping[str, Sequence[Question]], workspace: Workspace) -> None:
    """Returns when the judge's replies to every shard of questions are written; those that are written already are not asked.

    Args:
        lab: the study at work.
        name: of the judge.
        questions: by the name of their shard.
        workspace: where the replies go, in the order of the questions.

    Raises:
        BudgetSpent: what the judge may cost is spent.
        JudgeFailed: it failed again and again.
        ValueError: it takes no request of ours.
    """
    whole = workspace.shards()
    judge = lab.study.judges[name]
    missing = {shard: asked for shard, asked in questions.items() if shard not in whole}
    for shard in [shard for shard, asked in missing.items() if not asked]:
        workspace.write(shard, missing.pop(shard), Attempt)
    if not missing:
        return
    if judge.rubric == REWARD:
        score_shards(lab, name, missing, workspace)
        return
    ask = _by_pool if judge.endpoint is None else _by_server
    ask(lab, name, missing, workspace)


def _problem(judge: Judge, question: Question, chat: Chat | None = None, room: int = 0) -> Problem:
    """What the judge is asked; one that completes texts is shown as many of its own tokens as it has room for, where they are known."""
    rubric = RUBRICS[judge.rubric]

    def prompt(reply: str) -> str:
        return rubric.prompt(question.request, reply, reference=question.reference, part=question.part)

    if rubric.completes:
        # Its form has no place for a note on what was cut.
        reply = question.reply[: judge.most_characters] if chat is None else fitted(question.reply, prompt, chat, room)
    else:
        reply = clipped(question.reply, judge.most_characters)
    return _as_problem(judge, question, prompt(reply))


def _as_problem(judge: Judge, question: Question, prompt: str) -> Problem:
    return Problem(
        id=question.id, source=f"judge {judge.rubric}", kind="judged", prompt=prompt, answer="", cluster=question.id, solution=""
    )


def _asking(judge: Judge, num_positions: int) -> Asking:
    sampling = Sampling.model_validate(judge.sampling.model_dump())
    return Asking(
        num_samples=1,
        sampling=sampling,
        positions=num_positions,
        seed_parts=("judge",),
        worked_examples=(),
        thinking=judge.thinking,
        completes=RUBRICS[judge.rubric].completes,
    )


def _by_pool(lab: Lab, name: str, owed: Mapping[str, Sequence[Question]], workspace: Workspace) -> None:
    judge = lab.study.judges[name]
    assert judge.model is not None
    settings, directory = lab.study.models[judge.model], base_directory(lab, judge.model)
    asking = _asking(judge, positions(Path(directory), settings))
    chat = Chat(directory, trust_remote_code=settings.trust_remote_code, turns=not asking.completes)
    room = asking.positions - asking.sampling.max_tokens
    lab.progress(f"judge {name}: {sum(map(len, owed.values()))} questions")

    def shard(of: str) -> generate.Shard:
        problems = [_problem(judge, question, chat, room) for question in owed[of]]
        asked = tuple(each for problem in problems for each in generate.ask(problem, chat, asking, range(1)))
        return generate.Shard(name=of, asked=asked, sampling=asking.sampling)

    pool: Pool
    resources, identities = lab.study.resources.evaluate, num_identities(lab.study)
    with lab.engines.use(directory, resources, settings, name=judge.model, identities=identities) as pool:
        answer_shards(pool, directory, [(workspace, shard(each), f"judge {name}") for each in owed], lab.progress)


def _by_server(lab: Lab, name: str, owed: Mapping[str, Sequence[Question]], workspace: Workspace) -> None:
    judge = lab.study.judges[name]
    assert judge.endpoint is not None
    server = Server(judge.endpoint, key=generate.key_of(judge.endpoint.key_from))
    book = ledger(lab, f"{name}-{digest(judge_literal(lab.study, name))}")
    asking = _asking(judge, judge.sampling.max_tokens)

    def ask(problem: Problem) -> Attempt:
        try:
            return _reply(problem, asking, judge, book, server)
        except BudgetSpent as error:
            raise BudgetSpent(f"judge {name}, before {problem.id}: {error}; raise judges.{name}.budget and run again") from error
        except EndpointUnavailable as error:
            raise JudgeFailed(f"judge {name}, at {problem.id}: {error}") from error

    lab.progress(f"judge {name}: {sum(map(len, owed.values()))} questions, {len(book)} replies of it are stored")
    with ThreadPoolExecutor(server.requests_at_once) as threads:
        waiting = {shard: [threads.submit(ask, _problem(judge, question)) for question in asked] for shard, asked in owed.items()}
        try:
            for shard, replies in waiting.items():
                workspace.write(shard, [each.result() for each in replies], Attempt)
        except BaseException:
            # What waits to try again stops waiting; replies that are on their way still go into the book.
            server.stop()
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _reply(problem: Problem, asking: Asking, judge: Judge, book: Ledger, server: Server) -> Attempt:
    """The reply from the book, or from the server and then in the book, with every try that brought none."""
    known = book.find(generate.prompt_hash(problem, asking))
    if known is not None:
        return dataclasses.replace(known, problem_id=problem.id, sample=0, seed=asking.seed(problem, 0))
    worst = Worst(input_tokens=len(problem.prompt.encode()) + SPARE_TOKENS, output_tokens=asking.sampling.max_tokens)
    return server.answered(problem, 0, asking, partial(_pay, book, judge.budget, worst)).attempt


def _pay(book: Ledger, budget: Budget | None, worst: Worst, ask: Callable[[], Answered]) -> Answered:
    """What one try brought, once the book has what it cost."""
    with book.trying(budget, worst) as request:
        try:
            got = ask()
        except TryFailed as error:
            if error.billed is None:
                request.unbilled()
            else:
                request.unanswered(input_tokens=error.billed.input_tokens, output_tokens=error.billed.output_tokens)
            raise
        except ValueError:
            # It was refused, as for its key, and so will be the next.
            request.unbilled()
            raise
        # Who does not say what it took is taken to have taken the most.
        into, out = got.usage.input_tokens, got.usage.output_tokens
        took = worst.input_tokens if into is None else into
        # A text of no token is one that nobody counted.
        made = worst.output_tokens if out is None or (got.attempt.text and not out) else out
        request.paid(Paid(attempt=got.attempt, input_tokens=took, output_tokens=made))
    return got
