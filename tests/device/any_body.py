"""Strategies for bodies of messages, and the golden payloads, for the tests of the wire."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from device.contract import bodies, wire
from device.contract import wire_pb2 as pb
from device.contract.motion import COLUMNS
from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS, TripSummary
from tests.golden import wire_v1

GOLDEN = Path(wire_v1.__file__).with_name("wire")
FIRST = wire.Header("car", bytes(range(16)), 1, b"", b"boot", 1_700_000_000_000, 5_000, 1)

counts = st.integers(0, 2**53 - 1)
texts = st.text(max_size=256)
times = st.integers(0, bodies.MAX_TRIP_MS)
enums = st.integers(0, 4)
cells = st.none() | st.builds(bodies.Cell, st.integers(-9_000, 9_000), st.integers(-18_000, 18_000))
rates = st.none() | st.integers(0, 10_000)
dtc_counts = st.none() | st.integers(0, 255)
trip_starts = st.builds(
    bodies.TripStart,
    period_ms=st.integers(10, 60_000),
    started_at_ms=st.integers(-(2**53), 2**53),
    utc_offset_min=st.none() | st.integers(-960, 960),
    rules_version=st.integers(0, 2**31 - 1),
    sensor_grade=enums,
    recording=texts,
    vehicle=texts,
    adapter=texts,
    odometer_m=st.none() | counts,
    distance_since_clear_m=st.none() | counts,
    vin_hash=st.binary(max_size=32),
    start_mono_ms=counts,
    recorded_file=texts,
    speed_rate_dhz=rates,
    dtc_count=dtc_counts,
    start_cell=cells,
    config_version=counts,
)
events = st.builds(
    lambda at, **rest: bodies.Event(**dict(zip(("onset_ms", "peak_ms", "end_ms"), sorted(at), strict=True)), **rest),
    st.tuples(times, times, times),
    trip_seq=st.integers(1, 2**53),
    kind=st.integers(0, 255),
    level=st.integers(0, 7),
    duration_ms=times,
    peak=st.integers(0, 32_000),
    onset_speed_dkmh=st.none() | st.integers(0, 4_000),
    delta_v_dkmh=st.none() | st.integers(-4_000, 4_000),
    rules_version=st.integers(0, 2**31 - 1),
    sensor_grade=enums,
    cell=cells,
)
summaries = st.builds(
    TripSummary,
    **dict.fromkeys(SCALAR_FIELDS, counts) | {"duration_ms": times},
    **dict.fromkeys(
        HISTOGRAM_FIELDS, st.dictionaries(st.integers(0, 2**31 - 1), st.integers(1, 2**53 - 1), max_size=20)
    ),
)
trip_ends = st.builds(
    bodies.TripEnd,
    trip_seq=st.integers(1, 2**53),
    reason=st.integers(0, 3),
    summary=summaries,
    odometer_m=st.none() | counts,
    distance_since_clear_m=st.none() | counts,
    sensor_grade=enums,
    speed_rate_dhz=rates,
    dtc_count=dtc_counts,
    adapter=texts,
    end_cell=cells,
    vin_hash=st.binary(max_size=32),
    speed_readings=st.none() | counts,
    speed_missed=st.none() | counts,
    speed_step_dkmh=st.none() | st.integers(0, 4_000),
    speed_frozen=st.none() | st.integers(0, 2**31 - 1),
)
healths = st.builds(bodies.Health, st.dictionaries(texts, counts, max_size=20))


@st.composite
def motions(draw: st.DrawFn) -> bodies.Motion:
    count = draw(st.integers(1, 80))
    columns = {}
    for name in COLUMNS:
        low, high = bodies.BOUNDS[name]
        values = st.integers(low, high)
        cells = values if name == "quality" else st.none() | values
        columns[name] = draw(st.lists(cells, min_size=count, max_size=count) | st.just([draw(cells)] * count))
    return bodies.Motion(draw(st.integers(1, 2**53)), draw(times), count, columns)


@st.composite
def tracks(draw: st.DrawFn) -> bodies.Track:
    points = st.none() | st.tuples(st.integers(-9_000_000, 9_000_000), st.integers(-18_000_000, 18_000_000))
    track = draw(st.lists(points, min_size=1, max_size=80))
    lat, lon = ([point and point[axis] for point in track] for axis in (0, 1))
    return bodies.Track(draw(st.integers(1, 2**53)), draw(times), draw(st.integers(10, 60_000)), lat, lon)


@st.composite
def impacts(draw: st.DrawFn) -> bodies.Impact:
    around = draw(st.none() | motions())
    trip_seq = draw(st.sampled_from([0, around.trip_seq])) if around else draw(st.integers(0, 2**53))
    return bodies.Impact(
        trip_seq=trip_seq,
        t_ms=draw(times),
        peak_cmps2=draw(st.integers(0, 32_000)),
        speed_dkmh=draw(st.none() | st.integers(0, 4_000)),
        complete=draw(st.booleans()),
        period_ms=draw(st.integers(10, 60_000)),
        around=around and replace(around, trip_seq=trip_seq),
        cell=draw(cells),
    )


any_body = st.one_of(trip_starts, events, motions(), trip_ends, healths, tracks(), impacts())


def golden() -> dict[str, bytes]:
    return {file.stem: bytes.fromhex(file.read_text()) for file in sorted(GOLDEN.glob("v*/*.hex"))}


def taken(payload: bytes) -> wire.Message:
    message = wire.decode(payload)
    assert isinstance(message, wire.Message), message
    return message


MESSAGES: dict[type, Any] = {wire.Header: pb.Header} | {
    getattr(bodies, name): getattr(pb, name)
    for name in ("TripStart", "Event", "Impact", "Motion", "Track", "TripEnd", "Health")
}


def present(message: Any) -> Iterator[str]:
    """Names of all fields of a protobuf message that are set, and of those of the messages inside."""
    for field, value in message.ListFields():
        yield field.name
        inner = field.message_type is not None and not field.message_type.GetOptions().map_entry
        for one in (value if field.is_repeated else [value]) if inner else []:
            yield from present(one)
