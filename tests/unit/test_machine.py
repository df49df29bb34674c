from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from ray_study import machine


def test_a_machine_is_measured_beside_the_work_and_a_file_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "system" / f"run{machine.SUFFIX}"
    for _ in range(2):
        began = time.time()
        with machine.measured(path, every_seconds=0.05):
            while not path.exists() or len(path.read_text().splitlines()) < 3:
                assert time.time() - began < 60
                time.sleep(0.02)
    rows, end = machine.read(path)
    assert end == path.stat().st_size
    assert len(rows) >= 4
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert abs(rows[-1]["time"] - time.time()) < 60
    for row in rows:
        assert 0 <= row["cpu_utilization_percentage"] <= 100
        assert 0 < row["system_memory_usage_percentage"] <= 100
        assert 0 <= row["disk_usage_percentage"] <= 100
        assert 1 < row["process_memory_megabytes"] < row["system_memory_usage_megabytes"] * 10
    assert machine.read(path, end) == ([], end), "what was read is not read again"


def test_memory_that_a_process_takes_is_in_its_measurements(tmp_path: Path) -> None:
    here = machine.Machine(tmp_path)
    before = here.measure()["process_memory_megabytes"]
    held = bytearray(os.urandom(1_000)) * 100_000
    assert 90 < here.measure()["process_memory_megabytes"] - before < 200, len(held)


def test_half_a_line_is_left_for_the_next_look_and_a_joined_one_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / f"a{machine.SUFFIX}"
    path.write_text('{"time": 1.0, "x": 2.0}\n{"time": 2.0, "x"')
    rows, end = machine.read(path)
    assert [row["time"] for row in rows] == [1.0]
    with path.open("a") as file:
        file.write(json.dumps({"time": 3.0}) + "\n" + json.dumps({"time": 4.0, "x": 1.0}) + "\n")
    assert [row["time"] for row in machine.read(path, end)[0]] == [4.0]


def test_what_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with machine.measured(tmp_path / "file" / "below" / f"a{machine.SUFFIX}", every_seconds=0.01):
        time.sleep(0.1)


def test_a_process_that_is_measured_ends_without_waiting_for_the_next_measurement(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from ray_study import machine\nwith machine.measured(pathlib.Path(sys.argv[1]), every_seconds=1e4): pass"
    )
    path = tmp_path / f"a{machine.SUFFIX}"
    subprocess.run([sys.executable, "-c", program, str(path)], timeout=60, check=True)
    assert len(machine.read(path)[0]) == 1, "the end itself is measured"
