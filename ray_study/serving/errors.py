"""Errors of Ray and Serve in the words of serving, so that whoever asks needs to know neither."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import RayServeException, ReplicaUnavailableError

from ray_study.serving.words import EngineLost, PoolUnavailable, SwapRefused

LOST = (RayActorError, EngineLost, ReplicaUnavailableError)
"""A shard went with its replica; it can be asked again."""

_FOREIGN = (RayError, RayServeException)
_OURS = (SwapRefused, PoolUnavailable, ValueError, OSError)


@contextmanager
def in_our_words() -> Iterator[None]:
    """Whatever Ray or Serve raise in the block comes out as ours.

    Raises:
        SwapRefused: that is what a task or a replica raised, wherever it ran; without the traceback that Ray puts into the message.
        PoolUnavailable: Ray or Serve could not answer, or a task failed in another way.
        ValueError: that is what a task raised.
        OSError: a task could not read or write; with its number, since a full disk ends a study.
    """
    try:
        yield
    except _FOREIGN as error:
        for cause in _causes(error):
            # Ray's wrappers are instances of what they wrap as well.
            if isinstance(cause, _OURS) and not isinstance(cause, RayError):
                raise cause from error
        raise PoolUnavailable(f"the pool failed: {last_line(error)}") from error


def last_line(error: BaseException) -> str:
    """The last line of an error that says something, since Ray puts whole tracebacks into its messages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it: Ray keeps that in an attribute of its own, Ray Data in the usual place."""
    found: BaseException | None = error
    for _ in range(10):
        if found is None:
            return
        yield found
        inner = found.cause if isinstance(found, RayTaskError) else None
        found = inner if isinstance(inner, BaseException) and inner is not found else found.__cause__
