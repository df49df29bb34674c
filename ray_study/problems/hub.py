"""Problems from a data set on the Hugging Face hub, or from a directory that holds one where the hub cannot be reached."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from pydantic import Field

from ray_study.problems.source import SourceSpec
from ray_study.problems.tabular import TabularOptions, require_columns, to_problems
from ray_study.rows import Problem


class HubOptions(TabularOptions):
    """Which data set and what its columns hold."""

    name: str
    """Its name on the hub, or a local directory in the layout of one."""
    subset: str | None = None
    split: str = Field(default="train", min_length=1)
    """The data set's own split."""
    revision: str = "main"
    """A branch, tag or commit; it is resolved to a commit, and that identifies the problems."""


def load(spec: SourceSpec[HubOptions]) -> list[Problem]:
    """The subset that was asked for of the hub's data set at the commit of its revision."""
    options = spec.options
    where = f"data set {options.name!r}"
    table = open_table(options.name, options.subset, options.split, identity(options).get("commit"))
    require_columns(options, table.column_names, where)
    table = table.select_columns(sorted(set(options.columns.values())))
    return to_problems(((f"row {number} of {where}", row) for number, row in enumerate(table, 1)), spec)


def open_table(name: str, subset: str | None, split: str, commit: str | None, *, streaming: bool = False) -> Any:
    """A split of a data set of the hub at a commit, or of a local directory; iterating it gives rows as mappings.

    `streaming` reads while iterating and keeps nothing: for sets that no disk should hold twice.

    Raises:
        ValueError: it is not there, or cannot be read.
    """
    # `plan` and `--help` import this module and must load nothing heavy; `datasets` brings pandas and takes seconds.
    import datasets  # noqa: PLC0415

    try:
        return datasets.load_dataset(name, subset, split=split, revision=commit, streaming=streaming)
    except (OSError, ValueError) as error:
        raise ValueError(f"could not load data set {name!r}, subset {subset!r}, split {split!r}: {error}") from error


def identity(options: HubOptions) -> dict[str, str]:
    """The commit that the revision stands for now, or the SHA-256 over the files of a local directory."""
    return commit_of(options.name, options.revision)


def pinned(options: HubOptions) -> HubOptions:
    """The options with the commit in place of its revision."""
    commit = identity(options).get("commit")
    return options if commit is None else options.model_copy(update={"revision": commit})


def hash_directory(directory: Path) -> str:
    """The SHA-256 over the names and contents of the files of a directory."""
    hashed = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").digest()
        hashed.update(path.relative_to(directory).as_posix().encode() + b"\0" + content)
    return hashed.hexdigest()


def commit_of(name: str, revision: str) -> dict[str, str]:
    """As `identity`, by name and revision."""
    directory = Path(name)
    if directory.is_dir():
        return {"sha256": hash_directory(directory)}
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return {"commit": revision}
    # As above: only a study that reads the hub pays for its client.
    from huggingface_hub import HfApi  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError  # noqa: PLC0415

    try:
        commit = HfApi().dataset_info(name, revision=revision).sha
    except _client_errors(HfHubHTTPError) as error:
        if isinstance(error, RevisionNotFoundError):
            raise ValueError(f"the hub has no revision {revision!r} of {name!r}; give a branch, a tag or a full commit of it") from error
        raise ValueError(
            f"could not ask the hub for {name!r} at {revision!r} ({type(error).__name__}); check the name, "
            "give a full commit as revision, or give a local directory or file in its place"
        ) from error
    return {"commit": str(commit)}


def download(name: str, file: str, commit: str | None) -> Path:
    """One file of a data set of the hub at a commit, in the hub's own cache: for sets whose loading script nothing runs any more.

    Raises:
        ValueError: it cannot be had.
    """
    # As above: only a study that reads the hub pays for its client.
    from huggingface_hub import hf_hub_download  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    try:
        return Path(hf_hub_download(name, file, repo_type="dataset", revision=commit))
    except _client_errors(HfHubHTTPError) as error:
        raise ValueError(
            f"could not read {file!r} of data set {name!r} ({type(error).__name__}); give a local directory with it"
        ) from error


def _client_errors(http_error: type[Exception]) -> tuple[type[Exception], ...]:
    # The hub's client has changed its HTTP library twice; its own error still derives from that library's base class,
    # which is what a failed connection raises.
    return (OSError, *(base for base in http_error.__mro__[1:] if base.__name__ in {"HTTPError", "RequestException"}))
