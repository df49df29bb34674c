"""A tiny model, some examples, and runs of them: what the tests of training share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ray_study import tables
from ray_study.config import Model, Scratch, Training
from ray_study.model_files import prepare
from ray_study.rows import Example
from ray_study.train.loop import Task

SCRATCH = Scratch(hidden_size=32, num_layers=2, num_heads=1, intermediate_size=64, positions=256)


def sums(number: int) -> list[Example]:
    """Examples of different lengths."""
    rows = []
    for index in range(number):
        left, right = index * 37 % 991, index * 101 % 97
        thought = "<think>" + "again " * (index % 5) + f"{left} and {right}</think>"
        rows.append(Example(problem_id=f"p{index}", prompt=f"What is {left} + {right}?", response=f"{thought}{left + right}", num_tokens=0))
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A tiny model and some examples on disk."""

    root: Path
    base: str
    examples: str

    def task(self, name: str, training: Training, *, steps: Sequence[int], seed: int = 0, resume_seconds: float = 1e9) -> Task:
        """A run of its own directory."""
        (self.root / name).mkdir(exist_ok=True)
        return Task(
            run=name,
            seed=seed,
            base=self.base,
            examples=self.examples,
            steps=tuple(steps),
            training=training,
            directory=str(self.root / name),
            num_threads=1,
            resume_seconds=resume_seconds,
            trust_remote_code=False,
        )


def make_bench(root: Path) -> Bench:
    """A scratch model and 40 examples in a directory."""
    base = prepare(Model(scratch=SCRATCH, dtype="float32"), "tiny", root)
    tables.write(sums(40), root / "examples" / "all.parquet", Example)
    return Bench(root=root, base=str(base), examples=str(root / "examples"))
