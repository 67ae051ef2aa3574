"""`ubi ingest forget`: everything of a device out of the lake and of feature tables; a record without the data stays.

     1  begin      the record, while no worker writes: from now on every worker refuses the device
     2  whose      its trips and drivers, counted into the record
     3  segments   messages and rejects, each file rewritten in its place
     4  sealed     groups and ledger: new files, one manifest; what no manifest names any more is deleted
     5  features   parts of builds deleted; sums and events before trips, which say whose they are; a note of which
                   drivers are missing
     6  registry   the device's line, and its certificates revoked
     7  search     through every file of the lake and of the feature tables
     8  done       the record says when, and how much it was

Killed at any line, it is run again and goes on: each step looks for what is left.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from device.contract.errors import TryAgainError, UbiError
from device.contract.topics import checked_device_id
from ingest.authority import Authority
from ingest.contract import durable
from ingest.contract.erasure import PARTS, Erasure, Erasures, hashed, note_drivers
from ingest.contract.lake import Group, Lake, bucket_of
from ingest.contract.publish import SealWriter
from ingest.contract.tables import SEALED
from ingest.erase import erase_from, erase_from_groups, erase_from_ledger, read, sweep, theirs_in
from ingest.registry import Registry, change_registry, read_registry
from ingest.search import search
from ingest.theirs import Link, People, links_of

log = logging.getLogger(__name__)

SOURCE: Final = "messages"  # of the groups that sealing makes; they go with their segments and the ledger
WORKER_WITHIN_S: Final = 30.0  # a segment is written in less than a second


@dataclass(frozen=True, slots=True)
class Places:
    """Where a device may have left something.

    Attributes
    ----------
    lake : Lake
    features : sequence of Path
        Folders of `ubi features build`.
    registry : Path or None
    authority : Authority or None
        Revokes the certificates of its line in the registry.
    """

    lake: Lake
    features: Sequence[Path] = ()
    registry: Path | None = None
    authority: Authority | None = None


class Forgotten(NamedTuple):
    """What one erasure did; `erasure` is the name of its record, and all that is left of whose it was."""

    erasure: str
    erased: dict[str, int]
    searched_files: int


def forget(places: Places, device_id: str, now_ms: int, worker_within_s: float = WORKER_WITHIN_S) -> Forgotten:
    """Erase a device; may be repeated.

    Raises
    ------
    TryAgainError
        If somebody else is sealing, a worker does not finish its segment, or features are being built.
    UbiError
        If a file cannot be read, or the search still finds the device: file by file, what is left.
    """
    lake, erasures = places.lake, Erasures(places.lake.root)
    record = _begin(lake, erasures, checked_device_id(device_id), now_ms, worker_within_s)
    people, counts = _whose(places, device_id)
    record = replace(
        record, erased={name: max(counts[name], record.erased.get(name, 0)) for name in {*counts, *record.erased}}
    )
    erasures.write(record)
    _erase_lake(lake, people)
    for folder in places.features:
        try:
            with durable.locked(folder / PARTS / ".lock"):  # a build that began before the lake was clean would undo it
                _erase_features(folder, people, now_ms)
        except BlockingIOError:
            raise TryAgainError(f"{folder}: 'ubi features build' is writing here; run again when it is done") from None
    _erase_line(places, device_id, now_ms)
    files, findings = search([lake.root, *places.features], people)
    if findings:
        told = "; ".join(f"{found.file}: {found.where}" for found in findings)
        raise UbiError(
            f"erasure {record.name}: {len(findings)} files still tell of the device: {told}; remove them and run again"
        )
    erasures.write(replace(record, done_at_ms=now_ms, searched_files=files))
    return Forgotten(record.name, dict(sorted(record.erased.items())), files)


def forgotten_in(lake: Lake) -> list[str]:
    """Devices that were erased and are in the lake all the same: after a backup was restored."""
    erasures = Erasures(lake.root)
    found: set[str] = set()
    for file in (*_segments(lake, "messages"), *_sealed(lake, ("trips", "health", "impacts"))):
        found |= set(pl.read_parquet(file, columns=["device_id"])["device_id"].unique())
    return sorted(device_id for device_id in found if erasures.name_of(device_id))


def _begin(lake: Lake, erasures: Erasures, device_id: str, now_ms: int, within_s: float) -> Erasure:
    with erasures.alone(within_s):
        for folder in ("messages", "rejects"):
            for path in durable.listed(lake.root / folder, "*/.*"):
                durable.delete(path)  # nobody writes now: a worker that was killed has left it
        name = hashed(erasures.key(), device_id)
        record = erasures.read(name) or Erasure(name, now_ms)
        erasures.write(record)
    return record


def _whose(places: Places, device_id: str) -> tuple[People, Counter[str]]:
    """What is the device's, and how many rows by table."""
    lake, device = places.lake, People(frozenset({device_id}))
    links: set[Link] = {(device_id, None)}  # without policies each device is its own driver
    if places.registry is not None:
        line = read_registry(places.registry)[0].get(device_id)
        links |= {(link.driver_id, link.policy_id) for link in (line.policies if line is not None else ())}
    for folder in places.features:
        if durable.exists(folder / "trips.parquet"):
            links |= links_of(read(folder / "trips.parquet"), device)
    trips = [read(file, ["device_id", "trip_key"]) for file in _sealed(lake, ("trips",), device_id)]
    keys = frozenset(key for frame in trips for key in frame.filter(device_id=device_id)["trip_key"])
    people = People(device.devices, keys, frozenset(links))
    counts: Counter[str] = Counter(dict.fromkeys(SEALED, 0))
    for table, files in (("messages", lake.message_files()), ("rejects", lake.reject_files())):
        counts[table] = sum(int(theirs_in(file, people).sum()) for file in files)
    for group in lake.manifest().groups:
        for file in group.files if group.bucket == bucket_of(device_id) else ():
            counts[file.table] += int(theirs_in(lake.sealed / file.path, people).sum())
    for folder in places.features:
        for path in _tables(folder):
            counts[f"features/{path.stem}"] += int(theirs_in(path, people).sum())
    return people, counts


