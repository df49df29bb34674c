from __future__ import annotations

import errno

import pytest
from ray.exceptions import RayTaskError, UserCodeException, WorkerCrashedError
from ray.serve._private.common import DeploymentID
from ray.serve.exceptions import DeploymentUnavailableError

from ray_study.serving import PoolUnavailable, SwapRefused
from ray_study.serving.errors import faults_as_values, in_our_words, raise_fault

TRACE = "ray::Replica.answer()\n  File 'replica.py', line 1\nray_study.serving.words.SwapRefused: it is damaged"


def of_a_task(cause: Exception) -> Exception:
    """What `ray.get` raises where a task raised `cause`."""
    return RayTaskError("answer", TRACE, cause).as_instanceof_cause()  # type: ignore[no-any-return]


def heard(raised: Exception) -> Exception:
    with pytest.raises(Exception) as found, in_our_words():  # noqa: PT011 - which one is what the tests look at
        raise raised
    return found.value


@pytest.mark.parametrize("cause", [SwapRefused("it is damaged"), PoolUnavailable("lost again"), ValueError("no template")])
def test_what_a_task_raised_comes_out_itself_without_rays_traceback(cause: Exception) -> None:
    found = heard(of_a_task(cause))
    assert type(found) is type(cause)
    assert str(found) == str(cause)


def test_a_task_that_ray_data_wrapped_is_looked_into() -> None:
    wrapped = UserCodeException("UDF failed to process a data block.")
    wrapped.__cause__ = of_a_task(SwapRefused("it is damaged"))
    assert str(heard(wrapped)) == "it is damaged"


def test_a_full_disk_keeps_its_number() -> None:
    found = heard(of_a_task(OSError(errno.ENOSPC, "No space left on device")))
    assert isinstance(found, OSError)
    assert found.errno == errno.ENOSPC


@pytest.mark.parametrize(
    "raised",
    [
        DeploymentUnavailableError(DeploymentID(name="Replica", app_name="pool")),
        WorkerCrashedError(),
        of_a_task(AssertionError("ours")),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_whatever_else_ray_or_serve_raise_is_a_pool_that_cannot_answer(raised: Exception) -> None:
    assert isinstance(heard(raised), PoolUnavailable)


def test_errors_of_ours_pass() -> None:
    assert str(heard(PoolUnavailable("as it was"))) == "as it was"
    assert isinstance(heard(KeyError("ours")), KeyError)


@pytest.mark.parametrize("error", [SwapRefused("it is damaged"), PoolUnavailable("lost"), ValueError("bad"), OSError(errno.ENOSPC, "full")])
def test_an_error_of_ours_travels_in_a_row_and_comes_out_as_itself(error: Exception) -> None:
    row: dict[str, str | int] = {"name": "shard"}
    with faults_as_values(row):
        raise error
    with pytest.raises(type(error)) as found:
        raise_fault(row)
    assert getattr(found.value, "errno", None) == getattr(error, "errno", None)


def test_a_row_without_a_fault_raises_nothing_and_other_errors_are_not_caught() -> None:
    row: dict[str, str | int] = {}
    with faults_as_values(row):
        pass
    raise_fault(row)
    with pytest.raises(KeyError), faults_as_values(row):
        raise KeyError("ours")
