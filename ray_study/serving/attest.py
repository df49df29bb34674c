"""Whether an engine serves the checkpoint that it was told to: what must hold before a swap, and what is measured after it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ray_study.manifests import Canary, Manifest, check_files
from ray_study.serving.words import SwapRefused

TOLERANCE = {"float32": 0.005, "bfloat16": 0.25}
"""Largest mean difference of the canary's log-probabilities between trainer and engine, in nats a token, by served precision.

Measured on a model of 135 million parameters: below 0.0001 in float32, 0.06 in bfloat16, whose kernels round in other places. It
catches an engine that computes something else; which of two near checkpoints is loaded is for the checksum to say."""

_SIGN_BIT = {"float32": 1 << 31, "bfloat16": 1 << 15}

NEAR_SHARE = 0.25
"""A canary decides alone where it is nearer to this checkpoint than this share of its distance to the one before; a state
between the two, such as one old layer, is not that near, and then the checksum decides."""


def check_before(directory: Path, manifest: Manifest, serving: Manifest) -> None:
    """Returns when the checkpoint is whole and fits the engine.

    Raises:
        SwapRefused: a file is damaged, or the engine serves another identity; the engine was not touched.
    """
    check_fit(directory, manifest, serving)
    try:
        check_files(directory, manifest)
    except ValueError as error:
        raise SwapRefused(str(error)) from error


def check_fit(directory: Path, manifest: Manifest, serving: Manifest) -> None:
    """Returns when the checkpoint has the tensors and the identity that the engine was started with.

    Raises:
        SwapRefused: it has others, which a swap of weights would not change.
    """
    if manifest.tensors != serving.tensors:
        names = sorted(set(manifest.tensors) ^ set(serving.tensors)) or sorted(
            name for name, shape in manifest.tensors.items() if serving.tensors[name] != shape
        )
        raise SwapRefused(
            f"checkpoint {directory}: its tensors are not those that the engine serves, such as {names[:3]}; open another pool for it"
        )
    if manifest.identity != serving.identity:
        raise SwapRefused(
            f"checkpoint {directory} has serving identity {manifest.identity}, the engine {serving.identity}: tokenizer, template, end "
            "token, positions or precision differ, and a swap changes weights only; open another pool for it"
        )


def distance(measured: Sequence[float], canary: Canary) -> float:
    """The mean difference between measured log-probabilities and a canary's, in nats a token."""
    pairs = zip(measured, canary.logprobs, strict=True)
    return sum(abs(one - other) for one, other in pairs) / len(canary.logprobs)


def canary_fits(measured: Sequence[float], manifest: Manifest) -> bool:
    """Whether the engine's canary is the trainer's, within the tolerance of the served precision."""
    # A comparison with NaN is false: weights that are not finite never fit.
    return distance(measured, manifest.canary) <= TOLERANCE[manifest.dtype]


def canary_decides(measured: Sequence[float], manifest: Manifest, before: Manifest | None) -> bool:
    """Whether the canary alone tells this checkpoint from the one loaded before."""
    if before is None or before.canary.ids != manifest.canary.ids:
        return False
    return distance(measured, manifest.canary) < NEAR_SHARE * distance(measured, before.canary)


def bit_sum_fits(bit_sum: int, num_zeros: int, manifest: Manifest) -> bool:
    """Whether the checksum of what is loaded is the manifest's, but for the signs of at most so many zeros."""
    missing = (manifest.bit_sum - bit_sum) % 2**64
    num_signs, rest = divmod(missing, _SIGN_BIT[manifest.dtype])
    return rest == 0 and num_signs <= num_zeros


def mismatch(directory: Path, measured: Sequence[float], manifest: Manifest, bit_sum: int) -> str:
    """What an engine holds instead of the checkpoint, as a sentence."""
    far = distance(measured, manifest.canary)
    found = f"its canary is {far:.4f} nats a token from the trainer's (at most {TOLERANCE[manifest.dtype]} is noise)"
    found += f", its checksum {bit_sum:x} instead of {manifest.bit_sum:x}"
    return f"the engine was told to serve {directory}, but {found}: nothing was scored with it"