def _erase_lake(lake: Lake, people: People) -> None:
    buckets = {bucket_of(device_id) for device_id in people.devices}

    def rewrite(writer: SealWriter) -> None:
        groups = writer.groups().values()
        erase_from_groups(lake, writer, (group for group in groups if group.bucket in buckets), people)
        for group in groups:
            if group.bucket not in buckets:
                writer.keep(group)

    with SealWriter(lake, SOURCE) as writer:
        for table in ("messages", "rejects"):
            for file in _segments(lake, table):
                erase_from(file, people)
        rewrite(writer)
        erase_from_ledger(lake, writer, people)
    for source in sorted({group.source for group in lake.manifest().groups} - {SOURCE}):
        with SealWriter(lake, source) as writer:
            rewrite(writer)
    sweep(lake, SOURCE)


def _erase_features(folder: Path, people: People, now_ms: int) -> None:
    for path in durable.listed(folder, f".*{durable.TEMPORARY_SUFFIX}"):
        durable.delete(path)  # nobody builds now: a build that was killed has left it
    for path in durable.listed(folder / PARTS, "**/*"):
        if path == folder / PARTS / ".lock":
            continue  # who deletes it lets the next build in beside us
        if path.suffix != ".parquet" or theirs_in(path, people).any():
            durable.delete(path)  # the next build makes it again, without them
    gone = sum(erase_from(path, people) for path in _tables(folder) if path.name != "trips.parquet")
    last = folder / "trips.parquet"
    if gone or (durable.exists(last) and theirs_in(last, people).any()):
        note_drivers(folder, (driver_id for driver_id, _ in people.links), now_ms)
    if durable.exists(last):
        erase_from(last, people)


def _erase_line(places: Places, device_id: str, now_ms: int) -> None:
    if places.registry is None:
        return
    line = read_registry(places.registry)[0].get(device_id)
    if line is not None and places.authority is not None:
        serials = [certificate.serial for certificate in line.certificates]
        places.authority.revoke(serials, datetime.fromtimestamp(now_ms / 1_000, UTC))

    def change(registry: Registry) -> None:
        registry.devices.pop(device_id, None)

    change_registry(places.registry, change)


def _segments(lake: Lake, table: str) -> list[Path]:
    """Every segment there is, also those that compaction has superseded."""
    return durable.listed(lake.root / table, "date=*/*.parquet")


def _sealed(lake: Lake, tables: Sequence[str], device_id: str | None = None) -> list[Path]:
    """Sealed files of some tables that count, those that may have rows of a device."""
    groups: list[Group] = [
        group for group in lake.manifest().groups if device_id is None or group.bucket == bucket_of(device_id)
    ]
    return [lake.sealed / file.path for group in groups for file in group.files if file.table in tables]


def _tables(folder: Path) -> list[Path]:
    return [path for path in durable.listed(folder, "**/*.parquet") if folder / PARTS not in path.parents]
