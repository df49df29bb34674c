"""What it took until replicas served a checkpoint: kept beside its answers, since a pool that mostly drains and swaps is badly cut."""

from __future__ import annotations

from collections.abc import Sequence

from ray_study import tables
from ray_study.serving import Reply, Turn
from ray_study.store import Workspace

_DIRECTORY = "turns"


def write_turn(workspace: Workspace, shard: str, replies: Sequence[Reply]) -> list[Turn]:
    """What a shard waited for until its checkpoint was loaded, written beside the rows; nothing where it was loaded already."""
    turns = [reply.turn for reply in replies[:1] if reply.turn is not None]
    if turns:
        workspace.write_beside_rows(f"{_DIRECTORY}/{shard}", turns, Turn)
    return turns


def turns_of(workspace: Workspace) -> list[Turn]:
    """Every load of a checkpoint that its answers in this workspace waited for."""
    path = f"{workspace.path}/{_DIRECTORY}"
    return tables.read(path, Turn) if tables.names(path) else []


def in_words(turns: Sequence[Turn]) -> str:
    """The loads of a checkpoint as a sentence."""
    drained = sum(turn.drained_seconds for turn in turns)
    loaded = sum(turn.loaded_seconds for turn in turns)
    attested = sum(turn.attested_seconds for turn in turns)
    num_starts = sum(turn.num_starts for turn in turns)
    times = "once" if len(turns) == 1 else f"{len(turns)} times"
    anew = f", engines started anew: {num_starts}" if num_starts else ""
    return f"loaded {times}: {drained:.1f} s until others were answered, {loaded:.1f} s to load, {attested:.1f} s to attest{anew}"
