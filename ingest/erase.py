"""Rows out of files that were written for good: segments in their place, sealed files by a new manifest.

A file is whole at every moment. What no manifest names any more is deleted at once, and not a day later as sealing
does: whoever reads the lake just then, by an older manifest, has to read again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from device.contract.errors import UbiError
from ingest.contract import durable
from ingest.contract.lake import RESTORE, Group, Lake, SealedFile
from ingest.contract.publish import SealWriter, to_parquet
from ingest.theirs import NAMING, People, theirs

FAR_MS: Final = 2**60  # as "now" of a sweep: nothing is too young for it


def theirs_in(path: Path, people: People) -> pl.Series:
    """Which rows of a Parquet file are of these people; of its columns only those are read that can tell."""
    columns = [name for name in columns_of(path) if name in NAMING]
    if "topic" not in columns and "payload" in columns:
        columns.remove("payload")  # a message that was taken has its device in a column
    return theirs(read(path, columns), people) if columns else pl.Series([], dtype=pl.Boolean)


def erase_from(path: Path, people: People) -> int:
    """Rewrite a Parquet file in its place without these people's rows, also where none is left; how many went."""
    marks = theirs_in(path, people)
    gone = int(marks.sum())
    if gone:
        durable.commit({path: to_parquet(read(path).filter(~marks))})
    return gone


def erase_from_groups(lake: Lake, writer: SealWriter, groups: Iterable[Group], people: People) -> None:
    """Leave to the writer what may stay of groups of its source. All rows of a trip go with it."""
    for group in groups:
        files: list[SealedFile] = []
        keys: set[int] = set(people.trip_keys)
        for file in sorted(group.files, key=lambda file: file.table != "trips"):
            path = lake.sealed / file.path
            marks = theirs_in(path, replace(people, trip_keys=frozenset(keys)))
            if not marks.any():
                files.append(file)
                continue
            rows = read(path)
            if file.table == "trips":
                keys |= set(rows.filter(marks)["trip_key"])
            left = rows.filter(~marks)
            if left.height:
                files.append(writer.write(file.table, (group.month, group.bucket), left, file.day))
        if files:
            ordered = tuple(sorted(files, key=lambda file: (file.table, file.path)))
            writer.keep(replace(group, files=ordered))


def erase_from_ledger(lake: Lake, writer: SealWriter, people: People) -> None:
    """Leave to the writer what may stay of what sealing remembers."""
    named, contents = dict(writer.before.ledger), {}
    for name, file in writer.before.ledger.items():
        if not file.endswith(".parquet"):
            continue
        marks = theirs_in(lake.ledger / file, people)
        if marks.any():
            content = to_parquet(read(lake.ledger / file).filter(~marks))
            named[name] = f"{name}-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
            contents[lake.ledger / named[name]] = content
    durable.commit(contents)
    writer.ledger = named


def sweep(lake: Lake, source: str) -> None:
    """Delete every sealed file and manifest that does not count, however young."""
    with SealWriter(lake, source) as writer:
        for group in writer.groups().values():
            writer.keep(group)
        writer.sweep(FAR_MS)


def read(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """Read a Parquet file with the columns it has, or some of them.

    Raises
    ------
    UbiError
        If it cannot be read.
    """
    with _told(path):
        return pl.read_parquet(path, columns=columns, glob=False, hive_partitioning=False)


def columns_of(path: Path) -> dict[str, pl.DataType]:
    """Read the schema of a Parquet file; raises as `read` does."""
    with _told(path):
        return pl.read_parquet_schema(path)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UbiError(f"{path}: cannot be read ({str(error).splitlines()[0]}); {RESTORE}") from error
