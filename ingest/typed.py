"""Bodies to rows of the sealed tables. Motion and track are decoded by columns, the rest one message at a time."""

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
from ingest.batches import unpack_motion
from ingest.contract.tables import EVENTS, HEALTH, IMPACTS, MOTION, TRACK, TRIPS, trip_id, trip_key

_EVENT_FIELDS: Final = tuple(name for name in bodies.Event.__dataclass_fields__ if name not in ("trip_seq", "cell"))
_IMPACT_FIELDS: Final = ("t_ms", "peak_cmps2", "speed_dkmh", "complete")
_OF_SPEED: Final = ("speed_readings", "speed_missed", "speed_step_dkmh", "speed_frozen")
_TRACK_COLUMNS: Final = ("lat_e5deg", "lon_e5deg")

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
        self._motion: list[_Batch] = []
        self._track: list[_Block] = []
        self._impacts: list[dict[str, Any]] = []
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
        for message in messages:
            if message.kind == pb.BODY_MOTION:
                if start is not None:  # without its start the grid is not known
                    self._motion.append(_Batch(key, start.period_ms, wire.body_bytes(message.payload)))
                continue
            if message.kind == pb.BODY_TRACK:
                self._track.append(_track_block(key, message.payload))
                continue
            body = _body(message.payload)
            if isinstance(body, bodies.TripStart):
                start = body
            elif isinstance(body, bodies.TripEnd):
                end = end or body
            elif isinstance(body, bodies.Event):
                self._events.append(_event_row(name, key, ledger["device_id"], body))
        self._trips.append(_trip_row(name, key, ledger, start, end))

    def add_loose(self, device_id: str, stream_id: str, queued_at_ms: int, message: Stored) -> None:
        """Decode a message that is sealed without its trip: health or an impact."""
        body = _body(message.payload)
        head = {"device_id": device_id, "stream_id": stream_id, "seq": message.seq, "queued_at_ms": queued_at_ms}
        if isinstance(body, bodies.Health):
            self._health.extend(head | {"counter": name, "value": value} for name, value in body.counters.items())
        elif isinstance(body, bodies.Impact):
            self._impacts.append(head | _impact_row(device_id, stream_id, body))

    def frames(self) -> dict[str, pl.DataFrame]:
        """All rows as typed tables; the wire's bounds are such that every value fits its column."""
        motion = _motion_frame(self._motion)
        told = pl.DataFrame(_columns(self._trips, TRIPS), schema=TRIPS)
        came = told.join(motion.group_by("trip_key").len("came"), on="trip_key", how="left", maintain_order="left")
        whole = (pl.col("came") > 0) & (pl.col("samples").is_null() | (pl.col("came") == pl.col("samples")))
        return {
            "trips": came.with_columns(whole.fill_null(value=False).alias("has_motion")).drop("came"),
            "events": pl.DataFrame(_columns(self._events, EVENTS), schema=EVENTS),
            "motion": motion,
            "track": _frame(self._track, _TRACK_COLUMNS, TRACK).filter(pl.col("lat_e5deg").is_not_null()),
            "impacts": pl.DataFrame(_columns(self._impacts, IMPACTS), schema=IMPACTS),
            "health": pl.DataFrame(_columns(self._health, HEALTH), schema=HEALTH),
        }


class _Batch(NamedTuple):
    """A motion message: its trip, the trip's grid, and the bytes of its body."""

    key: int
    period_ms: int
    body: bytes


class _Block(NamedTuple):
    """Motion or track of one message: values and validity by column, each of shape (samples,)."""

    key: int
    t_ms: npt.NDArray[np.int64]
    columns: dict[str, _Column]


def _motion_frame(batches: list[_Batch]) -> pl.DataFrame:
    """Motion of many messages, unpacked together; one that is packed in an unusual way by itself."""
    sound, samples = unpack_motion([batch.body for batch in batches])
    usual = [batch for batch, is_sound in zip(batches, sound, strict=True) if is_sound]
    blocks = [
        _block(batch.key, batch.period_ms, pb.Motion.FromString(batch.body), COLUMNS)
        for batch, is_sound in zip(batches, sound, strict=True)
        if not is_sound
    ]
    first = np.cumsum(samples.counts) - samples.counts
    step = np.arange(samples.counts.sum()) - np.repeat(first, samples.counts)
    period_ms = np.fromiter((batch.period_ms for batch in usual), np.int64, len(usual))
    keys = np.fromiter((batch.key for batch in usual), np.uint64, len(usual))
    t_ms = np.repeat(samples.first_t_ms, samples.counts) + step * np.repeat(period_ms, samples.counts)
    frame = _with_nulls(np.repeat(keys, samples.counts), t_ms, samples.columns, MOTION)
    return pl.concat([frame, _frame(blocks, COLUMNS, MOTION)]) if blocks else frame


def _track_block(key: int, payload: bytes) -> _Block:
    message = pb.Track.FromString(wire.body_bytes(payload))
    return _block(key, message.period_ms, message, _TRACK_COLUMNS)


