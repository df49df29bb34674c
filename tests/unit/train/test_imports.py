from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ray_study.manifests import MANIFEST
from ray_study.train.imports import ONLY_FOR_ZERO, UNUSED, unseen


def test_a_library_is_not_there_inside_the_block_and_there_afterwards() -> None:
    assert "wave" not in sys.modules, "the test needs a module that nobody imports"
    with unseen("wave", "json"):
        assert importlib.util.find_spec("wave") is None
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("wave")
        # One that is imported already is left alone.
        assert importlib.util.find_spec("json") is not None
    assert importlib.import_module("wave").open


_RUN = """
import sys, torch
from pathlib import Path
from ray_study.train.imports import ONLY_FOR_ZERO, UNUSED, unseen
with unseen(*ONLY_FOR_ZERO):
    with unseen(*UNUSED):
        from ray_study.train import loop
    from tiny_run import make_bench
    from ray_study.config import Training
    from ray_study.train.parallel import here
    bench = make_bench(Path(sys.argv[1]))
    loop.train(bench.task("run", Training(steps=1, batch_size=8, max_length=200), steps=(1,)), here(torch.device("cpu")))
print(sorted(name for name in (*UNUSED, *ONLY_FOR_ZERO) if sys.modules.get(name)))
"""


@pytest.mark.slow
def test_a_run_by_plain_torch_imports_nothing_of_what_it_never_uses_up_to_its_saved_checkpoint(tmp_path: Path) -> None:
    assert all(importlib.util.find_spec(name) for name in (*UNUSED, *ONLY_FOR_ZERO)), "nobody would look for what is not installed"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    done = subprocess.run([sys.executable, "-c", _RUN, str(tmp_path)], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "run" / "step-000001" / MANIFEST).is_file()
