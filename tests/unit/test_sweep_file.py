from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from studies import changed, study, sweep_file

from ray_study.sweep_file import nearest, read, schema


def message(directory: Path, changes: dict[str, Any]) -> str:
    with pytest.raises(ValueError, match=r"sweep\.yaml") as refused:
        read(sweep_file(directory, changes))
    return str(refused.value)


def test_a_good_file_is_the_study_that_it_says(tmp_path: Path) -> None:
    assert read(sweep_file(tmp_path)) == study()


def test_each_fault_is_one_line_with_file_key_found_and_expected(tmp_path: Path) -> None:
    lines = message(tmp_path, {"training/batch_size": "x", "training/epsilon": -1, "checkpoints": {}}).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{tmp_path}/sweep.yaml: ") for line in lines)
    assert "`training.batch_size`: found 'x'; input should be a valid integer" in lines[0]
    assert "`training.epsilon`: found -1; input should be greater than 0" in lines[1]
    assert "`checkpoints`: expected exactly one of steps, every and log_spaced, found none" in lines[2]


@pytest.mark.parametrize(
    ("place", "key", "meant"),
    [
        ("", "datsets", "datasets"),
        ("models/tiny", "scrath", "scratch"),
        ("models/tiny/scratch", "hiden_size", "hidden_size"),
        ("models/tiny/pretrain/training", "stepz", "steps"),
        ("datasets/cot/select", "polcy", "policy"),
        ("evaluation/benchmarks/sums", "grup", "group"),
        ("evaluation/benchmarks/sums/sampling", "top_pp", "top_p"),
        ("resources/evaluate", "replica", "replicas"),
        ("teachers/solver/sampling", "maxtokens", "max_tokens"),
    ],
)
def test_an_unknown_key_is_answered_with_the_nearest_at_its_own_place(tmp_path: Path, place: str, key: str, meant: str) -> None:
    changes = {"/".join(filter(None, (place, key))): 1}
    if "pretrain" in place:
        changes["models/tiny/pretrain/dataset"] = "cot"  # type: ignore[assignment]
    first = message(tmp_path, changes).splitlines()[0]
    assert f"unknown key `{'.'.join([*filter(None, place.split('/')), key])}`; did you mean {meant!r}? Valid are [" in first


def test_unknown_axes_are_named_beside_other_faults_and_before_them(tmp_path: Path) -> None:
    lines = message(tmp_path, {"sweep/learning_rat": [1], "name": "a b"}).splitlines()
    assert "unknown key `sweep.learning_rat`" in lines[0]
    assert "`name`" in lines[1]


def test_every_name_that_does_not_resolve_is_named_with_the_nearest(tmp_path: Path) -> None:
    text = message(
        tmp_path,
        {"datasets/cot/problems": "sumz", "sweep/model": "tini", "evaluation/benchmarks/sums/problems": "heldout", "sweep/dataset": "zzz"},
    )
    assert "`datasets.cot.problems` names 'sumz', which is not in `problems`; did you mean 'sums'?" in text
    assert "`sweep.model` names 'tini', which is not in `models`; did you mean 'tiny'?" in text
    assert "`evaluation.benchmarks.sums.problems` names 'heldout', which is not in `problems`; did you mean 'held_out'?" in text
    assert "`sweep.dataset` names 'zzz', which is not in `datasets`; valid are ['cot', 'nocot']" in text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "no list of items"),
        ("{", "no list of items"),
        ('{"ids": ["a", "b", "a"]}', "found 'a' twice"),
        ('{"ids": []}', "an empty list"),
    ],
)
def test_a_damaged_list_of_items_is_a_fault_of_its_benchmark_found_with_the_others(tmp_path: Path, content: str | None, why: str) -> None:
    path = tmp_path / "list.json"
    if content is not None:
        path.write_text(content)
    first, second = message(tmp_path, {"evaluation/benchmarks/sums/items": str(path), "sweep/dataset": ["none"]}).splitlines()
    assert "`sweep.dataset` names 'none'" in first
    assert "`evaluation.benchmarks.sums.items`: " in second
    assert str(path) in second
    assert why in second


def test_a_list_item_is_named_by_its_number(tmp_path: Path) -> None:
    assert "`sweep.seed.1`: found 'x'" in message(tmp_path, {"sweep/seed": [0, "x"]})


def test_a_long_value_is_shown_in_short(tmp_path: Path) -> None:
    line = message(tmp_path, {"training/batch_size": "x" * 5000})
    assert len(line) < 400
    assert "..." in line


def test_numbers_in_yamls_own_notation_are_numbers(tmp_path: Path) -> None:
    # YAML 1.1 reads 1e-4, without a dot, as text.
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(changed()).replace("learning_rate: 0.001", "learning_rate: 1e-4"))
    assert read(path).training.learning_rate == 1e-4


def test_an_anchor_says_a_section_twice_without_writing_it_twice(tmp_path: Path) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(changed()).replace("sampling:\n    max_tokens: 32", "sampling: &s {max_tokens: 32}") + "\n")
    assert read(path).evaluation.sampling.max_tokens == 32
    path.write_text("base: &b {x: 1}\nmore: {<<: *b, y: 2}\n")
    with pytest.raises(ValueError, match="unknown key `base`"):
        read(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"name: \xff\xfe", "is not text in UTF-8"),
        (b"a: &a {b: *a}", "an alias .* holds itself"),
        (b"a: 1\na: 2", r"line 2 is not a YAML mapping: the key 'a' is there twice"),
        (b"a: !!python/object/apply:os.system ['true']", "is not a YAML mapping: could not determine a constructor"),
        (b"a: [", "line 1 is not a YAML mapping"),
        (b"1: 2", "keys should be strings"),
    ],
)
def test_a_file_that_is_no_sweep_file_is_refused_in_a_sentence(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "sweep.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=expected):
        read(path)


def test_a_directory_is_no_sweep_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read(tmp_path)


def test_the_nearest_name_comes_first_where_there_is_one() -> None:
    assert nearest("cott", ["nocot", "cot"]) == "did you mean 'cot'? Valid are ['cot', 'nocot']"
    assert nearest("zzz", ["nocot", "cot"]) == "valid are ['cot', 'nocot']"


def test_the_schema_is_the_same_each_time_and_refuses_unknown_keys() -> None:
    made = json.loads(schema())
    assert schema() == schema()
    assert made["additionalProperties"] is False
    assert made["$defs"]["Sweep"]["additionalProperties"] is True
