"""Trap V1: math-verify's own timeout fails outside the main thread and every answer scores zero. Ours does not."""

from __future__ import annotations

import os
from pathlib import Path

import nbclient
import nbformat
import pytest
import ray

from ray_study.verify import judge

pytestmark = pytest.mark.slow

PAIRS = [("1/2", "0.5"), (r"\sqrt{8}", r"2\sqrt{2}"), ("x+y", "x-y"), ("[1,2)", "(1,2)"), (r"\{1,2\}", r"\{2,1\}"), ("1", r"9^{9^{9^9}}")]
EXPECTED = ["correct", "correct", "wrong", "wrong", "correct", "unjudged"]
ROOT = str(Path(__file__).resolve().parents[3])


class Grader:
    def verdicts(self) -> list[str]:
        found = [judge("math", rf"\boxed{{{answer}}}", gold, timeout_seconds=4).verdict for gold, answer in PAIRS]
        return ["unjudged" if verdict in ("timeout", "error") else verdict for verdict in found]


class AsynchronousGrader:
    async def verdicts(self) -> list[str]:
        return Grader().verdicts()


def test_v1_a_ray_task_actors_of_every_sort_and_the_main_process_agree() -> None:
    path = os.pathsep.join([ROOT, str(Path(__file__).parent)])
    ray.init(address="local", num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": path}})
    try:
        asked = [ray.remote(num_cpus=0)(lambda: Grader().verdicts()).remote()]
        threaded = ray.remote(num_cpus=0, max_concurrency=2)(Grader).remote()
        asked += [threaded.verdicts.remote(), threaded.verdicts.remote()]
        asynchronous = ray.remote(num_cpus=0)(AsynchronousGrader).remote()
        asked += [asynchronous.verdicts.remote()]
        found = ray.get(asked, timeout=300)
    finally:
        ray.shutdown()
    assert Grader().verdicts() == EXPECTED
    assert found == [EXPECTED] * 4


def test_a_notebook_cell_gets_its_verdict(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell(
        f"import sys; sys.path.insert(0, {ROOT!r})\n"
        "from ray_study.verify import judge\nprint(judge('math', r'\\boxed{0.5}', '1/2').verdict)"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    client = nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert [output["text"].strip() for output in notebook.cells[0].outputs] == ["correct"]
