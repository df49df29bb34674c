"""An OpenAI-compatible server as a teacher: one request an attempt, tried again while the server is busy or away.

The key is in the header of a request and in nothing else: no record, log line, error or argument of a task holds it.
"""

from __future__ import annotations

import email.utils
import http.client
import json
import logging
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ray_study.config import Endpoint
from ray_study.generate.asking import Asking
from ray_study.generate.chat_completion import BadReply, Usage, fault_of, path_of, payload, refused_attempt, reply_attempt, usage_of
from ray_study.rows import Attempt, Problem

log = logging.getLogger(__name__)

MOST_TRIES = 10
"""Of one request; with the waits between them, some four minutes."""

MOST_WAIT_SECONDS = 60.0
"""Between two tries, where the server does not say how long."""

MOST_SAID_SECONDS = 900.0
"""A server that asks for a longer pause is asked again after this one."""

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_REFUSED = frozenset({400, 413, 422})


class EndpointUnavailable(RuntimeError):
    """The server was away, busy or talked nonsense, again and again; shards that are whole stay."""


class TryFailed(RuntimeError):
    """One try that brought no attempt, for a reason that may pass."""

    def __init__(self, fault: str, *, billed: Usage | None, said_seconds: float | None = None) -> None:
        """Says what went wrong.

        Args:
            fault: in words.
            billed: the tokens that a provider may bill all the same, as far as it said; None where nothing is billed, since the request
                never went out whole, or was answered by the status of a server that is busy or broken.
            said_seconds: how long the server asks to wait.
        """
        super().__init__(fault)
        self.billed = billed
        self.said_seconds = said_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """A request that the server understood and will not answer."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """An attempt and what it took."""

    attempt: Attempt
    usage: Usage
    """None of it where the server refused the request."""


Once = Callable[[Callable[[], Answered]], Answered]
"""What makes one try: it calls what it is given and hands on what comes back or is raised; whoever pays counts there."""


def _once(ask: Callable[[], Answered]) -> Answered:
    return ask()


def key_of(variable: str | None) -> str | None:
    """The key in an environment variable, which is not named in any message with its value.

    Raises:
        ValueError: it is not set.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise ValueError(f"endpoint.key_from names {variable}, which is not set here; export {variable} before the study is run")
    return key


