"""One driver for each role of a store: a claim holds host, process, its start time and a heartbeat.

A claim is dead when its process is gone (same host), or when its heartbeat is older than a minute. Readers need none. A driver whose
claim was taken over, or whose heart could not beat for so long that it may have been, writes nothing more.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from ray_study.store import Store

log = logging.getLogger(__name__)

ROLES = ("train", "evaluate")
DEAD_AFTER_SECONDS = 60.0
BEAT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class _Heart:
    beat_seconds: float
    dead_after_seconds: float


@contextmanager
def claim(store: Store, *roles: str, beat_seconds: float = BEAT_SECONDS, dead_after_seconds: float = DEAD_AFTER_SECONDS) -> Iterator[None]:
    """Holds the roles (`train`, `evaluate`) of a store while the block runs; when one is lost, the store refuses to be written.

    Raises:
        ValueError: another living driver holds one of them; it is named.
    """
    with ExitStack() as stack:
        for role in roles:
            stack.enter_context(_claim_one(store, role, _Heart(beat_seconds, dead_after_seconds)))
        store.lose("")
        yield


@contextmanager
def _claim_one(store: Store, role: str, heart: _Heart) -> Iterator[None]:
    name = f"claims/{role}.json"
    token = uuid.uuid4().hex
    _take(store, role, name, token)
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(store, role, token, stop, heart), daemon=True)
    beat.start()
    try:
        yield
    finally:
        stop.set()
        beat.join()
        _release(store, role, token)


def _release(store: Store, role: str, token: str) -> None:
    name = f"claims/{role}.json"
    with alone(store, role):
        # Whoever took the role over after a long sleep of this machine keeps it.
        if (store.read_json(name) or {}).get("token") == token:
            store.write_claim(name, {"released": True})


@contextmanager
def alone(store: Store, what: str) -> Iterator[None]:
    """No other process of this store is in such a block of the same name meanwhile; object stores have no lock."""
    if not store.is_local:
        yield
        return
    Path(store.path("claims")).mkdir(parents=True, exist_ok=True)
    with FileLock(store.path(f"claims/{what}.lock")):
        yield


def _take(store: Store, role: str, name: str, token: str) -> None:
    with alone(store, role):
        _refuse_if_held(store, role, name)
        store.write_claim(name, _mine(token))
    if store.is_local:
        return
    # Without a lock: wait for a rival's write to show, and look who was last.
    time.sleep(2.0)
    if store.read_json(name).get("token") != token:
        _refuse_if_held(store, role, name)


def _refuse_if_held(store: Store, role: str, name: str) -> None:
    held = store.read_json(name)
    if held is not None and not held.get("released") and is_alive(held):
        raise ValueError(
            f"another driver (process {held['process']} on {held['host']}, since {held['since']}) has the role {role!r} of {store.root}; "
            "wait for it, or stop it and run again: nothing that is stored is lost"
        )


def _mine(token: str) -> dict[str, Any]:
    process = os.getpid()
    return {
        "token": token,
        "host": socket.gethostname(),
        "process": process,
        "process_started": _process_started(process),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        "heartbeat": time.time(),
    }


def is_alive(held: dict[str, Any]) -> bool:
    """Whether the driver of a claim still lives: its process on this host, its heartbeat anywhere else."""
    # Where the system has no /proc, the heartbeat has to do.
    if held["host"] == socket.gethostname() and held["process_started"] is not None:
        return bool(_process_started(held["process"]) == held["process_started"])
    return time.time() - float(held["heartbeat"]) < DEAD_AFTER_SECONDS


def _process_started(process: int) -> str | None:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return None
    fields = stat.rsplit(")", 1)[1].split()
    # Field 22 of proc(5), counted after the command's name, is the start time; a zombie has ended.
    return None if fields[0] == "Z" else fields[19]


def _beat(store: Store, role: str, token: str, stop: threading.Event, heart: _Heart) -> None:
    last = time.monotonic()
    while not stop.wait(heart.beat_seconds):
        try:
            taken = _beat_once(store, role, token)
        # A damaged file is a ValueError; what cannot be reached for a moment may be there again at the next beat.
        except (OSError, ValueError) as error:
            silent = time.monotonic() - last
            log.warning("the claim on the role %r of %s could not be renewed for %.0f s: %s", role, store.root, silent, error)
            taken = f"the claim could not be renewed for {silent:.0f} s ({error}), so another driver may hold it"
            if silent < heart.dead_after_seconds - 2 * heart.beat_seconds:
                continue
        if taken:
            store.lose(f"the role {role!r} of {store.root} is lost: {taken}; this driver stops, what it stored stays: run again to go on")
            log.error("the role %r of %s is lost: %s", role, store.root, taken)
            return
        last = time.monotonic()


def _beat_once(store: Store, role: str, token: str) -> str:
    """Renews a claim, or says who holds the role instead."""
    name = f"claims/{role}.json"
    with alone(store, role):
        held = store.read_json(name)
        if held is None or held.get("token") != token:
            return f"process {held['process']} on {held['host']} took it over" if held and "process" in held else "its claim was deleted"
        store.write_claim(name, {**held, "heartbeat": time.time()})
    return ""


def is_held(store: Store, role: str) -> bool:
    """Whether a living driver has the role."""
    return bool(holder(store, role))


def holder(store: Store, role: str) -> str:
    """The token of the claim that a living driver has on the role; empty where nobody has it."""
    held = store.read_json(f"claims/{role}.json")
    return str(held["token"]) if held is not None and not held.get("released") and is_alive(held) else ""


def describe(store: Store) -> list[str]:
    """Who holds which role now, as sentences."""
    lines = []
    for role in ROLES:
        held = store.read_json(f"claims/{role}.json")
        if is_held(store, role):
            lines.append(f"{role}: process {held['process']} on {held['host']} since {held['since']}")
    return lines
