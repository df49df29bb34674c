"""Which items flipped between two checkpoints: the flip browser, pages of its own beside the report's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ray_study.analyze.flip_pages import write_flips
from ray_study.analyze.page.content import Content, Material


def flips(material: Material) -> Content:
    """The browser's counts, once its pages are written."""
    return Content(values={"index": None}, write=partial(_write, material))


def _write(material: Material, report: Path) -> tuple[Mapping[str, Any], list[str]]:
    index = write_flips(report, material.study, material.changes)
    return {"index": index}, list(index.files)
