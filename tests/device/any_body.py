"""Strategies for bodies of messages, and the golden payloads, for the tests of the wire."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from device.contract import bodies, wire
from device.contract.motion import COLUMNS
from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS, TripSummary
from tests.golden import wire_v1

GOLDEN = Path(wire_v1.__file__).with_name("wire")
FIRST = wire.Header("car", bytes(range(16)), 1, b"", b"boot", 1_700_000_000_000, 5_000, 1)

counts = st.integers(0, 2**53 - 1)
texts = st.text(max_size=256)
times = st.integers(0, bodies.MAX_TRIP_MS)
enums = st.integers(0, 4)
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


any_body = st.one_of(trip_starts, events, motions(), trip_ends, healths)


def golden() -> dict[str, bytes]:
    return {file.stem: bytes.fromhex(file.read_text()) for file in sorted(GOLDEN.glob("v*/*.hex"))}


def taken(payload: bytes) -> wire.Message:
    message = wire.decode(payload)
    assert isinstance(message, wire.Message), message
    return message
