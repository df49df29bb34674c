"""The manifest of a checkpoint: what is in its directory and how to tell that a server loaded it.

A checkpoint exists when its manifest does; it is written last and atomically. Reading and checking one needs no heavy library.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

MANIFEST = "manifest.json"
FORMAT = 1

CANARY_TEXT = (
    "What is 17 + 25 + 8? Please reason step by step, and put your final answer within \\boxed{}.\n"
    "<think>17 + 25 = 42. 42 + 8 = 50.</think>\nThe sum is \\boxed{50}."
)
"""Scored alone by the trainer and by the server: the same text for every checkpoint, so that two can be told apart by it."""

IDENTITY_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
"""What a weight swap does not change: models that differ in any of these must not share an engine."""


DELETED = "weights-deleted.json"
"""In a checkpoint whose weights were deleted after it was scored: why. Its manifest, tokenizer and configuration are there."""

GONE = (
    "the weights of {directory} were deleted after it was scored ({why}), so nothing more can be asked of it without training the run "
    "again: delete {run} for that, or leave the benchmark out"
)


AGAIN = "delete {directory} and run the study that made it again: it is made anew, and whatever else the run saved stays"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """Token ids of `CANARY_TEXT` and the trainer's log-probability of each but the first, in the precision that is served."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a checkpoint directory holds."""

    run: str
    """`Run.id`, or the base model's name for step 0."""
    step: int
    num_tokens: int
    dtype: str
    files: dict[str, str]
    """SHA-256 by file name, for every file but the manifest."""
    tensors: dict[str, tuple[int, ...]]
    """Shape by tensor name, as in the safetensors files (a tied head is there once)."""
    bit_sum: int
    """Sum over all tensors of their elements' bits read as unsigned integers, modulo 2**64: it does not depend on how a server
    fuses or orders them, and changes with any weight."""
    canary: Canary
    settings: dict[str, object]
    """Facts of the run that made it, for people."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 (16 hex digits) over the names and hashes of the files: equal files, equal checkpoint."""
        return digest(self.files)

    @property
    def identity(self) -> str:
        """The serving identity: what must be equal for two checkpoints to share an engine (shapes, tokenizer, template, dtype)."""
        kept = {name: self.files[name] for name in IDENTITY_FILES if name in self.files}
        return digest([kept, self.dtype, {name: list(shape) for name, shape in sorted(self.tensors.items())}])


def digest(value: object) -> str:
    """The first 16 hex digits of the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """SHA-256 of a file as hex digits, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(directory: Path) -> dict[str, str]:
    """SHA-256 by name of every file of a checkpoint directory but the manifest."""
    return {path.name: hash_file(path) for path in sorted(directory.iterdir()) if path.is_file() and path.name != MANIFEST}


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Writes the manifest as the last file of a checkpoint, atomically."""
    temporary = directory / f".{MANIFEST}.{os.getpid()}"
    with temporary.open("w") as file:
        json.dump({"format": FORMAT, **asdict(manifest)}, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / MANIFEST)


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a checkpoint directory.

    Raises:
        ValueError: there is none (the checkpoint is half-written or is none), it cannot be read, it is damaged (whatever it holds), or
            it is of another format.
    """
    path = directory / MANIFEST
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        why = "it is not a checkpoint, or one that was not finished; train it again"
        raise ValueError(f"{directory} has no {MANIFEST}: {why}") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); see to the file and its permissions, then run again") from error
    try:
        written = _WRITTEN.validate_json(text, strict=True)
    except ValidationError as error:
        if not _is_of_another_format(text):
            raise ValueError(f"{path} is damaged ({_in_words(error)}); {AGAIN.format(directory=directory)}") from error
        written = None
    if written is None or written.format != FORMAT:
        raise ValueError(f"{path} is not of format {FORMAT}; it was written by another version of ray-study: use that one")
    return written.manifest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written(Manifest):
    """A manifest as its file has it."""

    format: int

    def manifest(self) -> Manifest:
        """What it says."""
        return Manifest(**{each.name: getattr(self, each.name) for each in fields(Manifest)})


_WRITTEN = TypeAdapter(_Written)


def _in_words(error: ValidationError) -> str:
    """What is wrong with a text that was to be a manifest: the first fault, and where it is."""
    first = error.errors(include_url=False)[0]
    return ": ".join([*(str(part) for part in first["loc"]), str(first["msg"])])


def _is_of_another_format(text: bytes) -> bool:
    """Whether a text that is no manifest of this version says that it is one of another."""
    try:
        said = json.loads(text)
    except ValueError:
        return False
    return isinstance(said, dict) and said.get("format", FORMAT) != FORMAT


def has_weights(directory: Path) -> bool:
    """Whether a checkpoint's weights are there, as far as nobody deleted them on purpose."""
    return not (directory / DELETED).is_file()


def gone(directory: Path) -> str:
    """What is said of a checkpoint that is to be asked something and has no weights any more."""
    try:
        why = json.loads((directory / DELETED).read_text())["why"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        why = f"{DELETED} says no more of it: {type(error).__name__}"
    return GONE.format(directory=directory, why=why, run=directory.parent)


def delete_weights(directory: Path, why: str) -> None:
    """Deletes a checkpoint's weights. That they are deleted is noted first, so that nothing takes the rest for a damaged one."""
    temporary = directory / f".{DELETED}.{os.getpid()}"
    with temporary.open("w") as file:
        json.dump({"why": why}, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(directory / DELETED)
    for path in directory.glob("*.safetensors*"):
        path.unlink(missing_ok=True)


def check_files(directory: Path, manifest: Manifest) -> None:
    """Returns when every file is as the manifest says.

    Raises:
        ValueError: a file is missing or its SHA-256 differs (truncated, or a byte flipped); the file is named.
    """
    for name, expected in manifest.files.items():
        path = directory / name
        if not path.exists():
            raise ValueError(f"checkpoint {directory}: {name} is missing; {AGAIN.format(directory=directory)}")
        found = hash_file(path)
        if found != expected:
            raise ValueError(
                f"checkpoint {directory}: {name} has SHA-256 {found[:16]}…, its manifest says {expected[:16]}…; the file is damaged: "
                f"{AGAIN.format(directory=directory)}"
            )