def _block(key: int, period_ms: int, message: pb.Motion | pb.Track, columns: tuple[str, ...]) -> _Block:
    t_ms = message.first_t_ms + period_ms * np.arange(message.count, dtype=np.int64)
    return _Block(key, t_ms, {name: unpack(getattr(message, name), message.count) for name in columns})


def unpack(column: pb.Column, count: int) -> _Column:
    """Values and validity of a column that `wire.decode` has taken; the fast twin of `columns.unpack_column`."""
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


def _frame(blocks: list[_Block], names: tuple[str, ...], schema: pl.Schema) -> pl.DataFrame:
    if not blocks:
        return pl.DataFrame(schema=schema)
    keys = np.repeat(np.array([b.key for b in blocks], dtype=np.uint64), [b.t_ms.size for b in blocks])
    columns = {}
    for name in names:
        values, valid = zip(*(b.columns[name] for b in blocks), strict=True)
        columns[name] = np.concatenate(values), np.concatenate(valid)
    return _with_nulls(keys, np.concatenate([b.t_ms for b in blocks]), columns, schema)


def _with_nulls(
    keys: npt.NDArray[np.uint64], t_ms: npt.NDArray[np.int64], columns: Mapping[str, _Column], schema: pl.Schema
) -> pl.DataFrame:
    series = {"trip_key": pl.Series(keys), "t_ms": pl.Series(t_ms)}
    for name, (values, valid) in columns.items():
        kind = schema[name]
        if valid.all():
            series[name] = pl.Series(values).cast(kind)
        elif valid.any():
            series[name] = pl.Series(values).cast(kind).set(pl.Series(~valid), None)
        else:
            series[name] = pl.repeat(None, values.size, dtype=kind, eager=True)
    return pl.DataFrame(series).cast(schema)


def _trip_row(
    name: str, key: int, ledger: Mapping[str, Any], start: bodies.TripStart | None, end: bodies.TripEnd | None
) -> dict[str, Any]:
    row = {column: ledger[column] for column in TRIPS if column in ledger}
    row |= {"trip_id": name, "trip_key": key, "seq": ledger["trip_seq"], "represents": 1}
    row["clock_suspect"] = ledger["clock_wrong"] and not (start and start.recording)
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
            "distance_since_clear_start_m": start.distance_since_clear_m,
            "dtc_count": start.dtc_count,
            "vin_hash": start.vin_hash.hex() or None,
            "speed_rate_dhz": start.speed_rate_dhz,
            "config_version": start.config_version or None,
            **_cell("start_cell", start.start_cell),
        }
    if end is not None:
        row |= {"end_reason": end.reason, "odometer_end_m": end.odometer_m}
        row |= {"distance_since_clear_end_m": end.distance_since_clear_m, **_cell("end_cell", end.end_cell)}
        row |= {field: getattr(end, field) for field in _OF_SPEED}
        known = {
            "sensor_grade": end.sensor_grade or None,
            "speed_rate_dhz": end.speed_rate_dhz,
            "dtc_count": end.dtc_count,
            "adapter": end.adapter or None,
            "vin_hash": end.vin_hash.hex() or None,
        }
        row |= {field: value for field, value in known.items() if value is not None}
        row |= {field: getattr(end.summary, field) for field in SCALAR_FIELDS}
        row |= {field: _bins(getattr(end.summary, field)) for field in HISTOGRAM_FIELDS}
    return row


def _event_row(name: str, key: int, device_id: str, event: bodies.Event) -> dict[str, Any]:
    head = {"trip_key": key, "trip_id": name, "device_id": device_id}
    return head | {field: getattr(event, field) for field in _EVENT_FIELDS} | _cell("cell", event.cell)


def _impact_row(device_id: str, stream_id: str, impact: bodies.Impact) -> dict[str, Any]:
    row = {field: getattr(impact, field) for field in _IMPACT_FIELDS} | _cell("cell", impact.cell)
    if impact.trip_seq:
        name = trip_id(device_id, stream_id, impact.trip_seq)
        row |= {"trip_id": name, "trip_key": trip_key(name)}
    if impact.around is not None:
        batch = impact.around
        times = range(batch.first_t_ms, batch.first_t_ms + batch.count * impact.period_ms, impact.period_ms)
        cells = zip(times, *(batch.columns[name] for name in COLUMNS), strict=True)
        row["around"] = [dict(zip(("t_ms", *COLUMNS), cell, strict=True)) for cell in cells]
    return row


def _cell(name: str, cell: bodies.Cell | None) -> dict[str, int]:
    return {f"{name}_lat_cdeg": cell.lat_cdeg, f"{name}_lon_cdeg": cell.lon_cdeg} if cell else {}


def _bins(histogram: Mapping[int, int]) -> list[dict[str, int]]:
    return [{"key": key, "value": value} for key, value in sorted(histogram.items()) if value]


def _columns(rows: list[dict[str, Any]], schema: pl.Schema) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in schema}


def _body(payload: bytes) -> bodies.Body | None:
    """Body of a stored message; None if today's contract no longer takes it."""
    message = wire.decode(payload)
    return message.body if isinstance(message, wire.Message) else None
