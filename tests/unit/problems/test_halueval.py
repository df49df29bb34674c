"""HaluEval: a row made by hand in its layout, and the whole set out of its wheel."""

from __future__ import annotations

from collections import Counter

import pytest

from ray_study.problems import load
from ray_study.problems.halueval import HaluEvalOptions, Part, from_rows
from ray_study.verify import check_gold

ROWS: dict[Part, dict[str, str]] = {
    "qa": {"knowledge": "Io goes around Jupiter.", "question": "Around what?", "right_answer": "Jupiter", "hallucinated_answer": "Mars"},
    "dialogue": {
        "knowledge": "Io goes around Jupiter.",
        "dialogue_history": "[Human]: Io? ",
        "right_response": "It goes around Jupiter.",
        "hallucinated_response": "It goes around Mars.",
    },
    "summarization": {"document": "Io is a moon.", "right_summary": "Io: a moon.", "hallucinated_summary": "Io: a star."},
}
PARTS: tuple[Part, ...] = ("qa", "dialogue", "summarization")


@pytest.mark.parametrize("part", PARTS)
def test_a_row_becomes_a_question_of_yes_or_no_about_one_of_its_two_texts(part: Part) -> None:
    row = ROWS[part]
    (problem,) = from_rows([row, row], HaluEvalOptions(part=part))
    which = "hallucinated_" if problem.answer == "yes" else "right_"
    shown = next(text for column, text in row.items() if column.startswith(which))
    hidden = next(text for column, text in row.items() if column.startswith({"yes": "right_", "no": "hallucinated_"}[problem.answer]))
    assert f": {shown}\n#Your Judgement#:" in problem.prompt
    assert hidden not in problem.prompt
    assert problem.kind == "yes_no"
    check_gold([problem])


def test_knowledge_is_shown_where_it_is_asked_for_and_a_document_always() -> None:
    for part in ("qa", "dialogue"):
        (without,) = from_rows([ROWS[part]], HaluEvalOptions(part=part))  # type: ignore[index,arg-type]
        (with_,) = from_rows([ROWS[part]], HaluEvalOptions(part=part, knowledge=True))  # type: ignore[index,arg-type]
        assert "Io goes around Jupiter." not in without.prompt
        assert "#Knowledge#: Io goes around Jupiter." in with_.prompt
        assert (without.id, without.answer) == (with_.id, with_.answer), "what is shown beside it does not change the question"
    (summary,) = from_rows([ROWS["summarization"]], HaluEvalOptions(part="summarization"))
    assert "#Document#: Io is a moon." in summary.prompt


def test_rows_with_one_passage_are_one_cluster() -> None:
    other = {**ROWS["qa"], "question": "What goes around Jupiter?", "right_answer": "Io"}
    first, second = from_rows([ROWS["qa"], other], HaluEvalOptions(part="qa"))
    assert first.id != second.id
    assert first.cluster == second.cluster


def test_a_row_of_another_layout_is_refused_with_the_columns_expected_and_found() -> None:
    with pytest.raises(ValueError, match=r"row 2 of HaluEval's qa has no columns .*; expected .*'right_answer'.*, found \['question'\]"):
        from_rows([ROWS["qa"], {"question": "?"}], HaluEvalOptions(part="qa"))


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_whole_in_its_wheel_and_half_of_it_hallucinated(part: Part) -> None:
    problems = load("halueval", num_problems=None, seed=0, options={"part": part})
    assert 9_900 < len(problems) <= 10_000
    counts = Counter(problem.answer for problem in problems)
    assert abs(counts["yes"] - len(problems) / 2) < 4 * (len(problems) / 4) ** 0.5
    assert len({problem.id for problem in problems}) == len(problems)
    assert [one.id for one in load("halueval", num_problems=50, seed=0, options={"part": part})] == [one.id for one in problems[:50]]
