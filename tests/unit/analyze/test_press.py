from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from ray_study.analyze import press
from ray_study.analyze.plots import new_figure, save
from ray_study.analyze.press import Press


def figure(title: str) -> Figure:
    found = new_figure(3, 2)
    axes = found.add_subplot()
    axes.plot([0, 1, 2], [0.1, 0.4, 0.2], label=title)
    axes.set_title(title)
    return found


def test_figures_are_written_beside_and_are_those_that_would_be_written_here(tmp_path: Path) -> None:
    with Press() as beside:
        paths = [path for name in ("one", "two") for path in beside.save(figure(name), tmp_path / "beside", name)]
    expected = [path for name in ("one", "two") for path in save(figure(name), tmp_path / "here", name)]
    assert [path.name for path in paths] == ["one.png", "one.svg", "two.png", "two.svg"]
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in expected]


def test_where_the_process_fails_the_figures_are_there_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho it was killed >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with caplog.at_level(logging.WARNING, press.__name__), Press() as beside:
        paths = [path for name in ("one", "two") for path in beside.save(figure(name), tmp_path, name)]
    assert all(path.stat().st_size > 1000 for path in paths)
    assert "it was killed" in caplog.text


def test_what_goes_wrong_while_drawing_is_raised_and_nothing_is_left_running(tmp_path: Path) -> None:
    beside = Press()

    def draw() -> None:
        with beside:
            beside.save(figure("one"), tmp_path, "one")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        draw()
    assert beside._process is not None
    assert beside._process.poll() is not None
