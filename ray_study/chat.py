"""Problems as prompt ids and responses as target ids: the only caller of a tokenizer and of a chat template.

Training and evaluation render a prompt here and nowhere else, so their ids are equal by construction. A response's ids are
appended to the prompt's and closed by the tokenizer's own end token, or by the template's where that is asked for; where the
model's full template would have rendered the pair otherwise, `Chat.differences` says so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ray_study.config import WorkedExample
from ray_study.manifests import digest
from ray_study.plain_tokenizer import plain

EndToken = Literal["tokenizer", "template"]
"""What closes a response that is learned from: the tokenizer's EOS, or the token that the chat template ends a turn with."""

_MARK = "ray-study marks the place"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A rendered prompt."""

    ids: tuple[int, ...]
    thinking_opened: bool
    """Whether the template ended the prompt inside an open `<think>`: a cut answer then has no tag of its own."""


class Chat:
    """A model's tokenizer and chat template."""

    stop_ids: tuple[int, ...]
    """Sorted: the tokenizer's EOS, the template's end of turn, and what the generation config names as end."""
    template_hash: str

    def __init__(
        self, directory: str | Path, *, trust_remote_code: bool = False, end_token: EndToken = "tokenizer", turns: bool = True
    ) -> None:
        """Loads the tokenizer of a checkpoint directory.

        Args:
            directory: with the tokenizer's files.
            trust_remote_code: whether code that comes with them may run.
            end_token: what closes a response; generation stops at either.
            turns: whether turns will be rendered. Who only goes on with texts, as some judges do, needs no template.

        Raises:
            ValueError: it has no chat template where turns are rendered, no EOS token, or a template that ends a turn with no special
                token where that is asked for.
        """
        self._tokenizer: Any = plain(Path(directory)) or _by_transformers(directory, trust_remote_code=trust_remote_code)
        template = self._tokenizer.chat_template
        if not isinstance(template, str) and turns:
            found = "none" if template is None else f"several ({sorted(template)})"
            raise ValueError(
                f"the tokenizer in {directory} needs one chat template, found {found}; put a chat_template.jinja into the model's directory"
            )
        if self._tokenizer.eos_token_id is None:
            raise ValueError(f"the tokenizer in {directory} has no EOS token, so no model could learn to stop; set eos_token")
        self._eos_id = int(self._tokenizer.eos_token_id)
        self.template_hash = digest(template)
        ends = self._end_of_turn() if isinstance(template, str) else set()
        self.stop_ids = tuple(sorted({self._eos_id, *ends, *_generation_ends(Path(directory))}))
        if end_token == "template" and not ends:
            raise ValueError(
                f"the chat template in {directory} ends a turn with no special token, so `end_token: template` has none to teach; set "
                "end_token: tokenizer"
            )
        self._end_id = self._eos_id if end_token == "tokenizer" else min(ends)

    def prompt(self, text: str, *, worked_examples: Sequence[WorkedExample] = (), thinking: bool | None = None) -> Prompt:
        """The prompt of a problem: the user turn, after earlier turns where there are worked examples, and no system turn of ours.

        A template that adds a default system turn of its own adds it in training and in evaluation alike.
        """
        turns: list[dict[str, str]] = []
        for example in worked_examples:
            turns += [_turn("user", example.prompt), _turn("assistant", example.response)]
        turns.append(_turn("user", text))
        rendered = self._render(turns, opens=True, thinking=thinking)
        turn_only = self._render(turns, opens=False, thinking=thinking)
        # Only what the template adds may open thinking: a problem that quotes the tag does not.
        added = rendered.removeprefix(turn_only)
        return Prompt(ids=self._ids(rendered), thinking_opened=added.rfind("<think>") > added.rfind("</think>"))

    def text_to_go_on_with(self, text: str) -> Prompt:
        """A bare text as a prompt: no turn and no template, and before it what the tokenizer begins every text with."""
        ids = self._tokenizer(text, add_special_tokens=True)["input_ids"]
        return Prompt(ids=tuple(int(token) for token in ids), thinking_opened=False)

    def conversation_ids(self, prompt: str, response: str) -> tuple[int, ...]:
        """The ids of a user's turn and the answer to it by the full template, as a reward model reads them."""
        return self._ids(self._render([_turn("user", prompt), _turn("assistant", response)], opens=False, thinking=None))

    def response_ids(self, text: str) -> tuple[int, ...]:
        """The ids of a response, tokenised by itself and closed by its end token, which is a target of training."""
        return (*self._ids(text), self._end_id)

    def ids(self, text: str) -> tuple[int, ...]:
        """The ids of a bare text, without any token added."""
        return self._ids(text)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated ids, without the stop ids at their end; special tokens inside it, such as `</think>`, are kept."""
        end = len(ids)
        while end and ids[end - 1] in self.stop_ids:
            end -= 1
        return str(self._tokenizer.decode(list(ids[:end]), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def differences(self, prompt: str, response: str) -> list[str]:
        """Where the full template renders a problem and its response otherwise than training does, as sentences."""
        turn = _turn("user", prompt)
        full = self._render([turn, _turn("assistant", response)], opens=False, thinking=None)
        asked = self._render([turn], opens=True, thinking=None)
        if not full.startswith(asked):
            return [f"the full template does not begin with the prompt as it is asked; it has {_tail_after(full, asked)!r} there"]
        rest = full[len(asked) :]
        found = []
        start = rest.find(response)
        if start < 0:
            return [f"the full template renders the response otherwise: it begins with {rest[:80]!r}"]
        if start > 0:
            found.append(f"the full template puts {rest[:start]!r} before the response")
        end, ours = rest[start + len(response) :], self._tokenizer.convert_ids_to_tokens(self._end_id)
        if end != ours:
            found.append(f"the full template ends the response with {end!r}, training with {ours!r}")
        if not found and self._ids(full) != self._ids(asked) + self.response_ids(response):
            found.append("the full template gives the same text, but the tokenizer joins tokens across the end of the prompt")
        return found

    def _render(self, turns: Sequence[dict[str, str]], *, opens: bool, thinking: bool | None) -> str:
        extra = {} if thinking is None else {"enable_thinking": thinking}
        return str(self._tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=opens, **extra))

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(int(token) for token in self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _end_of_turn(self) -> set[int]:
        """The id that the template closes an assistant's turn with, where it is a special token."""
        rendered = self._render([_turn("user", "?"), _turn("assistant", _MARK)], opens=False, thinking=None)
        after = self._ids(rendered.rpartition(_MARK)[2].lstrip())[:1]
        special = {int(key) for key, token in self._tokenizer.added_tokens_decoder.items() if token.special}
        return {token for token in after if token in special}


def _by_transformers(directory: str | Path, *, trust_remote_code: bool) -> Any:
    # Not at the top: it takes seconds to load, and most directories of ours need it not.
    from transformers import AutoTokenizer  # noqa: PLC0415

    return AutoTokenizer.from_pretrained(str(directory), trust_remote_code=trust_remote_code)


def _turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def _tail_after(full: str, asked: str) -> str:
    same = next((index for index, (one, other) in enumerate(zip(full, asked, strict=False)) if one != other), min(len(full), len(asked)))
    return full[same : same + 80]


def _generation_ends(directory: Path) -> set[int]:
    path = directory / "generation_config.json"
    if not path.exists():
        return set()
    ends = json.loads(path.read_text()).get("eos_token_id")
    return set() if ends is None else {int(end) for end in (ends if isinstance(ends, list) else [ends])}
