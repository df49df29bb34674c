"""What a machine is doing, measured every few seconds beside the work and written to a file that others read: one JSON object a line.

The names are those of MLflow's own system metrics. MLflow's monitor is not used: it would have each node write to the tracking store,
which may be a SQLite file, and wait for it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

log = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
DIRECTORY = "system"
"""In a store: what its drivers measured of the cluster's nodes. What a run's workers measured lies in the run's own directory."""
SUFFIX = ".system.jsonl"
"""Files of measurements end so; before it stands whose they are."""


class Machine:
    """This node: processors, memory, disk, network, and GPUs where NVIDIA's library is there."""

    def __init__(self, directory: Path) -> None:
        """Begins to measure.

        Args:
            directory: on the disk that fills up.
        """
        self._directory = directory
        self._process = psutil.Process()
        self._gpus = _nvidia()
        psutil.cpu_percent()
        self._process.cpu_percent()
        network = psutil.net_io_counters()
        self._begin = (network.bytes_recv, network.bytes_sent) if network is not None else None

    def measure(self) -> dict[str, float]:
        """What the node does now. Shares are in percent and since the last time; network since the beginning; a megabyte is 1e6 bytes."""
        memory, disk, own = psutil.virtual_memory(), psutil.disk_usage(str(self._directory)), self._process
        found = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / 1e6,
            "system_memory_usage_percentage": memory.percent,
            "disk_usage_megabytes": disk.used / 1e6,
            "disk_usage_percentage": disk.percent,
            "disk_available_megabytes": disk.free / 1e6,
            "process_memory_megabytes": own.memory_info().rss / 1e6,
            # Of one core.
            "process_cpu_percentage": own.cpu_percent(),
        }
        network = psutil.net_io_counters()
        if network is not None and self._begin is not None:
            found["network_receive_megabytes"] = (network.bytes_recv - self._begin[0]) / 1e6
            found["network_transmit_megabytes"] = (network.bytes_sent - self._begin[1]) / 1e6
        return {**found, **(_gpus(self._gpus) if self._gpus is not None else {})}


def _nvidia() -> Any:
    """NVIDIA's management library, at work; None where it or a GPU is not there. It comes with GPU builds only."""
    try:
        library = importlib.import_module("pynvml")
        library.nvmlInit()
    except Exception:  # noqa: BLE001 - the library raises its own errors, which cannot be named where it is not installed
        return None
    return library


def _gpus(library: Any) -> dict[str, float]:
    """The use of each GPU of the node; what a GPU does not tell, as a part of one may not, is not there."""
    found: dict[str, float] = {}
    for number in range(library.nvmlDeviceGetCount()):
        with contextlib.suppress(library.NVMLError):
            device = library.nvmlDeviceGetHandleByIndex(number)
            memory = library.nvmlDeviceGetMemoryInfo(device)
            found[f"gpu_{number}_memory_usage_megabytes"] = memory.used / 1e6
            found[f"gpu_{number}_memory_usage_percentage"] = 100 * memory.used / memory.total
            found[f"gpu_{number}_power_usage_watts"] = library.nvmlDeviceGetPowerUsage(device) / 1e3
            found[f"gpu_{number}_utilization_percentage"] = float(library.nvmlDeviceGetUtilizationRates(device).gpu)
    return found


@contextlib.contextmanager
def measured(path: Path, *, every_seconds: float = EVERY_SECONDS) -> Iterator[None]:
    """This node is measured while the block runs, from a thread of its own, and once more at its end; work never waits for it.

    A file that is there goes on. What cannot be measured or written is said once in the log, and ends nothing.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_measure, args=(path, every_seconds, stop), name="machine", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=1.0)


def _measure(path: Path, every_seconds: float, stop: threading.Event) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        machine = Machine(path.parent)
        over = False
        while not over:
            over = stop.wait(every_seconds)
            row = {"time": round(time.time(), 3), **{key: round(value, 3) for key, value in machine.measure().items()}}
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
    # A disk that is full, or a store that was taken away: the work itself will say so.
    except (OSError, psutil.Error) as error:
        log.warning("the machine is not measured any more: %s", error)


def read(path: Path, offset: int = 0) -> tuple[list[Mapping[str, float]], int]:
    """The measurements of a file from a place on, whole lines alone, and the place where the next ones begin."""
    with path.open("rb") as file:
        file.seek(offset)
        whole = file.read().rpartition(b"\n")[0]
    rows = []
    for line in whole.splitlines():
        # One that was killed while it wrote leaves half a line, to which the next attempt's first is joined.
        with contextlib.suppress(ValueError):
            rows.append(json.loads(line))
    return rows, offset + (len(whole) + 1 if whole else 0)
