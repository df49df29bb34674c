"""The words of a chat completions server, or of one that completes texts: what it is sent, and its answer as an attempt. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from ray_study.generate.asking import NOT_ASKED, Asking
from ray_study.manifests import digest
from ray_study.rows import Attempt, FinishReason, Problem
from ray_study.teaching import PENALTIES

_MENDS = {
    "top_k": "Set sampling.top_k: 0, which sends none",
    "min_p": "Set sampling.min_p: 0, which sends none",
    "presence_penalty": "Set sampling.presence_penalty: 0, which sends none",
    "frequency_penalty": "Set sampling.frequency_penalty: 0, which sends none",
    "chat_template_kwargs": "Leave `thinking` out: this server cannot be told",
    "seed": "Every attempt has its own seed; ask a server that takes one",
    "max_completion_tokens": "It wants that word for max_tokens; ask a server that takes max_tokens",
}
"""Fields that some servers do not know, and what to do about it."""

_UNKNOWN = re.compile(
    r"unknown|unrecogni[sz]ed|unsupported|not supported|not support|unexpected|extra|not permitted|not allowed|additional propert", re.I
)
_ENDS: dict[str, FinishReason] = {"stop": "stop", "length": "length"}


class BadReply(RuntimeError):
    """An answer that is no chat completion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The tokens of a request as the server counted them; None where it does not say."""

    input_tokens: int | None
    output_tokens: int | None


def messages(problem: Problem, asking: Asking) -> list[dict[str, str]]:
    """The turns that are sent: worked examples, then the problem."""
    turns = []
    for example in asking.worked_examples:
        turns += [{"role": "user", "content": example.prompt}, {"role": "assistant", "content": example.response}]
    return [*turns, {"role": "user", "content": asking.question(problem)}]


def payload(problem: Problem, sample: int, asking: Asking, model: str) -> dict[str, Any]:
    """The body of a request; fields beyond OpenAI's own are there only where the sampling needs them."""
    sampling = asking.sampling
    body: dict[str, Any] = {
        "model": model,
        **({"prompt": asking.question(problem)} if asking.completes else {"messages": messages(problem, asking)}),
        "n": 1,
        "stream": False,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "seed": asking.seed(problem, sample),
    }
    if sampling.top_k > 0:
        body["top_k"] = sampling.top_k
    if sampling.min_p > 0:
        body["min_p"] = sampling.min_p
    body |= {name: value for name in PENALTIES if (value := getattr(sampling, name))}
    if asking.thinking is not None and not asking.completes:
        body["chat_template_kwargs"] = {"enable_thinking": asking.thinking}
    return body


def fault_of(text: str) -> str:
    """What to do where a refusal names a field that the server does not know; empty where it is about the prompt."""
    if not _UNKNOWN.search(text):
        return ""
    named = [field for field in _MENDS if re.search(rf"\b{field}\b", text)]
    return "; ".join(_MENDS[field] for field in named)


def reply_attempt(reply: object, problem: Problem, sample: int, asking: Asking, model: str) -> Attempt:
    """A server's answer as an attempt.

    Raises:
        BadReply: it is no chat completion.
    """
    choice = _choice(reply, "text" if asking.completes else "message")
    assert isinstance(reply, dict)
    message, ended = {"content": choice["text"]} if asking.completes else choice["message"], choice.get("finish_reason")
    if ended not in _ENDS:
        return refused_attempt(f"the server ended it with {ended!r}", problem, sample, asking, model)
    reported = {key: reply[key] for key in ("model", "system_fingerprint") if isinstance(reply.get(key), str)}
    return _attempt(
        problem,
        sample,
        asking,
        model,
        text=_text(message, ended),
        # 0 is "nobody counted", as for the solver.
        num_tokens=usage_of(reply).output_tokens or 0,
        finish_reason=_ENDS[ended],
        conditions=json.dumps({"engine": "endpoint", **reported}, sort_keys=True),
    )


def usage_of(reply: object) -> Usage:
    """What an answer says that it took, whether or not it is a completion."""
    usage = reply.get("usage") if isinstance(reply, dict) else None
    found = [usage.get(key) if isinstance(usage, dict) else None for key in ("prompt_tokens", "completion_tokens")]
    into, out = [count if isinstance(count, int) and count >= 0 else None for count in found]
    return Usage(input_tokens=into, output_tokens=out)


def prompt_hash(problem: Problem, asking: Asking) -> str:
    """What `Attempt.prompt_hash` will be, before the problem is asked."""
    return digest(["text", asking.question(problem)] if asking.completes else messages(problem, asking))


def refused_attempt(why: str, problem: Problem, sample: int, asking: Asking, model: str) -> Attempt:
    """An attempt that the server would not make."""
    return _attempt(problem, sample, asking, model, finish_reason="refused", explanation=why, conditions=NOT_ASKED)


def path_of(asking: Asking) -> str:
    """Where a server takes such requests, below its address."""
    return "completions" if asking.completes else "chat/completions"


def _choice(reply: object, part: Literal["text", "message"]) -> dict[str, Any]:
    choices = reply.get("choices") if isinstance(reply, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get(part), dict if part == "message" else str):
        raise BadReply(f"an answer that is no {'chat ' if part == 'message' else ''}completion: {json.dumps(reply)[:120]}")
    return choice


def _text(message: dict[str, Any], ended: str) -> str:
    """The whole answer: thinking that the server took out is put back before it."""
    content = message.get("content") or ""
    thinking = message.get("reasoning_content") or message.get("reasoning") or ""
    if not isinstance(content, str) or not isinstance(thinking, str):
        raise BadReply(f"an answer whose text is no text: {json.dumps(message)[:120]}")
    if not thinking:
        return content
    if not content and ended == "length":
        # It was cut while it thought: closed thinking would make an answer of it.
        return f"<think>\n{thinking}"
    return f"<think>\n{thinking.strip()}\n</think>\n\n{content.lstrip()}"


def _attempt(problem: Problem, sample: int, asking: Asking, model: str, **facts: Any) -> Attempt:
    found: dict[str, Any] = {"text": "", "num_tokens": 0, "explanation": "", **facts}
    return Attempt(
        problem_id=problem.id,
        sample=sample,
        asked_of=f"endpoint {model}",
        cap=asking.sampling.max_tokens,
        seed=asking.seed(problem, sample),
        thinking_opened=False,
        prompt_hash=prompt_hash(problem, asking),
        **found,
    )