class Server:
    """An endpoint that is asked, from its first request until `stop`."""

    requests_at_once: int

    def __init__(self, endpoint: Endpoint, *, key: str | None, first_wait_seconds: float = 1.0) -> None:
        """Sends nothing yet.

        Args:
            endpoint: where the server is, and which of its models answers.
            key: sent as a bearer token.
            first_wait_seconds: before the second try; doubled for each further one.

        Raises:
            ValueError: the key cannot be a header's value.
        """
        check_key(endpoint, key)
        self.requests_at_once = endpoint.requests_at_once
        self.name = endpoint.public_url
        self._endpoint, self._key = endpoint, key
        self._first_wait_seconds = first_wait_seconds
        self._stopped = threading.Event()
        self._opener = urllib.request.build_opener(NoRedirect)

    def attempt(self, problem: Problem, sample: int, asking: Asking) -> Attempt:
        """The server's answer, as `answered` gives it, without what it cost."""
        return self.answered(problem, sample, asking).attempt

    def answered(self, problem: Problem, sample: int, asking: Asking, once: Once = _once) -> Answered:
        """The server's answer and the tokens that it took; one that it refuses to be asked is an attempt with its reason.

        Args:
            problem: what is asked.
            sample: which of its attempts.
            asking: how.
            once: makes each try; what it raises, but `TryFailed`, ends them.

        Raises:
            EndpointUnavailable: it failed again and again.
            ValueError: it takes no request of ours: the address, the key, the model or a field is wrong.
        """
        body = payload(problem, sample, asking, self._endpoint.model)
        fault = ""
        for number in range(MOST_TRIES):
            if self._stopped.is_set():
                raise EndpointUnavailable(f"{self.name}: not asked any more, since another request failed")
            try:
                return once(partial(self._try, body, problem, sample, asking))
            except TryFailed as error:
                fault, said = self._clean(str(error)), error.said_seconds
            log.warning("%s: try %d of %d failed (%s)", self.name, number + 1, MOST_TRIES, fault)
            if number + 1 < MOST_TRIES:
                self._stopped.wait(self._pause(number, said, body["seed"]))
        raise EndpointUnavailable(
            f"{self.name} failed {MOST_TRIES} times, at last with {fault}; shards that are whole are kept. Look at the server, "
            "lower endpoint.requests_at_once or raise endpoint.timeout_seconds, and run again"
        )

    def stop(self) -> None:
        """Whoever waits to try again gives up."""
        self._stopped.set()

    def _try(self, body: dict[str, Any], problem: Problem, sample: int, asking: Asking) -> Answered:
        """The answer to one request.

        Raises:
            TryFailed: it brought none, and another may.
            ValueError: as in `answered`.
        """
        start = time.monotonic()
        reply = self._post(body, path_of(asking))
        if isinstance(reply, _Refusal):
            refused = refused_attempt(reply.why, problem, sample, asking, self._endpoint.model)
            return Answered(attempt=refused, usage=Usage(input_tokens=0, output_tokens=0))
        try:
            attempt = reply_attempt(reply, problem, sample, asking, self._endpoint.model)
        except BadReply as error:
            raise TryFailed(str(error), billed=usage_of(reply)) from error
        return Answered(attempt=replace(attempt, seconds=time.monotonic() - start), usage=usage_of(reply))

    def _post(self, body: dict[str, Any], path: str) -> object:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "ray-study"}
        request = urllib.request.Request(address(self._endpoint.url, path), data=json.dumps(body).encode(), headers=headers, method="POST")
        if self._key is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self._key}")
        try:
            with self._opener.open(request, timeout=self._endpoint.timeout_seconds) as reply:
                raw = reply.read()
        except urllib.error.HTTPError as error:
            with error:
                return self._no(error)
        except urllib.error.URLError as error:
            # So comes what fails before the whole body is sent: the connection was refused, or broke.
            raise TryFailed(f"{type(error).__name__}: {error}", billed=None) from error
        except (OSError, http.client.HTTPException) as error:
            raise TryFailed(f"{type(error).__name__}: {error}", billed=usage_of(None)) from error
        try:
            return json.loads(raw)
        except ValueError as error:
            raise TryFailed(f"an answer that is not JSON: {raw[:120]!r}", billed=usage_of(None)) from error

    def _no(self, error: urllib.error.HTTPError) -> _Refusal:
        """The refusal of one request.

        Raises:
            TryFailed: the server is busy.
            ValueError: it takes no request of ours.
        """
        status, text = error.code, self._text(error)
        if status in _AGAIN:
            raise TryFailed(f"status {status}: {text}", billed=None, said_seconds=_retry_after(error))
        if status not in _REFUSED:
            raise ValueError(self._cannot(status, text)) from None
        if fault := fault_of(text):
            raise ValueError(f"{self.name} refused a request with status {status}: {text}. {fault}") from None
        return _Refusal(why=f"the server refused it with status {status}: {text}")

    def _cannot(self, status: int, text: str) -> str:
        if status in (401, 403):
            # What a server says about a key may hold the key.
            key = self._endpoint.key_from
            mend = f"the key in {key} is not accepted" if key else "name the variable that holds a key, as in `key_from: TEACHER_KEY`"
            return f"{self.name} answered with status {status}: {mend}"
        if 300 <= status < 400:
            return f"{self.name} points elsewhere (status {status}); a key is not taken there: set endpoint.url to where it points"
        return f"{self.name} answered with status {status}: {text}; check endpoint.url, which ends in /v1, and endpoint.model"

    def _pause(self, number: int, said: float | None, seed: int) -> float:
        if said is not None:
            return min(said, MOST_SAID_SECONDS)
        # Requests that failed together do not come back together.
        return min(self._first_wait_seconds * 2.0**number, MOST_WAIT_SECONDS) * (1 + seed % 101 / 200)

    def _text(self, error: urllib.error.HTTPError) -> str:
        try:
            raw = error.read(65536).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            return "no reason given"
        try:
            found = json.loads(raw)
            inner = found.get("error", found.get("message", found.get("detail", found)))
            raw = str(inner.get("message", inner) if isinstance(inner, dict) else inner)
        except (ValueError, AttributeError):
            pass
        return self._clean(raw)

    def _clean(self, text: str) -> str:
        if self._key is not None:
            text = text.replace(self._key, "[key]")
        return " ".join(text.split())[:400] or "no reason given"


def check_key(endpoint: Endpoint, key: str | None) -> None:
    """Nothing, where the key can be a header's value; ValueError otherwise, which does not show it."""
    if key is not None and not (key.isascii() and key.isprintable() and key):
        # http.client would say so too, and show it.
        raise ValueError(f"the key in {endpoint.key_from} is empty or has characters that no header may hold; set it again, on one line")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would take the key to another host."""

    def redirect_request(self, *_: Any) -> None:
        """Nothing: the redirect comes back as an error."""


def address(url: str, path: str) -> str:
    """The address of something below a server's own, with what that asks for behind a `?`."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{path}", parts.query, ""))


def _retry_after(error: urllib.error.HTTPError) -> float | None:
    """Seconds that the server asks to wait, as a number or as a date; None where it does not say."""
    value = error.headers.get("Retry-After") if error.headers else None
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
