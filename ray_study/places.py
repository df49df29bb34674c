"""The models at a place that people name: a directory, a model of the Hub, or each of its `stepNNN` folders."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi

from ray_study.config import Model
from ray_study.hub import download, hub_errors
from ray_study.settings import Settings

STEP_FOLDER = re.compile(r"(?:global_|checkpoint-)?step[-_]?(\d+)|checkpoint-(\d+)")
_HUB_NAME = re.compile(r"(?P<hub>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^/]+))?(?:/(?P<folder>.+))?")


class ModelSettings(Settings):
    """What a suite says of a model, whichever it is."""

    dtype: str = "bfloat16"
    max_model_len: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A model by what people call it, and where its weights are."""

    name: str
    step: int
    model: Model


def find_models(place: str, settings: ModelSettings, *, step_folders: bool, trust: bool) -> list[Named]:
    """The models at a place: itself, or each of its step folders by step.

    Args:
        place: a directory, or `owner/name` of the Hub, with `@revision` and `/folder` where they are wanted.
        settings: how it is served.
        step_folders: whether the models are its `stepNNN` folders.
        trust: whether code that comes with a model may run.

    Raises:
        ValueError: there is no model, or no step folder, or the Hub does not give it; the sentence says what to do.
    """
    made = partial(_model, settings=settings, trust=trust)
    if Path(place).expanduser().is_dir():
        root = Path(place).expanduser()
        whole = root.resolve()
        if not step_folders:
            step = _step_of(whole.name)
            return [Named(name=_called(whole.parent.name if step else whole.name), step=step, model=made(path=str(root)))]
        folders = _by_step(path.name for path in root.iterdir() if path.is_dir())
        return [Named(name=_called(whole.name), step=step, model=made(path=str(root / folder))) for step, folder in _some(folders, place)]
    return _of_the_hub(place, made, step_folders=step_folders)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubName:
    """A place on the Hub by its parts."""

    hub: str
    revision: str | None
    folder: str


def hub_name(place: str) -> HubName:
    """The parts of `owner/name[@revision][/folder]`.

    Raises:
        ValueError: it is nothing of the kind.
    """
    parts = _HUB_NAME.fullmatch(place)
    folder = (parts["folder"] or "").rstrip("/") if parts is not None else ""
    if parts is None or (folder and {"", ".", ".."} & set(folder.split("/"))):
        raise ValueError(f"--model {place}: expected a directory, or owner/name[@revision][/folder] of the Hub")
    return HubName(hub=parts["hub"], revision=parts["revision"], folder=folder)


def _of_the_hub(place: str, made: Callable[..., Model], *, step_folders: bool) -> list[Named]:
    said = hub_name(place)
    name = _called(said.hub.replace("/", "--"))
    commit = said.revision
    try:
        if step_folders:
            commit, found = _folders_of(said)
            folders = _some(found, place)
        elif said.folder:
            folders = [(_step_of(Path(said.folder).name), said.folder)]
        else:
            # Whatever a branch comes to hold later, this commit is what was scored.
            return [Named(name=name, step=0, model=made(hub=said.hub, revision=Path(download(said.hub, said.revision)).name))]
        return [Named(name=name, step=step, model=made(path=_folder(said.hub, commit, folder))) for step, folder in folders]
    except ValueError as error:
        raise ValueError(f"--model {place}: there is no such directory here, and of the Hub: {error}") from error


def _folder(hub: str, revision: str | None, folder: str) -> str:
    """The directory of a folder's model on this machine: below one that is called by its commit."""
    directory = Path(download(hub, revision, folder)) / folder
    if not (directory / "config.json").is_file():
        raise ValueError(f"{hub}@{revision or 'main'} has no model in its folder {folder!r}: there is no {folder}/config.json")
    return str(directory)


def _folders_of(said: HubName) -> tuple[str, list[tuple[int, str]]]:
    """The commit that a revision stands for now, and its step folders, or those below its folder, by step."""
    with hub_errors(f"the list of folders of {said.hub}@{said.revision or 'main'}"):
        info = HfApi().model_info(said.hub, revision=said.revision)
    prefix = f"{said.folder}/" if said.folder else ""
    files = [sibling.rfilename for sibling in info.siblings or () if sibling.rfilename.startswith(prefix)]
    names = {file.removeprefix(prefix).split("/")[0] for file in files if "/" in file.removeprefix(prefix)}
    return str(info.sha), [(step, f"{prefix}{name}") for step, name in _by_step(names)]


def _by_step(names: Any) -> list[tuple[int, str]]:
    return sorted((_step_of(name), name) for name in names if STEP_FOLDER.fullmatch(name))


def _step_of(name: str) -> int:
    found = STEP_FOLDER.fullmatch(name)
    return int(found[1] or found[2]) if found else 0


def _some(folders: list[tuple[int, str]], place: str) -> list[tuple[int, str]]:
    if not folders:
        raise ValueError(f"--step-folders: {place} has no folder such as step640; leave it out to score the model in {place} itself")
    return folders


def _model(*, settings: ModelSettings, trust: bool, **where: Any) -> Model:
    return Model.model_validate({**settings.model_dump(), "trust_remote_code": trust, **where})


def label(named: Named) -> str:
    """What a model is called in its directory and in the table."""
    return f"{named.name}-step{named.step}" if named.step else named.name


def _called(text: str) -> str:
    """A name that a study's store may have."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._")[:40] or "model"
