"""Sealed trips and events in the units and words of `features.contract.tables`."""

from __future__ import annotations

from typing import Final

import polars as pl

from device.contract.motion import COARSE_STEP_DKMH
from device.contract.rules import KIND_NAMES, KIND_NUMBERS
from features.contract.tables import EVENTS, TRIPS

# Numbers of the wire's SensorGrade.
SENSOR_GRADES: Final = {0: "unknown", 1: "obd_speed", 2: "gnss", 3: "imu", 4: "simulated"}
COARSE_PERCENT: Final = 1  # every trip has some at its ends
MISSED_PARTS: Final = 3  # healthy adapters, polled unevenly, seem to miss up to a quarter
_SPEEDING: Final = KIND_NUMBERS["speeding"]
_WITHOUT_FORCE: Final = (_SPEEDING, KIND_NUMBERS["idling"])


def published_trips(trips: pl.DataFrame) -> pl.DataFrame:
    """Trips as `features.contract.tables.TRIPS`.

    Parameters
    ----------
    trips : pl.DataFrame
        Columns of `ingest.contract.tables.TRIPS` plus policy_id and driver_id, and content (`features.contents`),
        which may be left out: null then.
    """
    if "content" not in trips.columns:
        trips = trips.with_columns(content=pl.lit(None, pl.String))
    flags = {
        "incomplete": ~pl.col("complete"),
        "chain": ~pl.col("chain_ok") | (pl.col("conflicts") > 0),
        "clock": pl.col("clock_suspect"),
        "gaps": pl.col("unobserved_ms") > 0,
        "jumps": pl.col("jump_samples") > 0,
        "coarse": 100 * pl.col("coarse_samples") > COARSE_PERCENT * pl.col("samples"),
        # null where the device did not tell: no flag
        "sparse": MISSED_PARTS * pl.col("speed_missed") > pl.col("speed_readings") + pl.col("speed_missed"),
        "frozen": pl.col("speed_frozen") > 0,
        "coarse_speed": pl.col("speed_step_dkmh") > COARSE_STEP_DKMH,
        "no_local_time": pl.col("utc_offset_min").is_null(),
    }
    return (
        trips.sort("device_id", "start_ms", "trip_id")
        .with_columns(
            start=_utc(pl.col("start_ms")),
            end=_utc(pl.col("start_ms") + pl.col("duration_ms")),
            distance_km=_decimal("distance_mm", 6),
            moving_s=_decimal("moving_ms", 3),
            max_speed_kmh=_decimal("max_speed_dkmh", 1),
            rate_hz=(1_000 / pl.col("period_ms")).round(3),
            sensor_grade=_grade(),
            unobserved_s=_decimal("unobserved_ms", 3),
            quality_flags=pl.concat_list(
                pl.when(raised).then(pl.lit(name)) for name, raised in flags.items()
            ).list.drop_nulls(),
        )
        .select(pl.col(name).cast(kind) for name, kind in TRIPS.items())
    )


def published_events(events: pl.DataFrame, trips: pl.DataFrame) -> pl.DataFrame:
    """Events of these trips as `features.contract.tables.EVENTS`; trips as `ingest.contract.tables.TRIPS`."""
    start = pl.col("start_ms")
    speeding = pl.col("kind") == _SPEEDING
    return (
        events.join(trips.select("trip_key", "start_ms"), on="trip_key")
        .sort("device_id", "start_ms", "trip_id", "onset_ms", "kind")
        .select(
            "trip_id",
            "device_id",
            kind=pl.col("kind").replace_strict(KIND_NAMES, default=None, return_dtype=pl.String),
            level=pl.col("level"),
            onset=_utc(start + pl.col("onset_ms")),
            peak_at=_utc(start + pl.col("peak_ms")),
            end=_utc(start + pl.col("end_ms")),
            peak_mps2=pl.when(~pl.col("kind").is_in(_WITHOUT_FORCE)).then(_decimal("peak", 2)),
            peak_over_limit_kmh=pl.when(speeding).then(_decimal("peak", 1)),
            duration_ms=pl.col("duration_ms"),
            onset_speed_kmh=_decimal("onset_speed_dkmh", 1),
            delta_v_kmh=_decimal("delta_v_dkmh", 1),
            rules_version=pl.col("rules_version"),
            sensor_grade=_grade(),
        )
        .select(pl.col(name).cast(kind) for name, kind in EVENTS.items())
    )


def _utc(ms: pl.Expr) -> pl.Expr:
    return pl.from_epoch(ms, time_unit="ms").dt.replace_time_zone("UTC")


def _decimal(name: str, places: int) -> pl.Expr:
    """An integer column in units of 10**-places, as the nearest float.

    Polars divides by a literal as it multiplies by its reciprocal, but not in a frame of one row: without rounding
    the last bit would depend on how trips lie in files.
    """
    return (pl.col(name) / 10.0**places).round(places)


def _grade() -> pl.Expr:
    return pl.col("sensor_grade").replace_strict(SENSOR_GRADES, default="unknown", return_dtype=pl.String)
