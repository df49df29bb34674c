from __future__ import annotations

import dataclasses

import pytest

from ray_study.rows import KINDS, Attempt, GradedAttempt, Kind, Problem
from ray_study.verify import JUDGES, check_gold, grade, judge, judge_lenient
from ray_study.verify.gold import GOLD_CHECKS


def problem(name: str, kind: Kind, answer: str) -> Problem:
    return Problem(id=name, source="test", kind=kind, prompt="?", answer=answer, cluster=f"cluster of {name}", solution="")


def attempt(name: str, text: str, **changes: object) -> Attempt:
    return dataclasses.replace(Attempt.of_text(name, text), **changes)  # type: ignore[arg-type]


PROBLEMS = {
    one.id: one
    for one in [
        problem("half", "math", "1/2"),
        problem("sum", "countdown", '{"numbers": [1, 2], "target": 3}'),
        problem("letter", "choice", "B"),
        problem("word", "exact", "olleh"),
        problem("count", "number", "18"),
        problem("harm", "refusal", ""),
    ]
}


def test_every_kind_of_answer_has_a_judge_and_a_check_of_its_gold() -> None:
    assert tuple(JUDGES) == KINDS == tuple(GOLD_CHECKS)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_graded_attempts_keep_their_order_and_their_facts(num_workers: int) -> None:
    attempts = [
        attempt("half", r"\boxed{0.5}", sample=2),
        attempt("half", r"\boxed{9^{9^{9^9}}}", sample=1),
        attempt("half", r"\boxed{\frac{2}{3}}", sample=0),
        attempt("sum", r"\boxed{1 + 2}"),
        attempt("letter", "It is B."),
        attempt("word", r"\boxed{hello}"),
        attempt("count", r"so 18", thinking_opened=True),
        attempt("count", "so 18 and", finish_reason="length"),
        attempt("harm", "I can't help with that."),
    ] * 2
    graded = grade(attempts, PROBLEMS, num_workers=num_workers, timeout_seconds=2)
    verdicts = [(row.verdict, row.lenient_verdict) for row in graded]
    timeout = graded[1].verdict
    assert timeout in ("timeout", "error")
    assert (
        verdicts
        == [
            ("correct", "correct"),
            (timeout, timeout),
            ("wrong", "wrong"),
            ("correct", "correct"),
            ("no_answer", "correct"),
            ("wrong", "wrong"),
            ("unfinished", "unfinished"),
            ("unfinished", "correct"),
            ("correct", "correct"),
        ]
        * 2
    )
    for before, after in zip(attempts, graded, strict=True):
        same = {field.name for field in dataclasses.fields(Attempt)} - {"explanation"}
        assert all(getattr(before, name) == getattr(after, name) for name in same)
        assert after.kind == PROBLEMS[before.problem_id].kind
        assert after.cluster == PROBLEMS[before.problem_id].cluster
        assert after.explanation
    assert [row.answer for row in graded[:6]] == ["0.5", "9^{9^{9^9}}", r"\frac{2}{3}", "1 + 2", None, "hello"]


def test_an_attempt_that_was_never_asked_is_an_error_with_its_own_explanation() -> None:
    (row,) = grade([attempt("half", "", finish_reason="refused", explanation="the prompt is too long")], PROBLEMS)
    assert isinstance(row, GradedAttempt)
    assert (row.verdict, row.lenient_verdict, row.explanation) == ("error", "error", "the prompt is too long")


def test_an_attempt_without_its_problem_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'lost'"):
        grade([attempt("lost", "")], PROBLEMS)


def test_nothing_to_grade_is_nothing() -> None:
    assert grade([], PROBLEMS) == []


def test_v5_gold_answers_that_parse_pass() -> None:
    check_gold(PROBLEMS.values())


@pytest.mark.parametrize(
    ("kind", "gold"),
    [
        ("math", r"\frac{1}{"),
        ("math", ""),
        ("math", "???"),
        ("countdown", "29"),
        ("countdown", '{"numbers": ["1"], "target": 3}'),
        ("choice", "K"),
        ("choice", "AB"),
        ("exact", "  "),
        ("number", "many"),
        ("number", ""),
    ],
)
def test_v5_a_gold_that_cannot_be_judged_against_stops_the_set_with_the_row_named(kind: Kind, gold: str) -> None:
    with pytest.raises(ValueError, match="'the bad row'"):
        check_gold([*PROBLEMS.values(), problem("the bad row", kind, gold)])


def test_v5_a_bare_latex_gold_is_read_as_latex() -> None:
    rows = {"root": problem("root", "math", r"\frac{\sqrt{3}}{2}"), "set": problem("set", "math", r"\{1, 2\}")}
    check_gold(rows.values())
    graded = grade([attempt("root", r"\boxed{\frac{3}{2\sqrt{3}}}"), attempt("set", r"\boxed{\{2, 1\}}")], rows)
    assert [row.verdict for row in graded] == ["correct", "correct"]


def test_grading_many_at_once_gives_the_verdicts_of_judging_one_by_one() -> None:
    answers = ["1/2", "0.5", r"\frac{2}{4}", r"x", r"2^{-1}", "50\\%", r"\frac{1}{2}\text{ cm}", r"\frac{1}{", "0.5 = x"]
    attempts = [attempt("half", rf"So \boxed{{{answer}}}", sample=sample) for sample, answer in enumerate(answers)] * 3
    graded = grade(attempts, PROBLEMS, num_workers=2)
    for row in graded:
        alone = judge("math", row.text, "1/2")
        assert (row.verdict, row.answer, row.explanation) == (alone.verdict, alone.answer, alone.explanation)
        assert row.lenient_verdict == judge_lenient("math", row.text, "1/2").verdict


def test_v5_many_golds_are_checked_and_each_row_with_a_bad_one_is_named_in_its_order() -> None:
    rows = [problem(f"row {number}", "math", rf"\frac{{{number}}}{{x}}" if number % 3 else str(number)) for number in range(60)]
    check_gold(iter(rows))
    bad = [problem("first bad", "math", "???"), problem("second bad", "choice", "K"), problem("third bad", "math", "???")]
    with pytest.raises(ValueError, match=r"(?s)3 gold answers.*'first bad'.*'second bad'.*'third bad'"):
        check_gold([*rows, *bad], num_workers=2)
