"""What all tests share: one store of a small study that was really run, made when the first test asks for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

# Two processes that compute at once on two cores must not each spin on both.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from programs import STARTED, TINY, Study, ray_study


@pytest.fixture(scope="session")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The tiny study, run once for all tests that read one."""
    storage = tmp_path_factory.mktemp("small_study")
    done = ray_study("run", TINY, store=storage)
    return Study(sweep=TINY, storage=storage, code=done.returncode, output=done.stdout, errors=done.stderr)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_running() -> Iterator[None]:
    yield
    for process in STARTED:
        if process.poll() is None:
            process.kill()
