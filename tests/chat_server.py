"""A real HTTP server of chat completions, in a thread of the test; what it says is a function of the request."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the server answers."""

    body: object = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait_seconds: float = 0.0
    raw: bytes | None = None


@dataclass(kw_only=True)
class ChatServer:
    """A running server and what it was asked, in the order of arrival."""

    url: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def seeds(self) -> set[int]:
        return {body["seed"] for body in self.asked}


def completion(text: str, *, finish_reason: str = "stop", num_tokens: int = 3, **message: str) -> dict[str, Any]:
    """A chat completion as vLLM and others send it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "teacher-1",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 9, "completion_tokens": num_tokens, "total_tokens": 9 + num_tokens},
    }


Answer = Callable[[dict[str, Any], int], Said]
"""(the request's body, how many came before it) -> what is said."""


def no_list(path: str, headers: Mapping[str, str]) -> Said:
    """A server that says nothing of its models."""
    return Said(status=404, body={})


@contextmanager
def serving(answer: Answer, told: Callable[[str, Mapping[str, str]], Said] = no_list) -> Iterator[ChatServer]:
    """The server for the length of the block; `told` says what a path gives that is only read, such as the list of models."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                before = len(found.asked)
                found.asked.append({**body, "path": self.path})
                found.headers.append(dict(self.headers))
            self._say(answer(body, before))

        def do_GET(self) -> None:
            self._say(told(self.path, dict(self.headers)))

        def _say(self, said: Said) -> None:
            found.closing.wait(said.wait_seconds)
            raw = said.raw if said.raw is not None else json.dumps(said.body).encode()
            try:
                self.send_response(said.status)
                for key, value in {"Content-Length": str(len(raw)), **said.headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(raw)
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = ChatServer(url=f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
