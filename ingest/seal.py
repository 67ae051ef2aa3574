"""Sealing: the messages of the lake to typed tables. What is sealed is a function of the set of messages alone.

    segments that are new -> headers into the ledger (`advance`) -> bodies of the trips that are whole now
    -> the groups these touch (`parts`) -> segments joined (`compact`) -> ledger and manifest

It may be killed at any line and be run again: the lake changes with the manifest's rename and nowhere else. A backlog
is taken in steps, each with a manifest of its own; what it costs grows with what is new, not with what is sealed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any, Final, NamedTuple

import polars as pl
from tqdm import tqdm

from ingest import state as ledger_state
from ingest.advance import Step, advance
from ingest.archive import Archive, read_headers
from ingest.checkpoints import KeysOf, Signed, signature_of
from ingest.compact import compact, sweep
from ingest.contract import durable
from ingest.contract.lake import Group, Lake, collect, scan_files
from ingest.contract.publish import Place, SealWriter, place
from ingest.contract.tables import MESSAGES, SEALED
from ingest.final import is_final, names_of
from ingest.ledger import KEY, TRIP
from ingest.parts import Change, days_of, rewrite
from ingest.state import State
from ingest.typed import Rows, Stored

log = logging.getLogger(__name__)

SOURCE: Final = "messages"
STEP_BYTES: Final = 64 * 2**20  # of segments taken in at once: some 150,000 messages
BATCH_MESSAGES: Final = 4_000  # bodies decoded at once, about 200 MB of motion at 500 rows a message
_PLACE: Final = ("month", "bucket")
_VERDICTS: Final = ("start_ms", "complete", "chain_ok", "conflicts", "tombstones", "clock_wrong", "last_seq")


class SealReport(NamedTuple):
    """What the lake has, and what this sealing wrote, in counts."""

    messages: int
    duplicates: int
    conflicts: int
    trips: int
    incomplete: int
    open: int
    groups_written: int
    groups_kept: int
    manifest: int


def seal(
    lake: Lake, now_ms: int, *, keys_of: KeysOf | None = None, afresh: bool = False, progress: bool = False
) -> SealReport:
    """Seal every trip that is whole, and what was given up; rewrite only the files that this touches.

    Parameters
    ----------
    lake : Lake
    now_ms : int
        UTC; trips that lack messages are given up 30 days after their last one came.
    keys_of : callable or None
        Public keys of a device at a time (UTC ms), for the signatures of checkpoints; None: no key is known.
    afresh : bool
        Forget what was sealed and read all messages again: after keys became known, or messages were erased.
    progress : bool
        Show a bar on stderr.

    Raises
    ------
    TryAgainError
        If another process is sealing.
    UbiError
        If a segment or a sealed file cannot be read.
    """
    first: dict[Place, Group] | None = None
    gone: set[Place] = set()
    with tqdm(desc="seal", unit="group", disable=None if progress else True) as bar:
        while True:
            with SealWriter(lake, SOURCE) as writer:
                sealing = _Sealing(lake, writer, now_ms, keys_of, bar)
                sealing.begin(afresh=afresh)
                if first is None:
                    first, gone = sealing.groups_before, sealing.gone
                sealing.take_step()
                while sealing.is_afresh and not sealing.is_last:
                    sealing.take_step()  # readers keep what was sealed until all of it is there again
                sealing.finish()
            afresh = False
            if sealing.is_last:
                break
    now = sealing.groups
    changed = {key for key in first.keys() | now.keys() if first.get(key) != now.get(key)} | (gone & now.keys())
    return _report(lake, sealing, len(changed), len(now.keys() - changed))


def _report(lake: Lake, sealing: _Sealing, written: int, kept: int) -> SealReport:
    state, files = sealing.state, lake.sealed_files("trips", SOURCE)
    trips = collect(scan_files(files, SEALED["trips"]).select("complete"), files, SEALED["trips"])
    spans = state.settled.select((pl.col("last") - pl.col("first") + 1).sum()).item()
    return SealReport(
        messages=spans + state.waiting.height,
        duplicates=int(state.streams["duplicates"].sum()),
        conflicts=int(state.streams["conflicts"].sum()),
        trips=trips.height,
        incomplete=int((~trips["complete"]).sum()),
        open=sealing.open_trips,
        groups_written=written,
        groups_kept=kept,
        manifest=lake.manifest().number,
    )


class _Sealing:
    """A sealing under the lock of its writer: `begin`, steps, `finish`."""

    def __init__(self, lake: Lake, writer: SealWriter, now_ms: int, keys_of: KeysOf | None, bar: Any) -> None:
        self._lake = lake
        self._writer = writer
        self._now_ms = now_ms
        self._keys_of = keys_of
        self._bar = bar
        self.state = State.empty()
        self.groups_before: dict[Place, Group] = {}
        self.groups: dict[Place, Group] = {}
        self.gone: set[Place] = set()
        self.open_trips = 0
        self._final = names_of(lake, ())
        self.is_afresh = self.is_last = False

    def begin(self, *, afresh: bool) -> None:
        """Take up what is known; nothing of it where it no longer fits what is there."""
        self._writer.sweep(self._now_ms)
        self.state = ledger_state.load(self._lake, self._writer.before)
        self.groups_before = self._writer.groups()
        self.gone = {key for key, group in self.groups_before.items() if not _stands(self._lake, group)}
        self._files = [file.relative_to(self._lake.root).as_posix() for file in self._lake.message_files()]
        lost = set(self.state.counting) - set(self._files)
        if lost:
            log.warning("%d segments are no longer there, %s the first: all is sealed anew", len(lost), min(lost))
        self.is_afresh = bool(afresh or self.gone or lost or (self.groups_before and not self.state.counting))
        if self.is_afresh:
            self.state = self.state.forgotten()
            self._final = names_of(self._lake, filter(is_final, self._writer.before.groups))
        else:
            self.groups = dict(self.groups_before)

    def take_step(self) -> None:
        """Take some new segments in, and seal what that makes whole."""
        files = self._next_files()
        archive = Archive(self._lake, self.state, list(self.groups.values()))
        new = read_headers(self._lake, [self._lake.root / file for file in files])
        step = advance(self.state, new, archive, self._now_ms, give_up=self.is_last)
        for key, change in _changes(step, self._rows_in(step, archive)):
            group = rewrite(self._lake, self._writer, SOURCE, key, self.groups.pop(key, None), change)
            if group.files:
                self.groups[key] = group
            self._bar.update()
        self.state = step.state.with_segments(files)
        self.open_trips = step.open_trips

    def finish(self) -> None:
        """Join segments, write the ledger, and leave what is sealed now to the writer."""
        state = compact(self._lake, self.state, self._now_ms)
        self.state = replace(state, segments=sweep(self._lake, state.segments, self._now_ms))
        self._writer.ledger = ledger_state.save(self._lake, self.state)
        for group in self.groups.values():
            self._writer.keep(group)

    def _next_files(self) -> list[str]:
        """Segments to take in now; notes whether they are the last."""
        known = set(self.state.counting)
        new = [file for file in self._files if file not in known]
        taken, held = 0, 0
        while taken < len(new) and (held < STEP_BYTES or not taken):
            held += durable.size_bytes(self._lake.root / new[taken])
            taken += 1
        self.is_last = taken == len(new)
        return new[:taken]

    def _rows_in(self, step: Step, archive: Archive) -> Iterator[tuple[Place, dict[str, pl.DataFrame]]]:
        """Rows to seal, group by group, decoded."""
        sealable = step.trips.join(self._final.trips, on=TRIP, how="anti")
        trips = sealable.select(*TRIP, *_VERDICTS, *place(sealable, "start_ms"))
        whole = step.rows.filter(~pl.col("tombstone"))
        loose = step.loose.join(self._final.loose, on=KEY, how="anti")
        loose = loose.with_columns(pl.lit(None, pl.Int64).alias("trip_seq"))
        members = pl.concat(
            [
                whole.join(trips, on=TRIP, how="inner"),
                loose.with_columns(place(loose, "queued_at_ms")),
            ],
            how="diagonal",
        ).sort(*_PLACE, *TRIP, "seq", nulls_last=True)
        for (month, bucket), part in members.partition_by(_PLACE, as_dict=True, maintain_order=True).items():
            rows = Rows()
            for batch in _batches(part):
                self._decode(
                    rows, batch.join(archive.payloads(batch), on=[*KEY, "hash"], how="left", maintain_order="left")
                )
            yield (str(month), int(bucket)), rows.frames()

    def _decode(self, rows: Rows, told: pl.DataFrame) -> None:
        for trip, group in groupby(told.iter_rows(named=True), key=lambda row: tuple(row[name] for name in TRIP)):
            found = list(group)
            kept = [row for row in found if row["payload"] is not None]
            if trip[-1] is None:
                for row in kept:
                    rows.add_loose(row["device_id"], row["stream_id"], row["queued_at_ms"], _stored(row))
                continue
            if len(kept) < len(found):
                continue  # bodies were let go: what was sealed of them stays as it is
            signed = [Signed(row["payload"], row["hash"], row["received_at_ms"]) for row in found]
            signature = signature_of(signed, found[0]["device_id"], self._keys_of)
            rows.add_trip(found[0] | {"signature": signature}, [_stored(row) for row in found])


def _changes(step: Step, rows_in: Iterator[tuple[Place, dict[str, pl.DataFrame]]]) -> Iterator[tuple[Place, Change]]:
    """What changes in each group that this step touches."""
    trips_out = _by_place(step.reopened, "start_ms")
    loose_out = _by_place(step.stale, "queued_at_ms")
    for key, tables in rows_in:
        yield key, _change(trips_out.pop(key, None), loose_out.pop(key, None), tables)
    for key in sorted(trips_out.keys() | loose_out.keys()):
        yield key, _change(trips_out.get(key), loose_out.get(key), {})


def _by_place(rows: pl.DataFrame, time: str) -> dict[Place, pl.DataFrame]:
    placed = rows.with_columns(*place(rows, time), days_of(rows[time]).alias("day"))
    return {(str(m), int(b)): part for (m, b), part in placed.partition_by(_PLACE, as_dict=True).items()}


def _change(trips: pl.DataFrame | None, loose: pl.DataFrame | None, tables: dict[str, pl.DataFrame]) -> Change:
    days = frozenset(int(day) for part in (trips, loose) if part is not None for day in part["day"])
    return Change(
        pl.Series("trip_key", [], dtype=pl.UInt64) if trips is None else trips["trip_key"],
        _NO_KEYS if loose is None else loose.select(KEY),
        tables,
        days,
    )


_NO_KEYS: Final = pl.DataFrame(schema={name: MESSAGES[name] for name in KEY})


def _batches(members: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Members of a group, whole trips together up to a number of messages."""
    trips = members.select(pl.struct(TRIP).rle_id().alias("trip"))["trip"]
    start = 0
    while start < members.height:
        end = min(start + BATCH_MESSAGES, members.height)
        if end < members.height:
            same = trips == trips[end]
            first, last = int(same.arg_true()[0]), int(same.arg_true()[-1])
            end = first if first > start else last + 1
        yield members[start:end]
        start = end


def _stands(lake: Lake, group: Group) -> bool:
    """Whether the files of a sealed group are still there."""
    return all(durable.exists(lake.sealed / file.path) for file in group.files)


def _stored(row: dict[str, Any]) -> Stored:
    return Stored(row["seq"], row["body_kind"], row["payload"])
