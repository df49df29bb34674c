"""Figures are laid out and written by a process beside the one that makes them: that is most of a report's time.

The process is this module run by itself: it reads pickled figures from its standard input, which nobody but its parent can write to.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ray_study.analyze.plots import paths_of, save

log = logging.getLogger(__name__)


class Press:
    """Writes figures while the block goes on; every file is there when it has ended without an error."""

    def __init__(self) -> None:
        self._asked: list[tuple[Figure, Path, str]] = []
        self._sent: list[Future[None]] = []
        # One that takes its time must not stop who draws the next figure.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="press")
        self._process: subprocess.Popen[bytes] | None = None
        # A file, and not a pipe: nobody would read that one while it fills.
        self._said = TemporaryFile()  # noqa: SIM115 - closed when the block ends

    def __enter__(self) -> Self:
        """Starts the process, so that what it imports is there when the first figure comes."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen([sys.executable, "-m", __name__], stdin=subprocess.PIPE, stderr=self._said, env=environment)
        return self

    def save(self, figure: Figure, directory: Path, name: str) -> list[Path]:
        """The PNG and the SVG that will be there of a figure, which nobody changes any more."""
        self._asked.append((figure, Path(directory), name))
        self._sent.append(self._thread.submit(self._send, pickle.dumps((figure, str(directory), name))))
        return paths_of(Path(directory), name)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Waits for the process. Where it did not do its work, this one does it."""
        assert self._process is not None
        if kind is not None:
            self._process.kill()
        self._thread.shutdown(cancel_futures=kind is not None)
        self._process.communicate()
        with self._said:
            self._said.seek(0)
            said = self._said.read().decode(errors="replace")
        if kind is None and (self._process.returncode or any(sent.exception() for sent in self._sent)):
            log.warning("the process that writes figures failed, so they are written here: %s", said[-400:].strip())
            for asked in self._asked:
                save(*asked)

    def _send(self, figure: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(len(figure).to_bytes(8, "big") + figure)
        self._process.stdin.flush()


def _work(source: IO[bytes]) -> None:
    """Writes what comes until nothing comes any more."""
    while head := source.read(8):
        figure: Any
        figure, directory, name = pickle.loads(source.read(int.from_bytes(head, "big")))
        FigureCanvasAgg(figure)
        save(figure, Path(directory), name)


if __name__ == "__main__":
    _work(sys.stdin.buffer)
