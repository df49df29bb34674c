"""The table of cases in `tests/cases`: a gold, a text and the verdict that it must get, one a line.

`⟦ab⟧×3` in a text stands for `ababab`, so that a megabyte fits a line. The verdict `unjudged` is `timeout` or `error`.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ray_study.rows import KINDS, UNJUDGED
from ray_study.verify import judge, missing

CASES = Path(__file__).parents[2] / "cases"
_REPEATED = re.compile(r"⟦(.*?)⟧×(\d+)", re.DOTALL)


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASES / name).read_text(encoding="utf-8").splitlines()]


def label(row: dict[str, Any]) -> str:
    return f"{row['kind']}: {row['gold']} | {row['text']}"[:90]


def verdict(row: dict[str, Any]) -> str:
    if fault := missing([row["kind"]]):
        pytest.skip(str(fault))
    text = _REPEATED.sub(lambda found: found.group(1) * int(found.group(2)), row["text"])
    how = {word: row[word] for word in ("finish_reason", "thinking_opened") if word in row}
    seconds = 2 if row.get("verdict") == "unjudged" else 30
    found = judge(row["kind"], text, row["gold"], timeout_seconds=seconds, **how)
    assert found.explanation
    return "unjudged" if row.get("verdict") == "unjudged" and found.verdict in UNJUDGED else found.verdict


@pytest.mark.parametrize("row", rows("judgements.jsonl"), ids=label)
def test_the_case_gets_its_verdict(row: dict[str, Any]) -> None:
    assert verdict(row) == row["verdict"]


@pytest.mark.parametrize("row", rows("known_limits.jsonl"), ids=label)
def test_what_is_known_to_be_judged_wrongly_still_is_or_belongs_into_the_table(row: dict[str, Any]) -> None:
    assert verdict(row) == row["found"] != row["right"]
    assert row["reason"]


def test_the_table_is_large_has_every_kind_and_verdict_and_no_case_twice() -> None:
    table = rows("judgements.jsonl")
    assert len(table) >= 200
    assert {row["kind"] for row in table} == set(KINDS)
    assert {row["verdict"] for row in table} == {"correct", "wrong", "no_answer", "unfinished", "error", "unjudged"}
    assert Counter(json.dumps([row["kind"], row["gold"], row["text"]]) for row in table).most_common(1)[0][1] == 1
