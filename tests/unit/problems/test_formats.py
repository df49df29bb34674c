from __future__ import annotations

import pytest

from ray_study.problems.formats import LONG, last_box, with_request, without_request


@pytest.mark.parametrize("request_", ["long", "short", "none"])
@pytest.mark.parametrize("kind", ["math", "choice", "countdown"])
def test_the_request_comes_off_again(kind: str, request_: str) -> None:
    assert without_request(with_request("How many?", kind, request_)) == "How many?"  # type: ignore[arg-type]


def test_the_long_request_stands_on_a_line_of_its_own_after_one_newline() -> None:
    assert with_request("How many?", "math", "long") == f"How many?\n{LONG}"


@pytest.mark.parametrize(
    ("text", "box"),
    [
        (r"\boxed{1} then \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\left( 3, \frac{\pi}{2} \right)}.", r"\left( 3, \frac{\pi}{2} \right)"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{1", None),
        ("12", None),
    ],
)
def test_the_last_box_is_read_with_balanced_braces(text: str, box: str | None) -> None:
    assert last_box(text) == box
