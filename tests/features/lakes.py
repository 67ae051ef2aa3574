"""Small lakes for the tests: random but plausible motion, derived and published as sealing would."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime

import polars as pl

from device.contract.motion import MotionSample
from features.derive import derive
from ingest.contract.lake import Lake
from ingest.contract.publish import publish
from ingest.contract.tables import trip_id, trip_key
from tests.features.trips import PERIOD_MS, Trip, heads_of, motion_of


def utc_ms(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp() * 1000)


def drive(
    seed: int, device: str, start_ms: int, minutes: float = 4, utc_offset_min: int | None = 60
) -> tuple[Trip, str, str]:
    """A trip of plausible motion, its id and device."""
    chance = random.Random(seed)
    speed, accel, samples = 0.0, 0.0, []
    lateral = chance.random() < 0.5
    limit = chance.choice([None, 50, 120])
    for i in range(int(minutes * 60_000 / PERIOD_MS)):
        accel = max(-5.0, min(4.0, 0.7 * accel + chance.gauss(0.15 if speed < 90 else -0.3, 1.2)))
        speed = max(0.0, min(160.0, speed + accel * 3.6 * PERIOD_MS / 1000))
        known = chance.random() > 0.01
        samples.append(
            MotionSample(
                i * PERIOD_MS,
                round(speed * 10) if known else None,
                round(accel * 100) if known else None,
                round(chance.gauss(0, 150)) if lateral else None,
                engine=1,
                limit_kmh=limit,
            )
        )
    name = trip_id(device, f"{seed:032x}", 1)
    return Trip(trip_key(name), start_ms, utc_offset_min, samples), name, device


def sealed(trips: list[tuple[Trip, str, str]], *, with_motion: bool = True) -> dict[str, pl.DataFrame]:
    """Tables of the lake for these trips."""
    ordered = sorted((trip for trip, _, _ in trips), key=lambda t: t.key)
    names = pl.DataFrame(
        [(trip.key, name, device) for trip, name, device in trips],
        schema={"trip_key": pl.UInt64, "trip_id": pl.String, "device_id": pl.String},
        orient="row",
    )
    motion = motion_of(ordered)
    heads = heads_of(ordered).drop("trip_id", "device_id").join(names, on="trip_key")
    derived = derive(motion, heads)
    rows = heads.join(derived.summaries, on="trip_key").with_columns(
        complete=pl.lit(value=True), chain_ok=pl.lit(value=True), has_motion=with_motion, represents=1
    )
    tables = {"trips": rows, "events": derived.events}
    return tables | {"motion": motion} if with_motion else tables


def lake_of(folder, trips: list[tuple[Trip, str, str]], *, with_motion: bool = True) -> Lake:
    lake = Lake(folder)
    publish(lake, "messages", [sealed(trips, with_motion=with_motion)])
    return lake


def year_of_trips(devices: int = 5, months: int = 3) -> list[tuple[Trip, str, str]]:
    """Three trips a month and device, on different days and hours."""
    return [
        drive(1_000 * car + 10 * month + k, f"car-{car}", utc_ms(2025, month, 3 + 7 * k, (5 * car + 7 * k) % 24, 30))
        for car in range(devices)
        for month in range(1, months + 1)
        for k in range(3)
    ]


RATING = date(2025, 4, 1)
