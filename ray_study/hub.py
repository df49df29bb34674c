"""What the Hub has of a model, on this machine, and what it says where it gives nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

_NOT_REACHED = cast("tuple[type[Exception], ...]", (LocalEntryNotFoundError, *HfHubHTTPError.__bases__))
"""What an error of the Hub is: its HTTP client's own, which is also what a connection that fails raises, and `OSError`."""

_HUB_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.py"]


def download(hub: str, revision: str | None, folder: str = "") -> str:
    """The directory of a snapshot of the Hub on this machine, with the model files of its root, or those of one folder of it alone.

    Raises:
        ValueError: it cannot be had; the sentence says what to do.
    """
    below = f"{folder}/" if folder else ""
    with hub_errors(f"model {hub}@{revision or 'main'}"):
        # A pattern's `*` crosses folders, and beside a model its folders may hold others.
        wanted, others = [f"{below}{pattern}" for pattern in _HUB_FILES], [f"{below}*/*"]
        return str(snapshot_download(hub, revision=revision, allow_patterns=wanted, ignore_patterns=others))


def look_up(hub: str, revision: str | None) -> None:
    """Nothing, where the Hub gives a model's config, or it is on this machine: its weights can be had too.

    Raises:
        ValueError: as `download`, or it is no model.
    """
    name = f"model {hub}@{revision or 'main'}"
    with hub_errors(name):
        found = Path(snapshot_download(hub, revision=revision, allow_patterns=["config.json"]))
    if not (found / "config.json").is_file():
        raise ValueError(f"{name} has no config.json: expected a model in Hugging Face layout")


@contextmanager
def hub_errors(name: str) -> Iterator[None]:
    """What goes wrong with the Hub in the block comes out as a sentence about `name` that says what to do.

    Raises:
        ValueError: it is gated, it is not there, the token is not taken, or there is no connection.
    """
    try:
        yield
    except GatedRepoError as error:
        raise ValueError(
            f"{name} is gated: accept its licence on the Hub, put a token into a file on each node and set HF_TOKEN_PATH to it"
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise ValueError(f"{name} is not on the Hub, or is private to you; check owner, name and revision") from error
    except HFValidationError as error:
        raise ValueError(f"{name} is no name that the Hub knows: {str(error).splitlines()[0]}") from error
    except _NOT_REACHED as error:
        if refused := _refused(error):
            raise ValueError(f"{name}: the Hub refuses the token ({refused}); put a valid one into the file of HF_TOKEN_PATH") from error
        raise ValueError(
            f"{name} could not be fetched ({type(error).__name__}): no connection to the Hub, and it is not in its cache; fetch it where "
            "there is one, or give `path` or `asset` in place of `hub`"
        ) from error


def _refused(error: BaseException) -> str:
    """The status of a reply that refuses a token, also where it is only what caused the error; empty where there is none."""
    found: BaseException | None = error
    while found is not None:
        status = found.response.status_code if isinstance(found, HfHubHTTPError) else 0
        if status in (401, 403):
            return f"status {status}"
        found = found.__cause__
    return ""
