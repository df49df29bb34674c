"""What judges would be asked, and what those behind an endpoint would cost at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ray_study.config import Benchmark, Study
from ray_study.judge_settings import Budget, Judge
from ray_study.plan_benchmarks import Price, Saved, columns, prices
from ray_study.problems.labelled import SIZES
from ray_study.verify.rubrics import RUBRICS, Part

REQUEST_TOKENS = 1000
"""Of what was asked of the model, with what a judge is given to compare its answer with: the file alone does not tell how long that is."""

TEMPLATE_TOKENS = 64
"""Of the judge's chat template around a prompt."""

_NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePrice:
    """What a judge behind an endpoint is asked at most, and what that costs at its worst; None where the file does not tell."""

    judge: str
    num_requests: int | None
    """Checkpoints x items x samples x parts of an answer, over its benchmarks, and once each labelled reply that it is validated on."""
    input_tokens: int | None
    """Every answer at its cap, or at the judge's `most_characters`, as many tokens to the judge as to the model that wrote it."""
    output_tokens: int | None
    """Every reply at its cap."""
    dollars: float | None
    beyond_budget: tuple[str, ...] = ()
    """In what it is more than its budget, in words."""


def judge_prices(study: Study, num_bases: int, saved: Saved) -> list[JudgePrice]:
    """What each judge behind an endpoint costs at most, in the order of the file. Tries that bring no reply come on top."""
    by_name = {each.benchmark: each for each in prices(study, num_bases, saved)}
    return [_price(study, name, judge, by_name) for name, judge in study.judges.items() if judge.endpoint is not None]


def _price(study: Study, name: str, judge: Judge, by_name: Mapping[str, Price]) -> JudgePrice:
    """The sums over a judge's benchmarks and labelled sets."""
    asked = [_of_benchmark(study, judge, study.evaluation.benchmarks[exam], by_name[exam]) for exam in uses(study, name)]
    # A judge that no benchmark has is asked nothing.
    asked += [_of_labelled(judge, labelled) for labelled in judge.validate_on] if asked else []
    known = [each for each in asked if each is not None]
    if len(known) < len(asked):
        return JudgePrice(judge=name, num_requests=None, input_tokens=None, output_tokens=None, dollars=None)
    requests, tokens = sum(each[0] for each in known), sum(each[1] for each in known)
    made = requests * judge.sampling.max_tokens
    dollars = _dollars(judge.budget, tokens, made)
    beyond = tuple(_beyond(judge.budget, requests, dollars))
    return JudgePrice(judge=name, num_requests=requests, input_tokens=tokens, output_tokens=made, dollars=dollars, beyond_budget=beyond)


def _of_benchmark(study: Study, judge: Judge, benchmark: Benchmark, price: Price) -> tuple[int, int] | None:
    """Requests and their tokens about a benchmark's answers."""
    if price.num_attempts is None:
        return None
    parts: tuple[Part, ...] = ("answer", "thought") if benchmark.judge_thought else ("answer",)
    around = sum(_around(judge, part) + REQUEST_TOKENS for part in parts)
    # Thinking and answer have one cap between them.
    written = min((benchmark.sampling or study.evaluation.sampling).max_tokens, len(parts) * judge.most_characters)
    return price.num_attempts * len(parts), price.num_attempts * (around + written)


def _of_labelled(judge: Judge, labelled: str) -> tuple[int, int]:
    """Requests and their tokens about a labelled set, whose pairs are never longer than its longest."""
    rows, most_bytes = SIZES[labelled]
    return rows, rows * (_around(judge, "answer") + most_bytes)


def _around(judge: Judge, part: Part) -> int:
    """The most tokens of what the judge is told beside a request and an answer: one a byte."""
    return len(RUBRICS[judge.rubric].prompt("", "", part=part).encode()) + TEMPLATE_TOKENS


def _dollars(budget: Budget | None, input_tokens: int, output_tokens: int) -> float | None:
    """What it comes to, where both prices are stated."""
    if budget is None or None in (budget.dollars_per_million_input_tokens, budget.dollars_per_million_output_tokens):
        return None
    return budget.dollars_of(input_tokens, output_tokens)


def _beyond(budget: Budget | None, requests: int, dollars: float | None) -> Iterator[str]:
    if budget is not None and budget.requests is not None and requests > budget.requests:
        yield f"{requests:,} requests are more than the {budget.requests:,} of its budget"
    if budget is not None and budget.dollars is not None and dollars is not None and dollars > budget.dollars:
        yield f"{dollars:,.2f} dollars at the worst are more than the {budget.dollars:,g} of its budget"


def uses(study: Study, judge: str) -> list[str]:
    """The benchmarks that a judge judges."""
    return [name for name, benchmark in study.evaluation.benchmarks.items() if judge in benchmark.judge]


def judge_lines(study: Study, found: Sequence[JudgePrice]) -> Iterator[str]:
    """A line for each judge, then what those behind an endpoint cost at most, and where that is more than they may."""
    yield from (_line(study, name, judge) for name, judge in study.judges.items())
    if not found:
        return
    rows: list[tuple[str, ...]] = [("judging, at most", "requests", "tokens in", "tokens out", "dollars")]
    rows += [
        (each.judge, *(_count(count) for count in (each.num_requests, each.input_tokens, each.output_tokens)), _money(each.dollars))
        for each in found
    ]
    yield from columns(rows)
    yield f"  every answer at its cap, requests of {REQUEST_TOKENS:,} tokens; tries that bring no reply come on top"
    for each in found:
        if each.beyond_budget:
            yield (
                f"judge {each.judge}: {', and '.join(each.beyond_budget)}; what is beyond it stays owed until it is raised: raise it, "
                "or lower `items`, `at` or `most_characters`"
            )


def _line(study: Study, name: str, judge: Judge) -> str:
    who = f"model {judge.model}" if judge.endpoint is None else f"{judge.endpoint.model} at {judge.endpoint.public_url}"
    budget = judge.budget
    limits = [f"{budget.requests} requests"] if budget is not None and budget.requests is not None else []
    limits += [f"{budget.dollars:g} dollars"] if budget is not None and budget.dollars is not None else []
    most = f"at most {' and '.join(limits)}" if limits else "no budget is set" if judge.endpoint is not None else "served here"
    return f"judge {name}: {who}, rubric {judge.rubric}, of {', '.join(uses(study, name)) or 'no benchmark'}; {most}"


def _count(value: int | None) -> str:
    return _NOT_KNOWN if value is None else f"{value:,}"


def _money(value: float | None) -> str:
    return _NOT_KNOWN if value is None else f"{value:,.2f}"


def for_machines(found: Sequence[JudgePrice]) -> dict[str, dict[str, Any]]:
    """The same for `plan.json`, by judge; null is not known."""
    return {each.judge: {key: value for key, value in asdict(each).items() if key != "judge"} for each in found}
