"""The protobuf form of bodies: dataclass to bytes and back, every value within its bounds or refused."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

from device.contract import wire_pb2 as pb
from device.contract.bodies import (
    ABSURD,
    BOUNDS,
    FIELD_BOUNDS,
    MAX_COUNTERS,
    MAX_HASH_BYTES,
    MAX_HIST_BINS,
    MAX_TEXT,
    Body,
    Cell,
    Event,
    Health,
    Impact,
    Motion,
    Track,
    TripEnd,
    TripStart,
)
from device.contract.columns import pack_column, unpack_column
from device.contract.errors import ContractError
from device.contract.motion import COLUMNS
from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS, TripSummary

_KEY_LIMIT: Final = 2**31
_TRACK: Final = ("lat_e5deg", "lon_e5deg")

_MESSAGES: Final[dict[type, tuple[int, Any]]] = {
    TripStart: (pb.BODY_TRIP_START, pb.TripStart),
    Event: (pb.BODY_EVENT, pb.Event),
    Motion: (pb.BODY_MOTION, pb.Motion),
    TripEnd: (pb.BODY_TRIP_END, pb.TripEnd),
    Health: (pb.BODY_HEALTH, pb.Health),
    Track: (pb.BODY_TRACK, pb.Track),
    Impact: (pb.BODY_IMPACT, pb.Impact),
}


def kind_of(body: Body) -> Any:
    """Number of the body's kind on the wire."""
    return _MESSAGES[type(body)][0]


def to_bytes(body: Body) -> bytes:
    """Protobuf bytes of a body, the same for the same body.

    Raises
    ------
    ContractError
        If the two columns of a track differ in length.
    """
    message = _MESSAGES[type(body)][1]()
    if isinstance(body, Motion):
        _write_motion(message, body)
    elif isinstance(body, Track):
        _write_track(message, body)
    elif isinstance(body, Impact):
        _set_fields(message, body, skip=("around",))
        if body.around is not None:
            _write_motion(message.around, body.around)
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
            if (position and not delta) or key >= _KEY_LIMIT:
                raise ContractError(f"{name} has keys that do not rise")
            if not value:
                raise ContractError(f"{name} has an empty bin")
            histogram[key] = _bounded(name, value)
        setattr(summary, name, histogram)
    return summary


def _bounded(name: str, value: int) -> int:
    low, high = FIELD_BOUNDS.get(name, (-ABSURD, ABSURD))
    if not low <= value <= high:
        raise ContractError(f"{name} of {value} is outside {low} to {high}")
    return value


def _set_fields(message: Any, body: Any, skip: tuple[str, ...] = ()) -> None:
    for name in body.__dataclass_fields__:
        value = getattr(body, name)
        if isinstance(value, Cell):
            getattr(message, name).CopyFrom(pb.Cell(lat_cdeg=value.lat_cdeg, lon_cdeg=value.lon_cdeg))
        elif name not in skip and value is not None:
            setattr(message, name, value)


def _write_motion(message: pb.Motion, body: Motion) -> None:
    message.trip_seq, message.first_t_ms, message.count = body.trip_seq, body.first_t_ms, body.count
    for name in COLUMNS:
        pack_column(getattr(message, name), body.columns.get(name, ()))


def _write_track(message: pb.Track, body: Track) -> None:
    if len(body.lat_e5deg) != len(body.lon_e5deg):
        raise ContractError("a track's columns differ in length")
    _set_fields(message, body, skip=_TRACK)
    message.count = len(body.lat_e5deg)
    for name in _TRACK:
        pack_column(getattr(message, name), getattr(body, name))


def _fields(message: Any, cls: type[Any], skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Field values of a message, None for optional fields that are absent, each within its bounds."""
    values: dict[str, Any] = {}
    presence = message.DESCRIPTOR.fields_by_name
    for name in cls.__dataclass_fields__:
        if name in skip:
            continue
        absent = presence[name].has_presence and not message.HasField(name)
        value = None if absent else getattr(message, name)
        if isinstance(value, int):
            _bounded(name, value)
        elif isinstance(value, str) and len(value) > MAX_TEXT:
            raise ContractError(f"{name} has {len(value)} characters, at most {MAX_TEXT}")
        elif isinstance(value, bytes) and len(value) > MAX_HASH_BYTES:
            raise ContractError(f"{name} is over {MAX_HASH_BYTES} bytes")
        elif isinstance(value, pb.Cell):
            value = Cell(_bounded("lat_cdeg", value.lat_cdeg), _bounded("lon_cdeg", value.lon_cdeg))
        values[name] = value
    return values


def _trip_start(message: pb.TripStart) -> TripStart:
    return TripStart(**_fields(message, TripStart))


def _event(message: pb.Event) -> Event:
    event = Event(**_fields(message, Event))
    if not event.onset_ms <= event.peak_ms <= event.end_ms:
        raise ContractError("an event's onset, peak and end are out of order")
    return event


def _motion(message: pb.Motion) -> Motion:
    _bounded("trip_seq", message.trip_seq)
    return _batch(message)


def _batch(message: pb.Motion) -> Motion:
    """Motion of a trip, or, with trip_seq 0, around an impact outside of one."""
    for name in ("first_t_ms", "count"):
        _bounded(name, getattr(message, name))
    columns = {name: unpack_column(getattr(message, name), message.count, BOUNDS[name]) for name in COLUMNS}
    if None in columns["quality"]:
        raise ContractError("quality is never null")
    return Motion(message.trip_seq, message.first_t_ms, message.count, columns)


def _track(message: pb.Track) -> Track:
    count = _bounded("count", message.count)
    lat, lon = (unpack_column(getattr(message, name), count, FIELD_BOUNDS[name]) for name in _TRACK)
    if any((a is None) != (b is None) for a, b in zip(lat, lon, strict=True)):
        raise ContractError("a point has a latitude without a longitude, or the other way round")
    return Track(**_fields(message, Track, skip=_TRACK), lat_e5deg=lat, lon_e5deg=lon)


def _impact(message: pb.Impact) -> Impact:
    fields = _fields(message, Impact, skip=("trip_seq", "around"))
    trip_seq = message.trip_seq and _bounded("trip_seq", message.trip_seq)
    around = _batch(message.around) if message.HasField("around") else None
    if around is not None and around.trip_seq != trip_seq:
        raise ContractError("the motion around an impact is of another trip")
    return Impact(trip_seq=trip_seq, around=around, **fields)


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
    Track: _track,
    Impact: _impact,
}
