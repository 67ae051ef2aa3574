"""What one trip adds to its driver period: every column against a scalar twin, on trips with anything left out."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from device.contract.rules import KIND_NUMBERS
from device.contract.trip import SCALAR_FIELDS
from features.calendar import holidays_of
from features.context import CONTEXTS, load_weights
from features.contract.periods import DRIVER_PERIODS, MAXIMA, SUMS
from features.worth import trip_worths
from ingest.contract.tables import EVENTS, TRIPS

ALONG = {KIND_NUMBERS[kind] for kind in ("harsh_braking", "harsh_acceleration")}
SPEEDING = KIND_NUMBERS["speeding"]
KM = 1_000_000
REGIONS = [None, "DE", "DE-BY", "CN"]


def drawn(chance: random.Random, key: int) -> dict[str, Any]:
    """A trip with anything left out that may be."""

    def maybe(value: Any) -> Any:
        return value if chance.random() > 0.25 else None

    whole = chance.random() > 0.15
    by_speed = {band: chance.randint(1, 30 * KM) for band in chance.sample(range(16), chance.randint(0, 6))}
    by_hour = {hour: chance.randint(1, 30 * KM) for hour in chance.sample(range(168), chance.randint(0, 6))}
    summary: dict[str, Any] = dict.fromkeys(SCALAR_FIELDS)
    if whole:
        summary = {name: chance.randint(0, 10**7) for name in SCALAR_FIELDS}
        summary |= {"distance_mm": sum(by_speed.values()), "samples": chance.randint(1, 10**5)}
        summary |= {"unobserved_ms": chance.choice([0, 40_000]), "duration_ms": chance.randint(0, 10**7)}
        summary["accel_null_samples"] = chance.randint(0, summary["samples"])
        summary["lateral_samples"] = chance.randint(0, summary["samples"])
        observed_ms = summary["observed_ms"]
        summary["limit_known_ms"] = chance.choice([0, observed_ms, chance.randint(0, observed_ms)])
    readings = rising(chance, 10**8)
    since = rising(chance, 65_536)
    return summary | {
        "trip_key": key,
        "device_id": chance.choice(["a", "b"]),
        "stream_id": "aa",
        "recording": maybe(None) or chance.choice([None, "ff"]),
        "vin_hash": maybe("01"),
        "start_ms": 1_735_000_000_000 + chance.randint(0, 40_000_000_000),
        "utc_offset_min": maybe(chance.choice([0, 60, 120, -300, 345])),
        "sensor_grade": maybe(chance.randint(0, 4)),
        "odometer_start_m": maybe(readings[0]),
        "odometer_end_m": maybe(readings[1]),
        "distance_since_clear_start_m": maybe(since[0] * 1_000),
        "distance_since_clear_end_m": maybe(chance.choice([since[1] * 1_000, 65_535_000])),
        "dtc_count": maybe(chance.choice([0, 2])),
        "speed_rate_dhz": maybe(chance.randint(5, 200)),
        "complete": whole and chance.random() > 0.1,
        "chain_ok": chance.random() > 0.1,
        "signature": maybe(chance.choice(["verified", "bad", "unverified", "none"])),
        "clock_suspect": maybe(chance.random() < 0.2),
        "conflicts": maybe(chance.choice([0, 0, 3])),
        "represents": maybe(chance.choice([1, 1, 1, 4])),
        "distance_by_speed_mm": [{"key": k, "value": v} for k, v in sorted(by_speed.items())] if whole else None,
        "distance_by_hour_mm": [{"key": k, "value": v} for k, v in sorted(by_hour.items())] if whole else None,
    }


def rising(chance: random.Random, below: int) -> tuple[int, int]:
    """Readings of a counter: mostly rising by what a car drives, sometimes falling or jumping."""
    start = chance.randrange(below)
    return start, chance.choice([start + chance.randint(0, 90), chance.randrange(below), max(start - 5, 0)])


def by_definition(trip: dict[str, Any], region: str | None, events: list[tuple[int, int, int]]) -> dict[str, int]:
    """The sums of one trip, written out; `events` are kind, level and onset."""
    weight = trip["represents"] or 1
    known = trip["distance_mm"] is not None
    mm = trip["distance_mm"] or 0
    offset = None if trip["clock_suspect"] else trip["utc_offset_min"]
    hours = [] if trip["clock_suspect"] else trip["distance_by_hour_mm"] or []
    local = lambda ms: datetime.fromtimestamp(ms / 1_000, UTC) + timedelta(minutes=offset or 0)  # noqa: E731
    placed = offset is not None and region is not None
    holiday = placed and local(trip["start_ms"]).date() in holidays_of(region, local(trip["start_ms"]).year)
    night = [
        1
        for kind, _, onset in events
        if kind in ALONG and offset is not None and not 5 <= local(trip["start_ms"] + onset).hour < 22
    ]
    limited = known and trip["limit_known_ms"] > 0 and 2 * trip["limit_known_ms"] >= trip["observed_ms"]
    speedings = [level for kind, level, _ in events if kind == SPEEDING and limited]
    night_mm = sum(bin_["value"] for bin_ in hours if not 5 <= bin_["key"] % 24 < 22)
    row = {
        "trips": 1,
        "incomplete_trips": not trip["complete"],
        "short_trips": known and mm < 5 * KM,
        "long_trips": known and mm >= 100 * KM,
        "long_drive_trips": known and trip["moving_ms"] >= 7_200_000,
        "unsummed_trips": not known,
        "gap_trips": known and trip["unobserved_ms"] > 0,
        "clock_suspect_trips": bool(trip["clock_suspect"]),
        "chain_broken_trips": not trip["chain_ok"],
        "bad_signature_trips": trip["signature"] == "bad",
        "conflict_trips": (trip["conflicts"] or 0) > 0,
        "dtc_trips": (trip["dtc_count"] or 0) > 0,
        "dtc_known_trips": trip["dtc_count"] is not None,
        "vin_trips": trip["vin_hash"] is not None,
        "local_unknown_mm": mm * (offset is None),
        "accel_mm": mm * (trip["samples"] - trip["accel_null_samples"]) // trip["samples"] if known else 0,
        "limit_speedings": len(speedings),
        "limit_severe_speedings": len([level for level in speedings if level >= 2]),
        "limit_mm": mm * trip["limit_known_ms"] // trip["observed_ms"] if limited else 0,
        "lateral_mm": mm * trip["lateral_samples"] // trip["samples"] if known else 0,
        "holiday_known_mm": mm * placed,
        "holiday_mm": mm * holiday,
        "night_harsh_events": len(night),
        "night_accel_mm": night_mm * (trip["samples"] - trip["accel_null_samples"]) // trip["samples"] if known else 0,
        "imu_mm": mm * (trip["sensor_grade"] == 3),
        "gnss_mm": mm * (trip["sensor_grade"] == 2),
        "graded_mm": mm * ((trip["sensor_grade"] or 0) > 0),
        "rate_known_ms": (trip["duration_ms"] or 0) * (trip["speed_rate_dhz"] is not None),
        "speed_readings": (trip["duration_ms"] or 0) * (trip["speed_rate_dhz"] or 0) // 10_000,
        **{name: trip[name] or 0 for name in SCALAR_FIELDS if name not in MAXIMA},
        **_context(trip),
    }
    row = {name: weight * int(value) for name, value in row.items()}
    for counter, source, full in (("odometer", "odometer", 2**30), ("since_clear", "distance_since_clear", 65_535_000)):
        start, end = trip[f"{source}_start_m"], trip[f"{source}_end_m"]
        jump = (
            start is not None and end is not None and end - start > (trip["duration_ms"] or 10**9) * 84 // 1_000 + 2_000
        )
        start = None if start is not None and (jump or start >= full) else start
        end = None if end is not None and (jump or end >= full) else end
        rise = 0 if start is None or end is None else end - start
        both = weight == 1 and start is not None and end is not None
        rose = both and rise >= 0
        whole = rose and trip["complete"] and trip["unobserved_ms"] == 0
        row |= {
            f"{counter}_inside_m": rise * rose,
            f"{counter}_recorded_mm": mm * rose,
            f"{counter}_whole_m": rise * whole,
            f"{counter}_whole_mm": mm * whole,
            f"{counter}_trips": int(rose),
            f"{counter}_falls": int(both and not rose),
        }
    return row


def _context(trip: dict[str, Any]) -> dict[str, int]:
    by_speed = {entry["key"]: entry["value"] for entry in trip["distance_by_speed_mm"] or []}
    total, town = sum(by_speed.values()), sum(mm for band, mm in by_speed.items() if band < 5)
    fast = sum(mm for band, mm in by_speed.items() if band >= 10)
    kind = 0 if 2 * town > total else 2 if 2 * fast >= total else 1
    expected = {
        name: sum(mm * int(weights[kind, band]) for band, mm in by_speed.items()) // 1_000
        for name, weights in zip(CONTEXTS, load_weights(), strict=True)
    }
    samples = trip["samples"] or 0
    along, across = samples - (trip["accel_null_samples"] or 0), trip["lateral_samples"] or 0
    seen = {"braking": along, "acceleration": along, "turn": across}
    expected = {name: mm * seen[name] // max(samples, 1) for name, mm in expected.items()}
    return {f"{name}_context_mm": mm for name, mm in expected.items()}


@pytest.mark.parametrize("seed", range(5))
def test_every_sum_is_what_its_definition_says(seed):
    chance = random.Random(seed)
    trips = [drawn(chance, key) for key in range(60)]
    regions = [chance.choice(REGIONS) for _ in trips]
    events = [
        (chance.randrange(60), chance.randint(1, 7), chance.randint(1, 2), chance.randint(0, 7_200_000))
        for _ in range(300)
    ]
    frame = pl.DataFrame(trips, schema=TRIPS).with_columns(
        policy_id=pl.lit("P"), driver_id=pl.lit("ann"), region=pl.Series(regions, dtype=pl.String)
    )
    rows = trip_worths(
        frame,
        pl.DataFrame(
            [{"trip_key": key, "kind": kind, "level": level, "onset_ms": ms} for key, kind, level, ms in events],
            schema=EVENTS,
        ),
    )
    compared = [name for name in SUMS if name != "contents"]
    for trip, region, row in zip(trips, regions, rows.to_dicts(), strict=True):
        own = [event for key, *event in events if key == trip["trip_key"]]
        assert {name: row[name] for name in compared} == by_definition(trip, region, own)


def test_speeding_is_counted_where_the_limit_is_known_for_half_of_the_time():
    known_ms = [0, 499, 500, 1_000]
    trips = [
        {"trip_key": key, "distance_mm": 8 * KM, "observed_ms": 1_000, "limit_known_ms": ms}
        for key, ms in enumerate(known_ms)
    ]
    frame = pl.DataFrame(trips, schema=TRIPS).with_columns(policy_id=pl.lit("P"), driver_id=pl.lit("ann"))
    happened = [{"trip_key": key, "kind": SPEEDING, "level": level} for key in range(4) for level in (1, 2)]
    rows = trip_worths(frame, pl.DataFrame(happened, schema=EVENTS))
    told = rows.select("limit_mm", "limit_speedings", "limit_severe_speedings").rows()
    assert told == [(0, 0, 0), (0, 0, 0), (4 * KM, 2, 1), (8 * KM, 2, 1)]


def test_columns_that_a_table_does_not_have_count_as_not_told():
    chance = random.Random(3)
    frame = pl.DataFrame([drawn(chance, key) for key in range(20)], schema=TRIPS).with_columns(
        policy_id=pl.lit("P"), driver_id=pl.lit("ann")
    )
    untold = ["odometer_start_m", "vin_hash", "dtc_count", "signature", "stream_id", "speed_rate_dhz", "conflicts"]
    nulls = frame.with_columns(pl.lit(None, TRIPS[name]).alias(name) for name in untold)
    columns = [name for name in DRIVER_PERIODS if name != "event_counts"]
    events = EVENTS.to_frame()
    found = trip_worths(frame.drop(untold), events).select(columns)
    assert found.equals(trip_worths(nulls, events).select(columns))
