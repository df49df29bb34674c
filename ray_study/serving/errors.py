"""Errors of Ray and Serve in the words of serving, so that whoever asks needs to know neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.serve.exceptions import RayServeException, ReplicaUnavailableError

from ray_study.ray_cluster import in_words
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
        raise PoolUnavailable(f"the pool failed: {in_words(error)}") from error


Fault = dict[str, Any]
"""An error of ours as plain values, for a row."""

_BY_NAME: dict[str, type[Exception]] = {
    "SwapRefused": SwapRefused,
    "PoolUnavailable": PoolUnavailable,
    "ValueError": ValueError,
}
WHOLE: Fault = {"fault": "", "why": "", "errno": 0}
"""What a row says where nothing went wrong."""


@contextmanager
def faults_as_values(row: Fault) -> Iterator[None]:
    """Writes an error of ours that the block raises into the row, for `raise_fault` on the driver.

    Ray Data wraps what a task raises, and between processes the wrapper loses what it wrapped: only a traceback's text is left.
    """
    row.update(WHOLE)
    try:
        yield
    except _OURS as error:
        name = next((name for name, kind in _BY_NAME.items() if isinstance(error, kind)), "OSError")
        row.update(fault=name, why=getattr(error, "strerror", None) or str(error), errno=getattr(error, "errno", None) or 0)


def raise_fault(row: Mapping[str, Any]) -> None:
    """Raises the error that `faults_as_values` wrote into a row; returns where there was none."""
    if row["fault"] == "OSError":
        raise OSError(int(row["errno"]), row["why"])
    if row["fault"]:
        raise _BY_NAME[row["fault"]](row["why"])


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what caused it: Ray keeps that in an attribute of its own, Ray Data in the usual place."""
    found: BaseException | None = error
    for _ in range(10):
        if found is None:
            return
        yield found
        inner = found.cause if isinstance(found, RayTaskError) else None
        found = inner if isinstance(inner, BaseException) and inner is not found else found.__cause__
