"""The five bodies of a message as plain dataclasses, and their protobuf form. Units are in the names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

from device.contract import wire_pb2 as pb
from device.contract.errors import ContractError
from device.contract.motion import COLUMNS
from device.contract.trip import HISTOGRAM_FIELDS, LEVELS, SCALAR_FIELDS, TripSummary

Sign = Callable[[bytes], bytes]
MAX_BATCH_SAMPLES: Final = 5_000
MAX_HIST_BINS: Final = 20_000
MAX_TRIP_MS: Final = 1_800_000_000  # 20 days; with a whole batch more a time still has 31 bits, as in the lake
MAX_COUNTERS: Final = 1_000
MAX_TEXT: Final = 256
_INT32: Final = 2**31
_ABSURD: Final = 2**53  # JSON and floats lose integers from here on

# Plausible bounds of the motion columns, in their integers. Values outside are refused, not clipped.
BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "speed_dkmh": (0, 4_000),
    "accel_lon_cmps2": (-20_000, 20_000),
    "accel_lat_cmps2": (-20_000, 20_000),
    "yaw_rate_ddps": (-20_000, 20_000),
    "accel_peak_cmps2": (0, 32_000),
    "engine": (0, 1),
    "limit_kmh": (0, 400),
    "quality": (0, 255),
}

# The same for the fields of bodies, so that whatever is taken fits the lake. Enums leave room for later numbers.
FIELD_BOUNDS: Final[dict[str, tuple[int, int]]] = {
    "trip_seq": (1, _ABSURD),
    "period_ms": (10, 60_000),
    "utc_offset_min": (-16 * 60, 16 * 60),
    "rules_version": (0, _INT32 - 1),
    "sensor_grade": (0, 255),
    "reason": (0, 255),
    "kind": (0, 255),
    "level": (0, LEVELS - 1),
    "onset_ms": (0, MAX_TRIP_MS),
    "peak_ms": (0, MAX_TRIP_MS),
    "end_ms": (0, MAX_TRIP_MS),
    "duration_ms": (0, MAX_TRIP_MS),
    "first_t_ms": (0, MAX_TRIP_MS),
    "count": (1, MAX_BATCH_SAMPLES),
    "peak": (0, 32_000),
    "onset_speed_dkmh": (0, 4_000),
    "delta_v_dkmh": (-4_000, 4_000),
}


@dataclass(frozen=True, slots=True)
class TripStart:
    """A trip began; everything that holds for the whole trip."""

    period_ms: int
    started_at_ms: int
    utc_offset_min: int | None
    rules_version: int
    sensor_grade: int
    recording: str = ""
    vehicle: str = ""
    adapter: str = ""
    odometer_m: int | None = None
    distance_since_clear_m: int | None = None
    vin_hash: bytes = b""
    start_mono_ms: int = 0
    recorded_file: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """An event; `peak` in 0.01 m/s2, for speeding in 0.1 km/h over the limit; times since the trip's start."""

    trip_seq: int
    kind: int
    level: int
    onset_ms: int
    peak_ms: int
    end_ms: int
    duration_ms: int
    peak: int
    onset_speed_dkmh: int | None
    delta_v_dkmh: int | None
    rules_version: int
    sensor_grade: int


@dataclass(frozen=True, slots=True)
class Motion:
    """A batch of motion cells from `first_t_ms` on; `columns` as in `device.contract.motion.COLUMNS`."""

    trip_seq: int
    first_t_ms: int
    count: int
    columns: Mapping[str, Sequence[int | None]]


@dataclass(frozen=True, slots=True)
class TripEnd:
    """A trip ended, with its summary."""

    trip_seq: int
    reason: int
    summary: TripSummary
    odometer_m: int | None = None
    distance_since_clear_m: int | None = None


@dataclass(frozen=True, slots=True)
class Health:
    """Counters of the device since its last health message."""

    counters: dict[str, int] = field(default_factory=dict)


Body = TripStart | Event | Motion | TripEnd | Health

_MESSAGES: Final[dict[type, tuple[int, Any]]] = {
    TripStart: (pb.BODY_TRIP_START, pb.TripStart),
    Event: (pb.BODY_EVENT, pb.Event),
    Motion: (pb.BODY_MOTION, pb.Motion),
    TripEnd: (pb.BODY_TRIP_END, pb.TripEnd),
    Health: (pb.BODY_HEALTH, pb.Health),
}


def kind_of(body: Body) -> Any:
    """Number of the body's kind on the wire."""
    return _MESSAGES[type(body)][0]


def to_bytes(body: Body) -> bytes:
    """Protobuf bytes of a body, the same for the same body."""
    message = _MESSAGES[type(body)][1]()
    if isinstance(body, Motion):
        message.trip_seq, message.first_t_ms, message.count = body.trip_seq, body.first_t_ms, body.count
        for name in COLUMNS:
            pack_column(getattr(message, name), body.columns.get(name, ()))
    elif isinstance(body, TripEnd):
        _set_fields(message, body, skip=("summary",))
        message.summary.CopyFrom(summary_to_pb(body.summary))
    elif isinstance(body, Health):
        message.counters.update(body.counters)
    else:
        _set_fields(message, body)
    encoded: bytes = message.SerializeToString(deterministic=True)
    return encoded


def from_bytes(kind: int, raw: bytes) -> Body:
    """Read a body.

    Raises
    ------
    DecodeError
        If the bytes are not protobuf of that kind.
    ContractError
        If a value is outside the contract.
    """
    for cls, (number, message_type) in _MESSAGES.items():
        if number == kind:
            return _READERS[cls](message_type.FromString(raw))
    raise ContractError(f"unknown body kind {kind}")


