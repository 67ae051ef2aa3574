"""Sealing: the messages of the lake to typed tables. What is sealed is a function of the set of messages alone.

    headers -> ledger (verdicts, no body read) -> groups whose inputs changed -> their bodies -> files -> manifest

It may be killed at any line and be run again: the lake changes with the manifest's rename and nowhere else.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import polars as pl
from tqdm import tqdm

from device.contract import wire_pb2 as pb
from ingest.contract.lake import Group, Lake, collect
from ingest.contract.publish import KEEP_SUPERSEDED_MS, Place, SealWriter, place
from ingest.contract.tables import MESSAGES
from ingest.ledger import HEADERS, KEY, TRIP, Ledger, judge
from ingest.typed import Rows, Stored

log = logging.getLogger(__name__)

SOURCE: Final = "messages"
VERSION: Final = 2  # raise it when the same messages shall give other rows: everything is then sealed again
BATCH_MESSAGES: Final = 4_000  # bodies decoded at once, about 200 MB of motion at 500 rows a message
LOOSE: Final = (pb.BODY_HEALTH, pb.BODY_IMPACT)  # sealed as they come: an accident does not wait for its trip's end
_PLACE: Final = ("month", "bucket")


class SealReport(NamedTuple):
    """What one sealing did, in counts."""

    messages: int
    duplicates: int
    conflicts: int
    trips: int
    incomplete: int
    open: int
    groups_written: int
    groups_kept: int
    manifest: int


def seal(lake: Lake, now_ms: int, *, progress: bool = False) -> SealReport:
    """Seal every trip that is whole, and what was given up; rewrite only the groups that changed.

    Parameters
    ----------
    lake : Lake
    now_ms : int
        UTC; trips that lack messages are given up 30 days after their last one came.
    progress : bool
        Show a bar on stderr.

    Raises
    ------
    TryAgainError
        If another process is sealing.
    UbiError
        If a segment cannot be read.
    """
    with SealWriter(lake, SOURCE) as writer:
        writer.sweep(now_ms)
        _sweep_segments(lake, now_ms)
        ledger = judge(collect(lake.scan_messages().select(*HEADERS, "file"), lake.message_files(), MESSAGES), now_ms)
        members = _members(ledger)
        inputs = _fingerprints(members)
        before = writer.groups()
        kept = [group for key, group in before.items() if inputs.get(key) == group.inputs and _stands(lake, group)]
        for group in kept:
            writer.keep(group)
        changed = sorted(inputs.keys() - {(group.month, group.bucket) for group in kept})
        with tqdm(total=len(changed), desc="seal", unit="group", disable=None if progress else True) as bar:
            for batch in _batches(members, changed):
                writer.add(_decode(lake, batch), inputs)
                bar.update(batch.select(_PLACE).n_unique())
    sealed = ledger.trips.filter(~pl.col("open"))
    return SealReport(
        messages=ledger.kept.height,
        duplicates=ledger.duplicates,
        conflicts=int(ledger.kept["conflict"].sum()),
        trips=sealed.height,
        incomplete=int((~sealed["complete"]).sum()),
        open=ledger.trips.height - sealed.height,
        groups_written=len(changed),
        groups_kept=len(kept),
        manifest=lake.manifest().number,
    )


def _sweep_segments(lake: Lake, now_ms: int) -> None:
    """Delete what killed workers left half-written a day ago; a running one is never that slow."""
    for folder in ("messages", "rejects"):
        for path in (lake.root / folder).rglob(".*"):
            if path.is_file() and path.stat().st_mtime * 1000 < now_ms - KEEP_SUPERSEDED_MS:
                path.unlink(missing_ok=True)


def _members(ledger: Ledger) -> pl.DataFrame:
    """Messages to seal, each with its place and, in a trip, the trip's verdicts; a loose one has no trip_seq."""
    trips = ledger.trips.filter(~pl.col("open"))
    verdicts = trips.select(
        *TRIP, "start_ms", "complete", "chain_ok", "conflicts", "tombstones", "clock_far", *place(trips, "start_ms")
    )
    whole = ledger.kept.filter(~pl.col("tombstone")).drop("started_at_ms")
    loose = whole.filter(pl.col("body_kind").is_in(LOOSE)).with_columns(pl.lit(None, pl.Int64).alias("trip_seq"))
    return pl.concat(
        [
            whole.join(verdicts, on=TRIP, how="inner"),
            loose.with_columns(place(loose, "queued_at_ms")),
        ],
        how="diagonal",
    ).sort(*_PLACE, *TRIP, "seq", nulls_last=True)


def _fingerprints(members: pl.DataFrame) -> dict[Place, str]:
    """Hash of all that a group's rows are made from."""
    told = members.drop("file", "received_at_ms").with_columns(pl.col("hash", "prev_hash").bin.encode("hex"))
    prints = {}
    for (month, bucket), part in told.partition_by(_PLACE, as_dict=True).items():
        content = f"seal {VERSION}\n{part.write_csv()}"
        prints[str(month), int(bucket)] = hashlib.sha256(content.encode()).hexdigest()
    return prints


def _batches(members: pl.DataFrame, changed: list[Place]) -> Iterator[pl.DataFrame]:
    """Members of changed places; several places together up to a number of messages, a place never cut."""
    parts = members.partition_by(_PLACE, as_dict=True)
    batch: list[pl.DataFrame] = []
    for key in changed:
        part = parts[key]
        if batch and sum(p.height for p in batch) + part.height > BATCH_MESSAGES:
            yield pl.concat(batch)
            batch = []
        batch.append(part)
    if batch:
        yield pl.concat(batch)


def _decode(lake: Lake, members: pl.DataFrame) -> Mapping[str, pl.DataFrame]:
    """Read the bodies of some members and turn them into typed tables."""
    files = [Path(file) for file in members["file"].unique().sort()]
    payloads = collect(
        lake.scan_messages(files)
        .filter(~pl.col("tombstone"))
        .select(*KEY, "hash", "payload")
        .join(members.lazy().select(*KEY, "hash"), on=[*KEY, "hash"], how="semi")
        .unique(KEY, keep="any"),
        files,
        MESSAGES,
    )
    rows = Rows()
    told = members.join(payloads.drop("hash"), on=KEY, how="left", maintain_order="left")
    for trip, group in groupby(told.iter_rows(named=True), key=lambda row: tuple(row[name] for name in TRIP)):
        found = list(group)
        if trip[-1] is None:
            for row in found:
                rows.add_loose(row["device_id"], row["stream_id"], row["queued_at_ms"], _stored(row))
        else:
            rows.add_trip(found[0], [_stored(row) for row in found])
    return rows.frames()


def _stands(lake: Lake, group: Group) -> bool:
    """Whether the files of a sealed group are still there."""
    return all((lake.sealed / file.path).is_file() for file in group.files)


def _stored(row: Mapping[str, Any]) -> Stored:
    return Stored(row["seq"], row["body_kind"], row["payload"])
