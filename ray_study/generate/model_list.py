"""What a server says of its models, before anything is asked of it that costs."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import quote

from ray_study.config import Endpoint
from ray_study.generate.endpoint import NoRedirect, address, check_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """Whether a server has the model that is to be asked."""

    has_it: bool | None
    """None where the server does not say."""
    names: tuple[str, ...] = ()
    """Those that it has, where it says so."""
    why: str = ""
    """Why it does not say, in words."""


def look_for_model(endpoint: Endpoint, key: str | None, seconds: float) -> Listed:
    """What the server's list of models says of the endpoint's model.

    Args:
        endpoint: where the server is, and the model.
        key: sent as a bearer token, and shown nowhere.
        seconds: how long the server may take.

    Raises:
        OSError: nobody answers there.
        ValueError: the key is not accepted, or cannot be a header's value.
    """
    check_key(endpoint, key)
    status, body = _get(endpoint, key, "models", seconds)
    if status == 401:
        raise ValueError(_not_accepted(endpoint))
    names = _names(body) if status == 200 else ()
    if not names:
        return Listed(has_it=None, why="it has no list of models" if status in (200, 404) else f"it answered with status {status}")
    if _is_among(endpoint.model, names):
        return Listed(has_it=True, names=names)
    # Another name for a model need not be in the list.
    status, _ = _get(endpoint, key, f"models/{quote(endpoint.model)}", seconds)
    return Listed(has_it=status == 200, names=names)


def _not_accepted(endpoint: Endpoint) -> str:
    where = f"{endpoint.public_url} answered with status 401 when it was asked for its models"
    if endpoint.key_from is None:
        return f"{where}: name the environment variable that holds a key, as in `key_from: JUDGE_KEY`"
    return f"{where}: the key in {endpoint.key_from} is not accepted; export one that is"


def _get(endpoint: Endpoint, key: str | None, path: str, seconds: float) -> tuple[int, bytes]:
    """The status and the body; 0 where what came back is no HTTP."""
    request = urllib.request.Request(address(endpoint.url, path), headers={"Accept": "application/json", "User-Agent": "ray-study"})
    if key is not None:
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.build_opener(NoRedirect).open(request, timeout=seconds) as reply:
            return int(reply.status), reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""
    except http.client.HTTPException:
        return 0, b""


def _names(body: bytes) -> tuple[str, ...]:
    """The names in a list of models; none where it is not one."""
    try:
        found = json.loads(body)
    except ValueError:
        return ()
    rows = found.get("data") if isinstance(found, dict) else found
    return tuple(row["id"] for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)) if isinstance(rows, list) else ()


def _is_among(model: str, names: tuple[str, ...]) -> bool:
    """Whether a list has a model: some put a folder before its name, or a tag behind it that need not be said."""
    return any(model in (name, name.rpartition("/")[2], name.removesuffix(":latest")) for name in names)
