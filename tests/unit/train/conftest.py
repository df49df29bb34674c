from __future__ import annotations

from pathlib import Path

import pytest
from tiny_run import Bench, make_bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A scratch model and 40 examples."""
    return make_bench(tmp_path)
