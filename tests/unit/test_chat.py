"""Prompts and responses as ids: the same in training and evaluation, closed by an end token, open thinking seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ray_study.chat import Chat
from ray_study.config import WorkedExample
from ray_study.model_files import byte_tokenizer

PLAIN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKS = PLAIN.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
DEFAULT_SYSTEM = "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe helpful.<|im_end|>\n{% endif %}" + PLAIN
EMPTY_THINKING = PLAIN.replace(
    "{{ m['content'] }}", "{% if m['role'] == 'assistant' %}<think>\n\n</think>\n\n{% endif %}{{ m['content'] }}"
)
SWITCHED = PLAIN.replace("assistant\n{% endif %}", "assistant\n{% if enable_thinking is false %}<think></think>{% endif %}{% endif %}")


def chat(directory: Path, template: str | None = PLAIN, **changes: Any) -> Chat:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(directory)
    return Chat(directory)


def test_the_end_token_closes_every_response(tmp_path: Path) -> None:
    made = chat(tmp_path)
    ids = made.response_ids("The sum is \\boxed{50}.")
    assert ids[-1] in made.stop_ids
    assert ids[-1] not in ids[:-1]
    assert made.decode(ids) == "The sum is \\boxed{50}."


def test_a_response_is_closed_by_the_end_that_is_asked_for_and_generation_stops_at_both(tmp_path: Path) -> None:
    base = chat(tmp_path, eos_token="<|endoftext|>")
    by_template = Chat(tmp_path, end_token="template")
    assert base.response_ids("2")[:-1] == by_template.response_ids("2")[:-1] == base.ids("2")
    assert [made.response_ids("2")[-1:] for made in (base, by_template)] == [base.ids("<|endoftext|>"), base.ids("<|im_end|>")]
    for server in (base, by_template):
        assert {base.response_ids("2")[-1], by_template.response_ids("2")[-1]} <= set(server.stop_ids)
    assert "training with '<|endoftext|>'" in base.differences("Hi", "2")[0]
    assert "training with '<|im_end|>'" in by_template.differences("Hi", "2")[0]


def test_a_template_that_ends_a_turn_with_plain_text_has_no_end_token_to_teach(tmp_path: Path) -> None:
    chat(tmp_path, "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}")
    with pytest.raises(ValueError, match=r"ends a turn with no special token.*set end_token: tokenizer"):
        Chat(tmp_path, end_token="template")


def test_the_prompt_is_the_same_for_whoever_renders_it_and_stands_before_the_response(tmp_path: Path) -> None:
    trainer, server = chat(tmp_path), Chat(tmp_path)
    prompt = trainer.prompt("What is 1 + 1?")
    assert prompt == server.prompt("What is 1 + 1?")
    assert trainer.decode(prompt.ids) == "<|im_start|>user\nWhat is 1 + 1?<|im_end|>\n<|im_start|>assistant\n"
    assert trainer.differences("What is 1 + 1?", "2") == [
        "the full template ends the response with '<|im_end|>\\n', training with '<|im_end|>'"
    ]


def test_a_default_system_turn_of_the_template_stays_and_none_of_ours_is_added(tmp_path: Path) -> None:
    made = chat(tmp_path / "system", DEFAULT_SYSTEM)
    assert made.decode(made.prompt("Hi").ids).startswith("<|im_start|>system\nBe helpful.<|im_end|>\n<|im_start|>user\nHi")
    assert "system" not in chat(tmp_path / "plain").decode(chat(tmp_path / "plain").prompt("Hi").ids)


def test_an_empty_thinking_block_of_the_full_template_is_a_difference(tmp_path: Path) -> None:
    found = chat(tmp_path, EMPTY_THINKING).differences("Hi", "Hello")
    assert found[0] == "the full template puts '<think>\\n\\n</think>\\n\\n' before the response"


def test_thinking_that_the_template_opens_is_seen(tmp_path: Path) -> None:
    made = chat(tmp_path / "thinks", THINKS)
    assert made.prompt("Hi").thinking_opened
    assert not chat(tmp_path / "plain").prompt("Hi").thinking_opened


def test_a_problem_that_quotes_the_tag_does_not_open_thinking(tmp_path: Path) -> None:
    assert not chat(tmp_path).prompt("What does <think> mean?").thinking_opened


def test_thinking_is_passed_to_the_template_only_where_it_is_set(tmp_path: Path) -> None:
    made = chat(tmp_path, SWITCHED)
    assert made.prompt("Hi", thinking=False).ids != made.prompt("Hi").ids
    assert made.prompt("Hi", thinking=True).ids == made.prompt("Hi").ids
    assert not made.prompt("Hi", thinking=False).thinking_opened


def test_worked_examples_are_earlier_turns(tmp_path: Path) -> None:
    made = chat(tmp_path)
    text = made.decode(made.prompt("Q2", worked_examples=[WorkedExample(prompt="Q1", response="A1")]).ids)
    assert text == (
        "<|im_start|>user\nQ1<|im_end|>\n<|im_start|>assistant\nA1<|im_end|>\n<|im_start|>user\nQ2<|im_end|>\n<|im_start|>assistant\n"
    )


def test_both_the_eos_and_the_end_of_turn_stop_a_base_model(tmp_path: Path) -> None:
    made = chat(tmp_path, eos_token="<|endoftext|>")
    assert [made.decode([10, token]) == made.decode([10]) for token in made.stop_ids] == [True, True]
    assert len(made.stop_ids) == 2


def test_what_the_generation_config_names_as_end_stops_too(tmp_path: Path) -> None:
    chat(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))
    assert Chat(tmp_path).stop_ids == (0, 2)


def test_only_stop_ids_at_the_end_are_left_out_of_a_text(tmp_path: Path) -> None:
    made = chat(tmp_path)
    ids = made.ids("<think>1</think>2")
    assert made.decode([*ids, made.stop_ids[0]]) == "<think>1</think>2"
    assert made.decode([made.stop_ids[0], *ids]) != made.decode(ids)


def test_a_tokenizer_without_template_or_end_is_refused_with_the_mend(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"needs one chat template, found none; put a chat_template\.jinja"):
        chat(tmp_path / "bare", None)
    with pytest.raises(ValueError, match="has no EOS token"):
        chat(tmp_path / "endless", eos_token=None)


def test_a_tokenizer_without_template_goes_on_with_bare_texts_after_the_token_that_begins_one(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    made = Chat(tmp_path, turns=False)
    assert made.text_to_go_on_with("Q: 1?\nTrue:").ids == made.ids("Q: 1?\nTrue:")
    assert made.stop_ids == Chat(tmp_path, turns=False).stop_ids == (int(tokenizer.eos_token_id),)
    # As Llama's tokenizers do.
    path = tmp_path / "tokenizer.json"
    begins = {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
    single = [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    processor = {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": {"<|endoftext|>": begins}}
    path.write_text(json.dumps({**json.loads(path.read_text()), "post_processor": processor}))
    other = Chat(tmp_path, turns=False)
    assert other.text_to_go_on_with("True:").ids == (0, *made.ids("True:"))
    assert other.ids("True:") == made.ids("True:")


def test_another_template_has_another_hash(tmp_path: Path) -> None:
    assert chat(tmp_path / "one").template_hash != chat(tmp_path / "two", THINKS).template_hash
