"""Bodies to rows of the sealed tables. Motion is decoded by columns; everything else one message at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract import bodies, wire
from device.contract import wire_pb2 as pb
from device.contract.motion import COLUMNS
from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS
from ingest.contract.tables import EVENTS, HEALTH, MOTION, TRIPS, trip_id, trip_key

_EVENT_FIELDS: Final = tuple(name for name in bodies.Event.__dataclass_fields__ if name != "trip_seq")


_Column = tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]


class Stored(NamedTuple):
    """A message of the lake: which seq it has, its body's kind, its bytes."""

    seq: int
    kind: int
    payload: bytes


class Rows:
    """Rows of all sealed tables, filled trip by trip and turned into frames once."""

    def __init__(self) -> None:
        self._trips: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._motion: list[_Block] = []
        self._health: list[dict[str, Any]] = []

    def add_trip(self, ledger: Mapping[str, Any], messages: Iterable[Stored]) -> None:
        """Decode a trip.

        Parameters
        ----------
        ledger : mapping
            The trip's row of `Ledger.trips`.
        messages : iterable of Stored
            Its messages by rising seq, tombstones left out.
        """
        name = trip_id(ledger["device_id"], ledger["stream_id"], ledger["trip_seq"])
        key = trip_key(name)
        start: bodies.TripStart | None = None
        end: bodies.TripEnd | None = None
        blocks: list[_Block] = []
        for message in messages:
            if message.kind == pb.BODY_MOTION:
                if start is not None:  # without its start the grid is not known
                    blocks.append(_block(key, start.period_ms, message.payload))
                continue
            body = _body(message.payload)
            if isinstance(body, bodies.TripStart):
                start = body
            elif isinstance(body, bodies.TripEnd):
                end = end or body
            elif isinstance(body, bodies.Event):
                self._events.append(_event_row(name, key, ledger["device_id"], body))
        samples = sum(int(block.t_ms.size) for block in blocks)
        self._motion.extend(blocks)
        has_motion = samples > 0 and (end is None or samples == end.summary.samples)
        self._trips.append(_trip_row(name, key, ledger, start, end) | {"has_motion": has_motion})

    def add_health(self, device_id: str, stream_id: str, queued_at_ms: int, message: Stored) -> None:
        """Decode a health message."""
        body = _body(message.payload)
        if not isinstance(body, bodies.Health):
            return
        head = {"device_id": device_id, "stream_id": stream_id, "seq": message.seq, "queued_at_ms": queued_at_ms}
        self._health.extend(head | {"counter": name, "value": value} for name, value in body.counters.items())

    def frames(self) -> dict[str, pl.DataFrame]:
        """All rows as typed tables; the wire's bounds are such that every value fits its column."""
        return {
            "trips": pl.DataFrame(_columns(self._trips, TRIPS), schema=TRIPS),
            "events": pl.DataFrame(_columns(self._events, EVENTS), schema=EVENTS),
            "motion": _motion_frame(self._motion),
            "health": pl.DataFrame(_columns(self._health, HEALTH), schema=HEALTH),
        }


class _Block(NamedTuple):
    """Motion of one message: values and validity by column, each of shape (samples,)."""

    key: int
    t_ms: npt.NDArray[np.int64]
    columns: dict[str, _Column]


def _block(key: int, period_ms: int, payload: bytes) -> _Block:
    message = pb.Motion.FromString(wire.body_bytes(payload))
    t_ms = message.first_t_ms + period_ms * np.arange(message.count, dtype=np.int64)
    return _Block(key, t_ms, {name: unpack(getattr(message, name), message.count) for name in COLUMNS})


def unpack(column: pb.Column, count: int) -> _Column:
    """Values and validity of a column that `wire.decode` has taken; the fast twin of `bodies.unpack_column`."""
    values = np.cumsum(np.fromiter(column.deltas, np.int32, len(column.deltas)), dtype=np.int32)
    if values.size == count:
        return values, np.ones(count, dtype=np.bool_)
    if values.size == 0:
        return np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.bool_)
    runs = np.fromiter(column.runs, np.int64, len(column.runs))
    valid = np.repeat(np.arange(runs.size) % 2 == 0, runs)
    spread = np.zeros(count, dtype=np.int32)
    spread[valid] = values
    return spread, valid


def _motion_frame(blocks: list[_Block]) -> pl.DataFrame:
    if not blocks:
        return pl.DataFrame(schema=MOTION)
    keys = np.repeat(np.array([b.key for b in blocks], dtype=np.uint64), [b.t_ms.size for b in blocks])
    columns = {"trip_key": pl.Series(keys), "t_ms": pl.Series(np.concatenate([b.t_ms for b in blocks]))}
    for name in COLUMNS:
        values, valid = zip(*(b.columns[name] for b in blocks), strict=True)
        columns[name] = pl.Series(np.concatenate(values)).set(pl.Series(~np.concatenate(valid)), None)
    return pl.DataFrame(columns).cast(MOTION)


def _trip_row(
    name: str, key: int, ledger: Mapping[str, Any], start: bodies.TripStart | None, end: bodies.TripEnd | None
) -> dict[str, Any]:
    row = {column: ledger[column] for column in TRIPS if column in ledger}
    row |= {"trip_id": name, "trip_key": key, "seq": ledger["trip_seq"], "represents": 1}
    row["clock_suspect"] = ledger["clock_far"] and not (start and start.recording)
    if start is not None:
        row |= {
            "recording": start.recording or None,
            "recorded_file": start.recorded_file or None,
            "vehicle": start.vehicle or None,
            "adapter": start.adapter or None,
            "device_start_ms": start.started_at_ms,
            "utc_offset_min": start.utc_offset_min,
            "period_ms": start.period_ms,
            "sensor_grade": start.sensor_grade,
            "rules_version": start.rules_version,
            "odometer_start_m": start.odometer_m,
        }
    if end is not None:
        row |= {"end_reason": end.reason, "odometer_end_m": end.odometer_m}
        row |= {field: getattr(end.summary, field) for field in SCALAR_FIELDS}
        row |= {field: _bins(getattr(end.summary, field)) for field in HISTOGRAM_FIELDS}
    return row


def _event_row(name: str, key: int, device_id: str, event: bodies.Event) -> dict[str, Any]:
    head = {"trip_key": key, "trip_id": name, "device_id": device_id}
    return head | {field: getattr(event, field) for field in _EVENT_FIELDS}


def _bins(histogram: Mapping[int, int]) -> list[dict[str, int]]:
    return [{"key": key, "value": value} for key, value in sorted(histogram.items()) if value]


def _columns(rows: list[dict[str, Any]], schema: pl.Schema) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in schema}


def _body(payload: bytes) -> bodies.Body | None:
    """Body of a stored message; None if today's contract no longer takes it."""
    message = wire.decode(payload)
    return message.body if isinstance(message, wire.Message) else None
