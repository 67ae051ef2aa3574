"""Rows out of files that were written for good: segments in their place, sealed files by a new manifest.

A file is whole at every moment. What no manifest names any more is deleted at once, and not a day later as sealing
does: whoever reads the lake just then, by an older manifest, has to read again.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import polars as pl

from device.contract.errors import UbiError
from ingest.contract import durable
from ingest.contract.lake import RESTORE, Group, Lake, SealedFile
from ingest.contract.publish import SealWriter, to_parquet

FAR_MS: Final = 2**60  # as "now" of a sweep: nothing is too young for it
# What of a table's rows may stay: table, rows -> rows, or the same frame where all of it may.
Keep = Callable[[str, pl.DataFrame], pl.DataFrame]


def rewrite_file(path: Path, table: str, keep: Keep) -> int:
    """Rewrite one Parquet file in its place, also where nothing is left; how many rows went."""
    before = read(path)
    after = keep(table, before)
    if after is not before and not after.equals(before):
        durable.commit({path: to_parquet(after)})
    return before.height - after.height


def rewrite_groups(lake: Lake, writer: SealWriter, groups: Iterable[Group], keep: Keep) -> Counter[str]:
    """Leave to the writer what may stay of the groups of its source; how many rows went, by table.

    Rows of a trip go with it, whatever `keep` says of them.
    """
    gone: Counter[str] = Counter()
    for group in groups:
        files: list[SealedFile] = []
        lost: set[int] = set()
        for file in sorted(group.files, key=lambda file: file.table != "trips"):
            before = read(lake.sealed / file.path)
            after = keep(file.table, before)
            if file.table == "trips" and after.height < before.height:
                lost |= set(before.join(after, on="trip_key", how="anti")["trip_key"])
            elif lost and "trip_key" in before.columns:
                after = after.filter(~pl.col("trip_key").is_in(sorted(lost)).fill_null(value=False))
            gone[file.table] += before.height - after.height
            if after.height == before.height:
                files.append(file)
            elif after.height:
                files.append(writer.write(file.table, (group.month, group.bucket), after, file.day))
        if files:
            ordered = tuple(sorted(files, key=lambda file: (file.table, file.path)))
            writer.keep(Group(group.source, group.month, group.bucket, group.inputs, ordered))
    return gone


def rewrite_ledger(lake: Lake, writer: SealWriter, keep: Keep) -> None:
    """Leave to the writer what may stay of what sealing remembers."""
    named, contents = dict(writer.before.ledger), {}
    for name, file in writer.before.ledger.items():
        if file.endswith(".parquet"):
            before = read(lake.ledger / file)
            after = keep(name, before)
            if after.height != before.height:
                content = to_parquet(after)
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


def read(path: Path) -> pl.DataFrame:
    """Read a Parquet file with the columns it has.

    Raises
    ------
    UbiError
        If it cannot be read.
    """
    try:
        return pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise UbiError(f"{path}: cannot be read ({str(error).splitlines()[0]}); {RESTORE}") from error
