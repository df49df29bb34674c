"""Where the directory of a model as it comes lies, and whether it is there: light, for whoever makes none."""

from __future__ import annotations

from pathlib import Path

from ray_study.config import Model
from ray_study.manifests import MANIFEST, digest, read_manifest

VERSION = 1
"""Raised by hand when the meaning of a prepared directory changes, so that a cache of before is not taken for one of now."""


def prepared(model: Model, name: str, cache: Path) -> Path | None:
    """The directory that `model_files.prepare` would give, where it is there already.

    Raises:
        ValueError: a `path` is no model directory, or its manifest is damaged.
    """
    if model.path is not None and (Path(model.path) / MANIFEST).is_file():
        read_manifest(Path(model.path))
        return Path(model.path)
    directory = place(model, name, cache)
    return directory if (directory / MANIFEST).is_file() else None


def place(model: Model, name: str, cache: Path) -> Path:
    """Where a model's directory is in the cache, or will be."""
    return cache / "models" / f"{name}-{_key(model)}"


def _key(model: Model) -> str:
    literal: dict[str, object] = {
        "version": VERSION,
        "model": model.model_dump(mode="json", include={"hub", "revision", "asset", "scratch", "dtype", "trust_remote_code"}),
    }
    if model.path is not None:
        literal["files"] = files_of(Path(model.path))
    return digest(literal)


def files_of(path: Path) -> dict[str, list[object]]:
    """What tells that a directory of weights changed, without reading gigabytes."""
    if not (path / "config.json").is_file():
        raise ValueError(f"path {path} has no config.json: expected a model directory in Hugging Face layout on this machine")
    files = [file for file in sorted(path.iterdir()) if file.is_file()]
    return {str(file.resolve()): [file.stat().st_size, file.stat().st_mtime_ns] for file in files}
