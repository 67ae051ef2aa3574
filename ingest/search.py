"""Search a folder for what is left of devices: every file in it, whatever a manifest says of it.

A table is searched by the columns that name a device (`theirs`), by the header inside every payload, and by words in
columns of text that are not known here. Anything else is searched by its name and its bytes; but not our own manifests,
locks and records of erasures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from ingest.contract import durable
from ingest.contract.erasure import NOTE
from ingest.contract.tables import LEDGER_SEGMENTS, MESSAGES, REJECTS, SEALED
from ingest.erase import columns_of, read, theirs_in
from ingest.theirs import People

# Columns that `theirs` judges, or that speak of cars and files: a word there proves nothing, as a device may be called
# "1", or like the vehicle of another.
_JUDGED: Final = frozenset(
    {*MESSAGES, *REJECTS, *LEDGER_SEGMENTS, *(name for table in SEALED.values() for name in table)}
) | {"driver_id", "policy_id", "file"}
# Names of files and hex digits, no ids: a device may be called "1" or "trips".
_OURS: Final = re.compile(r"manifest-\d+\.json|\.lock|key|[0-9a-f]{32}\.json|" + re.escape(NOTE))


class Finding(NamedTuple):
    """A file that still tells of a device, and where in it."""

    file: Path
    where: str


def search(folders: Iterable[Path], people: People) -> tuple[int, list[Finding]]:
    """Look into every file below some folders.

    Returns
    -------
    int
        Files that were read.
    list of Finding
        What was found, a file once.

    Raises
    ------
    UbiError
        If a file cannot be read: then nothing is proven.
    """
    count, findings = 0, []
    for folder in folders:
        for path in durable.listed(folder, "**/*"):
            count += 1
            where = _told(path, people)
            if where is not None:
                findings.append(Finding(path, where))
    return count, findings


def _told(path: Path, people: People) -> str | None:
    if path.suffix == ".parquet":
        return next(_columns(path, people), None)
    if _OURS.fullmatch(path.name):
        return None
    if people.are_named_in(path.name.encode()):
        return "its name"
    return "its content" if people.are_named_in(path.read_bytes()) else None


def _columns(path: Path, people: People) -> Iterator[str]:
    """Where a Parquet file tells of them."""
    if theirs_in(path, people).any():
        yield "its rows"
    schema = columns_of(path)
    unknown = [name for name, kind in schema.items() if kind == pl.String and name not in _JUDGED]
    for name, texts in read(path, unknown).to_dict().items() if unknown else ():
        if people.are_named_in("\n".join(texts.drop_nulls().unique()).encode()):
            yield f"column {name}"
    if "payload" in schema and any(map(people.sent, read(path, ["payload"])["payload"].drop_nulls())):
        yield "the header of a message"
