"""What is said of the named benchmarks holds: their sources take their options, and their protocols differ in what is told."""

from __future__ import annotations

import pytest

from ray_study.benchmarks import BENCHMARKS, FAMILIES, SUITES, Definition, Protocol, differences
from ray_study.benchmarks.protocols import differences_of
from ray_study.problems import SOURCES, check
from ray_study.rows import GROUPS

CASES = [(definition, name) for definition in BENCHMARKS.values() for name in definition.protocols]


@pytest.mark.parametrize(("definition", "protocol"), CASES, ids=lambda part: getattr(part, "name", part))
def test_its_source_takes_its_options(definition: Definition, protocol: str) -> None:
    options = {**definition.options, **definition.protocols[protocol].options}  # type: ignore[index]
    if definition.source == "hex_phi":
        with pytest.raises(ValueError, match="gated: accept its terms on the Hub"):
            check(definition.source, options)
    else:
        check(definition.source, options)
    assert SOURCES[definition.source].endless == (definition.num_problems is not None)
    assert definition.group in GROUPS
    assert definition.cluster
    assert definition.access == SOURCES[definition.source].access


def test_every_benchmark_is_in_one_family_and_has_the_standard_protocol_which_never_judges_the_thinking() -> None:
    assert sum(map(len, FAMILIES.values())) == len(BENCHMARKS)
    assert {definition.protocols["standard"].reads for definition in BENCHMARKS.values()} == {"answer"}
    assert {definition.protocols["paper"].reads for definition in BENCHMARKS.values() if "paper" in definition.protocols}.isdisjoint(
        {"answer"}
    )


def test_the_offline_suite_asks_the_hub_for_nothing_and_the_papers_has_its_reasoning_choice_and_general_sets() -> None:
    sources = {name: SOURCES[BENCHMARKS[name].source] for name in SUITES["offline"]}
    assert {name for name, source in sources.items() if source.hub} == set()
    parts = {f"halueval_{part}" for part in ("qa", "dialogue", "summarization")}
    assert {"math500", "aime2024", "gpqa_diamond", "mmlu_pro", *parts} <= set(SUITES["paper"])
    assert parts | {"math500", "mmlu", "puzzles_held_out", "countdown_held_out"} <= set(SUITES["offline"])


PAPER = {"temperature": 0.6, "top_p": 0.95, "top_k": 0, "max_tokens": 32768}
ALONE = {**PAPER, "top_p": 1.0}
CAPPED = {"max_tokens": 16384}


@pytest.mark.parametrize(
    ("name", "num_samples", "sampling", "reads"),
    [
        ("math500", 3, PAPER, "whole_text"),
        ("aime2024", 10, PAPER, "whole_text"),
        ("aime2025", 10, PAPER, "whole_text"),
        ("livecodebench_v2", 3, PAPER, "stripped"),
        ("gpqa_diamond", 3, PAPER, "stripped"),
        ("mmlu_pro", 1, {**ALONE, "temperature": 0.0}, "first_before_stop"),
        ("ifeval", 1, ALONE, "stripped"),
        ("halueval_qa", 1, ALONE, "stripped"),
        ("halueval_dialogue", 1, ALONE, "stripped"),
        ("halueval_summarization", 1, ALONE, "stripped"),
        ("truthful_qa", 1, ALONE, "stripped"),
        ("hex_phi", 1, {**ALONE, **CAPPED}, "stripped"),
        (
            "alpaca_eval",
            1,
            {"temperature": 0.7, "top_p": 0.9, "top_k": 50, "presence_penalty": 0.1, "frequency_penalty": 0.1, **CAPPED},
            "stripped",
        ),
    ],
)
def test_the_papers_protocol_asks_and_reads_as_the_authors_code_does(
    name: str, num_samples: int, sampling: dict[str, float], reads: str
) -> None:
    paper = BENCHMARKS[name].protocols["paper"]
    assert (paper.num_samples, dict(paper.sampling), paper.reads) == (num_samples, sampling, reads)


def test_the_table_above_has_every_benchmark_with_a_papers_protocol() -> None:
    marks = test_the_papers_protocol_asks_and_reads_as_the_authors_code_does.pytestmark  # type: ignore[attr-defined]
    named = {row[0] for row in marks[0].args[1]}
    assert named == {definition.name for definition in BENCHMARKS.values() if "paper" in definition.protocols}


def test_the_differences_of_two_protocols_are_told_as_sentences() -> None:
    told = "\n".join(differences("mmlu_pro"))
    assert "mmlu_pro: paper has 1000 problems, standard 12032" in told
    assert (
        "paper judges the text up to its first `Q:`, thinking included, by the first answer in it; standard judges only what follows the "
        "thinking" in told
    )
    assert "paper samples with temperature 0" in told
    assert "a space stands between the line break and the request" in "\n".join(differences("math500"))
    assert differences("mmlu") == []
    with pytest.raises(ValueError, match="no named benchmark 'math50'; did you mean 'math500'"):
        differences("math50")


def test_two_protocols_that_agree_have_no_differences_and_who_judges_is_one() -> None:
    def told(**of_paper: object) -> list[str]:
        paper = Protocol(asks="it", **of_paper)  # type: ignore[arg-type]
        protocols = {"paper": paper, "standard": Protocol(asks="it")}
        return differences_of(
            Definition(name="own", what="", source="jsonl", group="general", cluster="none", protocols=protocols)  # type: ignore[arg-type]
        )

    assert told() == []
    assert told(num_samples=3) == ["own: paper takes 3 answers to a problem; standard takes 1 answer to a problem"]
    assert told(settings={"judge": ["gpt", "other"]}) == ["own: paper has the judges gpt, other; standard none"]
    said = differences("truthful_qa")
    assert "truthful_qa: paper has the primary metric share_informative; standard share_truthful" in said
    assert "truthful_qa: paper has the judges informative, truthful; standard truthful, informative" in said
    assert told(thinking=True) == ["own: paper leaves the template's thinking on; standard leaves the template's thinking as it is"]
