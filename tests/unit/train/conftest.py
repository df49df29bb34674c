from __future__ import annotations

from pathlib import Path

import pytest
from tiny_run import SCRATCH, Bench, sums

from ray_study import tables
from ray_study.config import Model
from ray_study.model_files import prepare
from ray_study.rows import Example


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A scratch model and 40 examples."""
    base = prepare(Model(scratch=SCRATCH, dtype="float32"), "tiny", tmp_path)
    tables.write(sums(40), tmp_path / "examples" / "all.parquet", Example)
    return Bench(root=tmp_path, base=str(base), examples=str(tmp_path / "examples"))
