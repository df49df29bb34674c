"""Each result made once, in a directory named by what made it, its record written last.

`STORAGE/STUDY_NAME/STAGE-FINGERPRINT/` holds `rows/*.parquet` and `record.json`. A directory without a record is unfinished: it
is made again, keeping whatever whole shards it has. What a result was made *from* is stored with it, so that remaking a sampled
input remakes what follows.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pyarrow import fs as pafs

from ray_study import tables
from ray_study.manifests import digest
from ray_study.provenance import git_commit, package_versions

Row = TypeVar("Row")

FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A finished result: where it is, what identifies it, and when it was made."""

    stage: str
    path: str
    fingerprint: str
    made: str
    """Unique to this making: what follows remembers it."""
    record: Mapping[str, Any]

    def rows(self, row_type: type[Row]) -> list[Row]:
        """The rows of the result, in the order of its shards."""
        return tables.read(f"{self.path}/rows", row_type)

    def stream(self, row_type: type[Row]) -> Iterator[Row]:
        """The rows in the same order, without holding them all."""
        return tables.stream(f"{self.path}/rows", row_type)


def outside(name: str, mark: str) -> Result:
    """A source that lies outside the store, such as a local file: when `mark` changes, what follows is made again."""
    return Result(stage="outside", path="", fingerprint=name, made=mark, record={})


class ClaimLost(ValueError):
    """Another driver may work on this store by now, so this one may write nothing more."""


def _nobody_else() -> None:
    """Returns: who did not claim the store has no claim to lose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The unfinished directory of a result: shards go in one by one, and stay when the driver dies."""

    path: str
    check: Callable[[], None] = _nobody_else
    """Raises where the store is not ours to write any more."""

    def shards(self) -> frozenset[str]:
        """Names of the shards that are whole."""
        return frozenset(tables.names(f"{self.path}/rows"))

    def keep(self, names: Iterable[str]) -> None:
        """Deletes whole shards that are not named: what a run that cut the work otherwise has left in an unfinished result."""
        for name in self.shards() - frozenset(names):
            filesystem, target = tables.locate(f"{self.path}/rows/{name}.parquet")
            filesystem.delete_file(target)

    def write(self, name: str, rows: Iterable[Any], row_type: type) -> int:
        """How many rows the shard has, once it is whole; ClaimLost where the store is not ours any more."""
        self.check()
        return tables.write(rows, f"{self.path}/rows/{name}.parquet", row_type)

    def read(self, name: str, row_type: type[Row]) -> list[Row]:
        """The rows of a whole shard."""
        return tables.read(f"{self.path}/rows/{name}.parquet", row_type)

    def stream(self, name: str, row_type: type[Row]) -> Iterator[Row]:
        """The rows of a whole shard, without holding them all."""
        return tables.stream(self.shard(name), row_type)

    def shard(self, name: str) -> str:
        """The path of a shard, whether it is there or not."""
        return f"{self.path}/rows/{name}.parquet"

    def write_beside_rows(self, name: str, rows: Iterable[Any], row_type: type) -> int:
        """How many rows of another type were written to `NAME.parquet` beside the directory of rows."""
        return tables.write(rows, f"{self.path}/{name}.parquet", row_type)

    def write_beside(self, name: str, content: bytes) -> None:
        """Writes a file beside the rows, such as a picture; it appears whole or not at all."""
        write_bytes(f"{self.path}/{name}", content)


def fingerprint(stage: str, version: int, inputs: Mapping[str, object]) -> str:
    """What identifies a result: its stage, the stage's version and the literals that made it. Pure: `plan` and `run` agree."""
    return digest([stage, version, dict(inputs)])