def pack_column(column: pb.Column, values: Sequence[int | None]) -> None:
    """Write values as deltas; a column of nulls only stays absent (empty)."""
    if all(value is None for value in values):
        return
    previous, runs, valid = 0, [0], True
    deltas = []
    for value in values:
        if (value is not None) != valid:
            valid = not valid
            runs.append(0)
        runs[-1] += 1
        if value is not None:
            deltas.append(value - previous)
            previous = value
    column.deltas.extend(deltas)
    if len(runs) > 1:
        column.runs.extend(runs)


def unpack_column(column: pb.Column, count: int, bounds: tuple[int, int]) -> list[int | None]:
    """Read `count` values; every value must lie within `bounds`."""
    deltas, runs = column.deltas, column.runs
    if not deltas:
        if runs:
            raise ContractError("a column has runs but no values")
        return [None] * count
    if sum(runs[0::2]) != len(deltas) if runs else len(deltas) != count:
        raise ContractError("a column's runs do not match its values")
    if runs and sum(runs) != count:
        raise ContractError("a column's runs do not match the batch")
    low, high = bounds
    out: list[int | None] = []
    value, position = 0, 0
    for index, length in enumerate(runs or (count,)):
        if index % 2:
            out.extend([None] * length)
            continue
        for delta in deltas[position : position + length]:
            value += delta
            if not low <= value <= high:
                raise ContractError(f"a motion value of {value} is outside {low} to {high}")
            out.append(value)
        position += length
    return out


def summary_to_pb(summary: TripSummary) -> pb.Summary:
    """Protobuf form of a trip summary."""
    message = pb.Summary(**{name: getattr(summary, name) for name in SCALAR_FIELDS})
    for name in HISTOGRAM_FIELDS:
        histogram = dict(sorted(getattr(summary, name).items()))
        target = getattr(message, name)
        target.key_deltas.extend(b - a for a, b in pairwise([0, *histogram]))
        target.values.extend(histogram.values())
    return message


def summary_from_pb(message: pb.Summary) -> TripSummary:
    """Trip summary of its protobuf form, bounds checked."""
    summary = TripSummary()
    for name in SCALAR_FIELDS:
        setattr(summary, name, _bounded(name, getattr(message, name)))
    for name in HISTOGRAM_FIELDS:
        source = getattr(message, name)
        if len(source.key_deltas) != len(source.values) or len(source.values) > MAX_HIST_BINS:
            raise ContractError(f"{name} has {len(source.key_deltas)} keys and {len(source.values)} values")
        key, histogram = 0, {}
        for position, (delta, value) in enumerate(zip(source.key_deltas, source.values, strict=True)):
            key += delta
            if (position and not delta) or key >= _INT32:
                raise ContractError(f"{name} has keys that do not rise")
            if not value:
                raise ContractError(f"{name} has an empty bin")
            histogram[key] = _bounded(name, value)
        setattr(summary, name, histogram)
    return summary


def _bounded(name: str, value: int) -> int:
    low, high = FIELD_BOUNDS.get(name, (-_ABSURD, _ABSURD))
    if not low <= value <= high:
        raise ContractError(f"{name} of {value} is outside {low} to {high}")
    return value


def _set_fields(message: Any, body: Any, skip: tuple[str, ...] = ()) -> None:
    for name in body.__dataclass_fields__:
        value = getattr(body, name)
        if name not in skip and value is not None:
            setattr(message, name, value)


def _fields(message: Any, cls: type[Any], skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Field values of a message, None for optional fields that are absent, integers bounded."""
    values: dict[str, Any] = {}
    presence = message.DESCRIPTOR.fields_by_name
    for name in cls.__dataclass_fields__:
        if name in skip:
            continue
        absent = presence[name].has_presence and not message.HasField(name)
        value = None if absent else getattr(message, name)
        if isinstance(value, int):
            _bounded(name, value)
        if isinstance(value, str) and len(value) > MAX_TEXT:
            raise ContractError(f"{name} has {len(value)} characters, at most {MAX_TEXT}")
        values[name] = value
    return values


def _trip_start(message: pb.TripStart) -> TripStart:
    start = TripStart(**_fields(message, TripStart))
    if len(start.vin_hash) > 32:
        raise ContractError("vin_hash is over 32 bytes")
    return start


def _event(message: pb.Event) -> Event:
    event = Event(**_fields(message, Event))
    if not event.onset_ms <= event.peak_ms <= event.end_ms:
        raise ContractError("an event's onset, peak and end are out of order")
    return event


def _motion(message: pb.Motion) -> Motion:
    for name in ("trip_seq", "first_t_ms", "count"):
        _bounded(name, getattr(message, name))
    columns = {name: unpack_column(getattr(message, name), message.count, BOUNDS[name]) for name in COLUMNS}
    if None in columns["quality"]:
        raise ContractError("quality is never null")
    return Motion(message.trip_seq, message.first_t_ms, message.count, columns)


def _trip_end(message: pb.TripEnd) -> TripEnd:
    return TripEnd(**_fields(message, TripEnd, skip=("summary",)), summary=summary_from_pb(message.summary))


def _health(message: pb.Health) -> Health:
    if len(message.counters) > MAX_COUNTERS or any(len(name) > MAX_TEXT for name in message.counters):
        raise ContractError(f"more than {MAX_COUNTERS} counters, or a name of over {MAX_TEXT} characters")
    return Health({name: _bounded("counter", value) for name, value in sorted(message.counters.items())})


_READERS: Final[dict[type, Callable[[Any], Body]]] = {
    TripStart: _trip_start,
    Event: _event,
    Motion: _motion,
    TripEnd: _trip_end,
    Health: _health,
}
