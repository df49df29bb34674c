"""Where a study's tracking store is, and what may stand in its URI. Light: no MLflow."""

from __future__ import annotations

import re
from pathlib import Path

from ray_study.settings import looks_secret

_USER = re.compile(r"(?<=://)[^/\s]*@")
_QUERY = re.compile(r"\?.*$", re.DOTALL)


def default_uri(store: str) -> str:
    """The tracking URI of a store that names none: a SQLite file in it.

    Raises:
        ValueError: the store is no local directory, so SQLite cannot live there.
    """
    if "://" in store:
        raise ValueError(f"the store {store} is not a local directory, and SQLite needs one; set `tracking` to an MLflow server's URI")
    return f"sqlite:///{Path(store) / 'mlflow.db'}"


def shown(uri: str) -> str:
    """A URI as it may be printed: without user, password and whatever stands after a question mark."""
    return _QUERY.sub("", _USER.sub("", uri))


def refuse_password(uri: str) -> None:
    """Returns when a tracking URI holds no password: whoever reads a log, a report or a process list would read it.

    Raises:
        ValueError: it does; the URI is named without it, and where it belongs.
    """
    if looks_secret(uri):
        instead = "PGPASSWORD" if uri.startswith("postgres") else "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        raise ValueError(
            f"tracking: the URI of {shown(uri)} holds a password, which logs would show; take it out, and set {instead} in its place"
        )


def cannot_be_used(uri: str, message: str) -> str:
    """The sentence for a tracking store that could not be opened, by what its server or driver said."""
    said = _USER.sub("", " ".join(message.split()))
    return f"tracking: {shown(uri)} cannot be used ({said[:MOST_CHARACTERS]}); {_mend(uri, said)}"


MOST_CHARACTERS = 400
"""Of what a server or a database driver said: it may be a whole page."""


def _mend(uri: str, said: str) -> str:
    if re.search(r"\b40[13]\b|PERMISSION_DENIED|UNAUTHENTICATED|not authenticated", said):
        return (
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, in the environment to somebody who may "
            "write; a 403 that speaks of a host comes from a server that was started without this name among its --allowed-hosts"
        )
    if uri.startswith(("http:", "https:")):
        return "check the URI and that its server runs"
    return "check the URI, that its database runs, and that its driver is installed (psycopg2 for PostgreSQL)"
