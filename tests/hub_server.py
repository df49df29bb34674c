"""A Hub in a thread of the test: repositories of files by revision, over the few routes that a download asks."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import unquote, urlsplit

Files = Mapping[str, bytes]

Refusal = Literal["gated", "forbidden"]
"""How files are refused: until a licence is accepted, or to this token."""


@dataclass(frozen=True, kw_only=True)
class Repository:
    """What one has of a model on the Hub."""

    revisions: Mapping[str, Files]
    """The files by branch or tag."""
    refused: Refusal | None = None

    def commit(self, revision: str) -> str | None:
        """The commit of a branch, a tag or a commit; None where there is no such thing."""
        commits = {name: commit_of(files) for name, files in self.revisions.items()}
        return commits.get(revision, revision if revision in commits.values() else None)

    def files(self, commit: str) -> Files:
        return next(files for files in self.revisions.values() if commit_of(files) == commit)


def commit_of(files: Files) -> str:
    """The commit that holds these files."""
    return hashlib.sha1(b"".join(name.encode() + content for name, content in sorted(files.items())), usedforsecurity=False).hexdigest()


@dataclass(kw_only=True)
class Hub:
    """A running Hub, and which files were fetched from it."""

    url: str
    fetched: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class _Reply:
    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def _as_json(value: object) -> _Reply:
    return _Reply(body=json.dumps(value).encode(), headers={"Content-Type": "application/json"})


def _fault(status: int, code: str, message: str) -> _Reply:
    return _Reply(status=status, headers={"X-Error-Code": code, "X-Error-Message": message} if code else {"X-Error-Message": message})


_REFUSED: Mapping[Refusal, _Reply] = {
    "gated": _fault(403, "GatedRepo", "Access to this model is restricted"),
    "forbidden": _fault(403, "", "your token has no right to it"),
}


def _answer(repositories: Mapping[str, Repository], path: str) -> tuple[_Reply, str]:
    """The reply to a path, and the file that it gives."""
    parts = unquote(path).strip("/").split("/")
    is_api = parts[:2] == ["api", "models"]
    owner, name, *rest = parts[2:] if is_api else parts
    found = repositories.get(f"{owner}/{name}")
    if found is None:
        return _fault(401, "RepoNotFound", "Invalid username or password."), ""
    action, revision, *below = [*rest, "revision", "main"][: max(2, len(rest))]
    commit = found.commit(revision)
    if commit is None:
        return _fault(404, "RevisionNotFound", f"Invalid rev id: {revision}"), ""
    if found.refused == "forbidden" or (found.refused and action == "resolve"):
        return _REFUSED[found.refused], ""
    files = found.files(commit)
    if action == "revision":
        return _as_json({"id": f"{owner}/{name}", "sha": commit, "siblings": [{"rfilename": each} for each in sorted(files)]}), ""
    if action == "tree":
        rows = [{"type": "file", "path": each, "size": len(files[each]), "oid": _tag(files[each])} for each in sorted(files)]
        return _as_json(rows), ""
    file = "/".join(below)
    if file not in files:
        return _fault(404, "EntryNotFound", "Entry not found"), ""
    headers = {"ETag": f'"{_tag(files[file])}"', "X-Repo-Commit": commit, "Content-Type": "application/octet-stream"}
    return _Reply(body=files[file], headers=headers), f"{owner}/{name}@{commit}/{file}"


def _tag(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


@contextmanager
def hub(repositories: Mapping[str, Repository]) -> Iterator[Hub]:
    """The Hub for the length of the block; afterwards nothing listens where it was."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._reply(whole=False)

        def do_GET(self) -> None:
            self._reply(whole=True)

        def _reply(self, *, whole: bool) -> None:
            reply, file = _answer(repositories, urlsplit(self.path).path)
            if whole and file:
                running.fetched.append(file)
            self.send_response(reply.status)
            for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if whole:
                self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running = Hub(url=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