class Store:
    """A study's directory. It has a lifetime because a driver claims it (see `claims`)."""

    def __init__(self, storage: str, study: str) -> None:
        """Opens `STORAGE/STUDY`; nothing is written before a result is made."""
        self.root = f"{storage.rstrip('/')}/{study}"
        if "://" not in self.root:
            self.root = str(Path(self.root).absolute())
        self._facts: dict[str, Any] | None = None
        self._lost = ""

    def lose(self, why: str) -> None:
        """From now on nothing may be written: the claim on the store is lost. An empty reason: it was claimed anew."""
        self._lost = why

    def check(self) -> None:
        """Returns while the store is ours to write, as far as this process knows; else ClaimLost says why it is not."""
        if self._lost:
            raise ClaimLost(self._lost)

    @property
    def is_local(self) -> bool:
        """Whether the store is a directory of this machine's file system."""
        return "://" not in self.root

    def path(self, name: str) -> str:
        """A path below the store."""
        return f"{self.root}/{name}"

    def find(self, stage: str, mark: str, sources: Sequence[Result] = ()) -> Result | None:
        """The finished result of that fingerprint, or None where it is missing, unfinished or made from older sources.

        Raises:
            ValueError: it was written in another format of the store.
        """
        found = self.recall(stage, mark)
        return found if found is not None and found.record["sources"] == _sources(sources) else None

    def recall(self, stage: str, mark: str) -> Result | None:
        """The finished result of that fingerprint from whatever sources, or None where it is missing or unfinished.

        Raises:
            ValueError: it was written in another format of the store, or its record is damaged.
        """
        record = self.record(f"{stage}-{mark}")
        if record is None:
            return None
        return Result(stage=stage, path=self.path(f"{stage}-{mark}"), fingerprint=mark, made=record["made"], record=record)

    def record(self, name: str) -> dict[str, Any] | None:
        """The record of the result in directory `name`, or None where it is missing or unfinished; errors as in `recall`."""
        record = self.read_json(f"{name}/record.json")
        if record is None:
            return None
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            found = record.get("format") if isinstance(record, dict) else type(record).__name__
            raise ValueError(
                f"{self.path(name)}/record.json has format {found!r}, this version reads {FORMAT}: use the version of ray-study "
                "that made it, or give the study another `storage`"
            )
        # A run's settings stand in its planned row; every other result says what it was made from.
        wanted = {"stage", "fingerprint", "made", "sources", *(() if record.get("stage") == "train" else ("inputs",))}
        missing = sorted(wanted - record.keys())
        if missing:
            raise ValueError(f"{self.path(name)}/record.json has no {missing}: it is damaged; delete that directory, and it is made again")
        return record

    def make(
        self,
        stage: str,
        inputs: Mapping[str, object],
        build: Callable[[Workspace], Mapping[str, object]],
        *,
        version: int = 1,
        sources: Sequence[Result] = (),
    ) -> Result:
        """The result, found or made.

        Args:
            stage: a word of the flow.
            inputs: the literals that identify the result; where it runs is no input.
            build: makes the missing shards in the workspace and returns facts for the record (counts).
            version: raised by hand when the meaning of the stage's rows changes.
            sources: the results it is made from; when one of them was made again, so is this.

        Raises:
            ValueError: it was written in another format of the store.
        """
        mark = fingerprint(stage, version, inputs)
        found = self.find(stage, mark, sources)
        if found is not None:
            return found
        workspace = self.workspace(stage, mark, sources)
        start = time.monotonic()
        facts = build(workspace)
        return self.finish(
            workspace,
            stage=stage,
            mark=mark,
            sources=sources,
            facts={"seconds": time.monotonic() - start, **facts, "inputs": dict(inputs), "version": version},
        )

    def workspace(self, stage: str, mark: str, sources: Sequence[Result] = ()) -> Workspace:
        """The directory of an unfinished result; what an older making from other sources left there is moved aside."""
        name = f"{stage}-{mark}"
        begun = self.read_json(f"{name}/begun.json")
        if begun is not None and begun["sources"] != _sources(sources):
            self._move_aside(name)
            begun = None
        if begun is None:
            self.write_json(f"{name}/begun.json", {"sources": _sources(sources)})
        return Workspace(path=self.path(name), check=self.check)

    def finish(self, workspace: Workspace, *, stage: str, mark: str, sources: Sequence[Result], facts: Mapping[str, object]) -> Result:
        """The result, once its record is written: the last file."""
        made = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}-{uuid.uuid4().hex[:8]}"
        record = {
            "format": FORMAT,
            "stage": stage,
            "fingerprint": mark,
            "made": made,
            "sources": _sources(sources),
            **facts,
            **self.facts(),
        }
        self.write_json(f"{stage}-{mark}/record.json", record)
        return Result(stage=stage, path=workspace.path, fingerprint=mark, made=made, record=record)

    def facts(self) -> dict[str, Any]:
        """What every record says: the git commit and the versions of the packages that matter."""
        if self._facts is None:
            self._facts = {"git_commit": git_commit(), "packages": package_versions()}
        return self._facts

    def read_json(self, name: str) -> Any:
        """The content of a JSON file of the store, or None where there is none."""
        filesystem, target = tables.locate(self.path(name))
        if filesystem.get_file_info(target).type != pafs.FileType.File:
            return None
        with filesystem.open_input_stream(target) as file:
            text = file.read()
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(f"{self.path(name)} is damaged ({error}); delete it, and what it stood for is made again") from error

    def write_json(self, name: str, value: object) -> None:
        """Writes a JSON file of the store; it appears whole or not at all."""
        self.write_bytes(name, json.dumps(value, sort_keys=True, indent=1, default=str).encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Writes a file of the store; it appears whole or not at all. ClaimLost where the store is not ours any more."""
        self.check()
        write_bytes(self.path(name), content)

    def write_claim(self, name: str, value: object) -> None:
        """Writes a claim, which says itself whose it is; it appears whole or not at all."""
        write_bytes(self.path(name), json.dumps(value, sort_keys=True, indent=1).encode())

    def directories(self, stage: str) -> list[str]:
        """The names of the results of a stage, finished or not."""
        filesystem, target = tables.locate(self.root)
        if filesystem.get_file_info(target).type != pafs.FileType.Directory:
            return []
        found = filesystem.get_file_info(pafs.FileSelector(target))
        return sorted(info.base_name for info in found if info.base_name.startswith(f"{stage}-") and ".stale-" not in info.base_name)

    def _move_aside(self, name: str) -> None:
        filesystem, target = tables.locate(self.path(name))
        filesystem.move(target, f"{target}.stale-{uuid.uuid4().hex[:8]}")


def write_bytes(path: str, content: bytes) -> None:
    """Writes a file, at a local path or a URI; it appears whole or not at all."""
    filesystem, target = tables.locate(path)
    filesystem.create_dir(target.rsplit("/", 1)[0], recursive=True)
    temporary = f"{target}.part-{uuid.uuid4().hex}"
    with filesystem.open_output_stream(temporary) as file:
        file.write(content)
    filesystem.move(temporary, target)


def _sources(sources: Sequence[Result]) -> dict[str, str]:
    return {f"{source.stage}-{source.fingerprint}": source.made for source in sources}
