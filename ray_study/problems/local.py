"""Local files and directories as sources: their content identifies what is read from them, not their name or place."""

from __future__ import annotations

from pathlib import Path

from ray_study.config import Problems
from ray_study.manifests import hash_file
from ray_study.problems.hub import hash_directory
from ray_study.store import Result, outside


def local_file(path: object) -> list[Result]:
    """The local file or directory as a source; none where there is nothing at that path, as for a name of the hub."""
    if not isinstance(path, str) or not (place := Path(path).expanduser()).exists():
        return []
    return [outside(place.name, hash_file(place) if place.is_file() else hash_directory(place))]


def local_sources(settings: Problems) -> list[Result]:
    """The local file or directory that a set of problems is read from: when it has changed, they are read again."""
    return local_file(settings.options.get("path") or (settings.options.get("name") if settings.source == "hub" else None))
