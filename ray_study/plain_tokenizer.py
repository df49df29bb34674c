"""The tokenizer of a directory without transformers, where the same text, ids and template are certain without it.

transformers takes seconds to load, and a check should not. A directory is plain where its `tokenizer.json` is the whole tokenizer and
its template is a file: transformers then hands both on to the libraries that are called here. Whatever else a directory says, such as a
class of its own, a token to add or a template among several, is left to transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer

MODEL_TYPES = ("llama", "qwen3")
"""Of `config.json`. For these transformers loads `tokenizer.json` as it is where the directory asks for that; for some it does not."""
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_WITHOUT_EFFECT = {"backend", "tokenizer_class", "model_max_length", "is_local", "local_files_only", "clean_up_tokenization_spaces"}
"""Keys of `tokenizer_config.json` that decide nothing about an id: texts are neither cut nor cleaned here."""
_OTHERS = ("special_tokens_map.json", "added_tokens.json", "tokenizer.model", "additional_chat_templates", "tekken.json")
"""Files beside the three that transformers would read too."""
MOST_TOKENS = 100_000
"""Of a vocabulary: larger ones are looked through by transformers for a known fault of some, which it mends."""
_TRACKED = re.compile(r"\{%[-+]?\s*generation\b")


class PlainTokenizer:
    """A `tokenizer.json` and a template; what `Chat` needs of transformers' tokenizers, under the same names."""

    def __init__(self, tokenizer: Tokenizer, special: Mapping[str, str], template: str) -> None:
        """Takes what `plain` read.

        Args:
            tokenizer: neither cuts nor pads.
            special: the named special tokens, such as `eos_token`.
            template: of chats.
        """
        self._tokenizer = tokenizer
        self._special = dict(special)
        self.chat_template = template
        self.eos_token_id = tokenizer.token_to_id(special["eos_token"])
        self._compiled = _environment().from_string(template)

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        """The ids of a text."""
        return {"input_ids": self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids}

    def apply_chat_template(self, turns: Sequence[Mapping[str, str]], *, tokenize: bool, add_generation_prompt: bool, **extra: Any) -> str:
        """The turns as text."""
        assert not tokenize, "only the text is asked for"
        given = {**self._special, **extra}
        return self._compiled.render(messages=list(turns), tools=None, documents=None, add_generation_prompt=add_generation_prompt, **given)

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool) -> str:
        """The text of ids."""
        assert not clean_up_tokenization_spaces, "a text is not cleaned"
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=skip_special_tokens))

    def convert_ids_to_tokens(self, token: int) -> str | None:
        """The token of an id."""
        return self._tokenizer.id_to_token(token)

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The tokens beside the vocabulary, by id."""
        return dict(self._tokenizer.get_added_tokens_decoder())


def plain(directory: Path) -> PlainTokenizer | None:
    """The tokenizer of a directory, or None where only transformers can say what it is."""
    files = {name: directory / name for name in ("config.json", "tokenizer_config.json", "tokenizer.json", "chat_template.jinja")}
    if not all(file.is_file() for file in files.values()) or any((directory / name).exists() for name in _OTHERS):
        return None
    model_type = json.loads(files["config.json"].read_text(encoding="utf-8")).get("model_type")
    settings = json.loads(files["tokenizer_config.json"].read_text(encoding="utf-8"))
    special = {name: settings[name] for name in _NAMED if settings.get(name) is not None}
    if not all(isinstance(token, str) for token in special.values()):
        return None
    if (
        model_type not in MODEL_TYPES
        or settings.get("tokenizer_class") != "TokenizersBackend"
        or set(settings) - _WITHOUT_EFFECT - {*_NAMED}
    ):
        return None
    template = files["chat_template.jinja"].read_text(encoding="utf-8")
    if "eos_token" not in special or _TRACKED.search(template):
        return None
    tokenizer = Tokenizer.from_file(str(files["tokenizer.json"]))
    return PlainTokenizer(tokenizer, special, template) if _is_whole(tokenizer, special) else None


def _is_whole(tokenizer: Tokenizer, special: Mapping[str, str]) -> bool:
    """Whether nothing is to be added to it, cut or mended."""
    held = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    changes = tokenizer.truncation is not None or tokenizer.padding is not None or tokenizer.get_vocab_size() > MOST_TOKENS
    return not changes and held >= set(special.values())


def _environment() -> jinja2.Environment:
    """What transformers renders templates in: sandboxed, since a template comes with a model, and with the same filters and functions."""
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    made.filters["tojson"] = _tojson
    made.globals["raise_exception"] = _raise_exception
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return made


def _tojson(value: object, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise jinja2.exceptions.TemplateError(message)
