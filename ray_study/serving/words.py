"""What is said between those who ask and those who answer, and how it goes wrong. No engine is loaded here."""

from __future__ import annotations

from dataclasses import dataclass

from ray_study.rows import FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt to answer."""

    problem_id: str
    sample: int
    prompt_ids: tuple[int, ...]
    max_tokens: int
    """Most new tokens, already clipped to the model's positions."""
    seed: int
    logprobs: bool = True
    """Whether the log-probability of the answer is wanted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What it took until a replica served another checkpoint."""

    drained_seconds: float
    """Until the shards of the checkpoint before were answered."""
    loaded_seconds: float
    """Until the weights were in place: read, checked against the manifest and swapped, or with a new engine."""
    attested_seconds: float
    """Until they were shown to be this checkpoint's."""
    num_starts: int
    """Engines that were started for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to one request."""

    problem_id: str
    sample: int
    text: str
    """Without the stop token; special tokens such as `</think>` are kept."""
    num_tokens: int
    """Generated tokens, the stop token included."""
    finish_reason: FinishReason
    served: str
    """Fingerprint of the checkpoint that was loaded."""
    conditions: str
    """What measured it, as sorted JSON."""
    seconds: float
    """From the request to the answer, in the engine."""
    logprob: float | None = None
    """As in `rows.Attempt`."""
    explanation: str = ""
    """Why the engine refused this one request, where `finish_reason` is `refused`."""
    turn: Turn | None = None
    """What it took to load the checkpoint, in every reply of the shard that it was loaded for; None where it was loaded already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What a reward model says of one conversation."""

    value: float | None
    num_tokens: int
    conditions: str
    """What measured it, as sorted JSON."""
    explanation: str = ""
    """Why there is no value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What an engine is started with; none of it changes until it ends."""

    directory: str
    """Any checkpoint of the serving identity."""
    dtype: str
    max_model_len: int | None
    max_num_seqs: int
    gpus: int
    """Tensor parallel size; 0 serves on the CPU."""
    kv_cache_megabytes: int
    gpu_memory_utilization: float
    trust_remote_code: bool
    prefix_caching: bool = True


class SwapRefused(RuntimeError):
    """A checkpoint is not served: it is damaged, belongs to another engine, or could not be shown to be what is loaded."""


class EngineLost(RuntimeError):
    """An engine died while it answered; the shard can be asked again."""


class PoolUnavailable(RuntimeError):
    """The pool could not be started, or lost a shard more often than it may."""
