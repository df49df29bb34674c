"""Programs that a model wrote, run where they can do no harm: bubblewrap's namespaces, limits by prlimit, a filter of system calls.

The program sees the system's libraries and the Python standard library, a temporary directory in memory of its own, and nothing else: no
network, no files of the host, no environment, no other process. It can start no process. What it prints is read up to a bound, and
its whole group is killed at the wall clock. Where this cannot be had `sandbox_fault` says why, and nothing is run.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ray_study.verify import sandbox_tools
from ray_study.verify.sandbox_tools import NOBODY

How = Literal["ended", "time", "output", "broken"]
"""Whether the program ended by itself, was killed at the wall clock or for printing too much, or was never run (the sandbox's fault)."""

WORK = "/w"
"""Where the program's files stand inside, read-only."""

_PRLIMIT = "/usr/bin/prlimit"
_TEMPORARY_BYTES = 64 << 20
_FILE_BYTES = 16 << 20
_ERROR_BYTES = 1 << 16
_MOST_PROCESSES = 64
_MEND = (
    "code is judged in a sandbox or not at all: install bubblewrap (`apt-get install bubblewrap`, or the extra `code` of this package), "
    "pyseccomp with libseccomp2, and util-linux, and allow user namespaces (sysctl user.max_user_namespaces above 0, "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container a profile that permits `unshare`)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a program may use."""

    cpu_seconds: int = 6
    """Processor time of all its threads, start-up included; what takes more is killed by SIGXCPU."""
    wall_seconds: float = 20.0
    """After so long it is killed, whatever it does; with `per_line` from its last line on."""
    per_line: bool = False
    """Whether each line that it prints starts the wall clock anew."""
    memory_bytes: int = 1 << 30
    """Of address space."""
    output_bytes: int = 4 << 20
    """More on standard output, or on standard error beyond what is kept, ends it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a program."""

    how: How
    code: int | None
    """Its exit code, 128 and more for a signal; None where it was killed from outside or never ran."""
    output: bytes
    errors: bytes
    seconds: float

    @property
    def signal(self) -> int:
        """The signal that ended it, or 0."""
        return self.code - 128 if self.code is not None and self.code > 128 else 0


def sandbox_fault() -> str:
    """Empty where programs can be judged on this machine, else what is missing and the mend. Found out by running one."""
    try:
        require_sandbox()
    except RuntimeError as error:
        return str(error)
    return ""


@lru_cache(maxsize=1)
def require_sandbox() -> Path:
    """The bubblewrap that works here, tried once a process; a failure is not kept, since it may have been the machine's for a moment.

    Raises:
        RuntimeError: there is none; the message says why and what to do.
    """
    why = "found no `bwrap`"
    for program in sandbox_tools.bubblewraps():
        why = fault_of(program)
        if not why:
            return program
    raise RuntimeError(f"programs cannot be run safely on this machine: {why}; {_MEND}")


def run(files: Mapping[str, str], *, main: str, given: bytes = b"", limits: Limits | None = None) -> Outcome:
    """What became of the Python program `main` among `files` (names to texts), with `given` on its standard input.

    May be called from many threads at once.

    Raises:
        RuntimeError: there is no sandbox on this machine.
    """
    return _run(require_sandbox(), files, main, given, limits or Limits())


def fault_of(bubblewrap: Path) -> str:
    """Why a sandbox by this `bwrap` does not hold here, or nothing where a trial program ran as it should."""
    if not Path(_PRLIMIT).exists():
        return f"found no {_PRLIMIT}"
    trial = (
        "import os, threading\nseen = []\nthread = threading.Thread(target=seen.append, args=(1,))\nthread.start()\nthread.join()\n"
        "try:\n    os.fork()\nexcept PermissionError:\n    print(os.getuid(), len(seen), os.listdir('/w'))\n"
    )
    try:
        outcome = _run(bubblewrap, {"trial.py": trial}, "trial.py", b"", Limits(wall_seconds=60))
    except (ImportError, OSError) as error:
        return str(error)
    if outcome.output.decode(errors="replace").strip() == f"{NOBODY} 1 ['trial.py']":
        return ""
    said = outcome.errors.decode(errors="replace").strip()[-300:]
    return f"a trial by {bubblewrap} failed ({outcome.how}, exit code {outcome.code}): {said}"


def _run(bubblewrap: Path, files: Mapping[str, str], main: str, given: bytes, limits: Limits) -> Outcome:
    source, prefix, program = sandbox_tools.interpreter()
    status, status_end = os.pipe()
    with contextlib.ExitStack() as open_files:
        open_files.callback(os.close, status)
        filter_file = _in_memory(sandbox_tools.system_call_filter(), open_files)
        # By its descriptor: as root the program is started as another user, who need not reach where bubblewrap lies.
        own = os.open(bubblewrap, os.O_RDONLY)
        open_files.callback(os.close, own)
        texts = {name: _in_memory(text.encode(errors="surrogatepass"), open_files) for name, text in files.items()}
        command = [f"/proc/self/fd/{own}", *_walls(source, prefix), "--seccomp", str(filter_file), "--json-status-fd", str(status_end)]
        # It reads a byte of that and closes it, so that the program does not get it.
        command += ["--block-fd", str(own)]
        for name, descriptor in texts.items():
            command += ["--perms", "0444", "--ro-bind-data", str(descriptor), f"{WORK}/{name}"]
        command += ["--", *_limited(limits), program, "-I", "-S", "-B", "-X", "utf8", f"{WORK}/{main}"]
        as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        try:
            process = subprocess.Popen(
                command,
                stdin=_in_memory(given, open_files),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(own, filter_file, status_end, *texts.values()),
                start_new_session=True,
                cwd="/",
                env={},
                **as_nobody,  # type: ignore[call-overload]
            )
        finally:
            os.close(status_end)
        return _watched(process, status, limits)


def _walls(source: str, prefix: str) -> list[str]:
    return [
        *("--unshare-all", "--unshare-user", "--uid", str(NOBODY), "--gid", str(NOBODY), "--disable-userns", "--cap-drop", "ALL"),
        *("--die-with-parent", "--new-session", "--clearenv", "--setenv", "PATH", "/usr/bin", "--setenv", "HOME", "/tmp"),
        *("--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin"),
        # A prefix below /usr is there already.
        *(() if prefix == "/usr" or (prefix.startswith("/usr/") and source == prefix) else ("--ro-bind", source, prefix)),
        *("--proc", "/proc", "--dev", "/dev", "--size", str(_TEMPORARY_BYTES), "--tmpfs", "/tmp", "--chdir", "/tmp"),
    ]


def _limited(limits: Limits) -> list[str]:
    return [
        *(_PRLIMIT, f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 1}", f"--as={limits.memory_bytes}", f"--fsize={_FILE_BYTES}"),
        *(f"--nproc={_MOST_PROCESSES}", "--nofile=64", "--core=0", "--"),
    ]


def _in_memory(content: bytes, open_files: contextlib.ExitStack) -> int:
    """A descriptor of an unnamed file in memory that holds the content."""
    descriptor = os.memfd_create("sandbox", os.MFD_CLOEXEC)
    open_files.callback(os.close, descriptor)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _watched(process: subprocess.Popen[bytes], status: int, limits: Limits) -> Outcome:
    started = time.monotonic()
    try:
        how, output, errors = _read(process, limits)
        if how == "ended":
            try:
                process.wait(limits.wall_seconds)
            except subprocess.TimeoutExpired:  # it closed its output and goes on
                how = "time"
    finally:
        _kill(process)
    code = _exit_code(status)
    seconds = time.monotonic() - started
    if how == "ended" and code is None:
        how = "broken"
    return Outcome(how=how, code=code if how == "ended" else None, output=output, errors=errors, seconds=seconds)


def _read(process: subprocess.Popen[bytes], limits: Limits) -> tuple[How, bytes, bytes]:
    """All that it prints, until it ends, its time is over or it has printed too much; of its errors the end is kept."""
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors, printed = bytearray(), bytearray(), 0
    deadline = time.monotonic() + limits.wall_seconds
    waiting = select.poll()
    streams = {process.stdout.fileno(): output, process.stderr.fileno(): errors}
    for descriptor in streams:
        waiting.register(descriptor, select.POLLIN | select.POLLHUP)
    while streams:
        remaining = deadline - time.monotonic()
        ready = waiting.poll(remaining * 1000) if remaining > 0 else []
        if not ready:
            return "time", bytes(output), bytes(errors)
        for descriptor, _ in ready:
            chunk = os.read(descriptor, 1 << 16)
            printed += len(chunk)
            streams[descriptor] += chunk
            if not chunk:
                waiting.unregister(descriptor)
                del streams[descriptor]
            elif limits.per_line and b"\n" in chunk and descriptor == process.stdout.fileno():
                deadline = time.monotonic() + limits.wall_seconds
        del errors[:-_ERROR_BYTES]
        if printed > limits.output_bytes:
            return "output", bytes(output), bytes(errors)
    return "ended", bytes(output), bytes(errors)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends bubblewrap's group; the kernel then ends all that lives in its namespace of processes."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for stream in (process.stdout, process.stderr):
        assert stream is not None
        stream.close()


def _exit_code(status: int) -> int | None:
    """The program's exit code as bubblewrap tells it; None where it was never started or bubblewrap was killed."""
    told = b""
    while chunk := os.read(status, 1 << 12):
        told += chunk
    for line in told.splitlines():
        with contextlib.suppress(ValueError):
            facts = json.loads(line)
            if "exit-code" in facts:
                return int(facts["exit-code"])
    return None
