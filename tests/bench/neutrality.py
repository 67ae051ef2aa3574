"""Does the adapter change the features? The same real drives as a slow, a usual and a fast device would have seen them.

    10 Hz OBD    whole km/h ten times a second: what the others are held against
    3 Hz clone   whole km/h three times a second
    1 Hz OBD     whole km/h once a second
    1 Hz GNSS    speed with decimals once a second, and course: the phone's own if there, else means of a second
    IMU          10 Hz OBD and the phone's accelerometer and gyroscope, mounting learnt before

Everything goes through the device's pipeline, the batch core, driver periods and the catalogue. Drives: IKHYD (14.5 km
in town, OBD at 10 Hz), BMW (3 km, CAN at 12 Hz, with an IMU), comma2k19 (a minute of motorway). All drives of a device
are one driver's; minimum exposures of the catalogue are put aside. With 18 km, one event is 5.4 per 100 km.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

from device.contract.motion import MotionSample
from device.contract.signals import Reading
from device.mounting import Mounting
from device.pipeline import Pipeline, TripStarted
from features.contract.catalogue import load_catalogue
from features.contract.window import rating_features
from features.derive import derive
from features.periods import sum_trips
from replay_data.importers import load
from tests.bench.drives import SHARED
from tests.bench.imu_drives import Floats, bmw, comma2k19, imu_readings, merged
from tests.bench.motion import learnt
from tests.bench.row import Row
from tests.features.trips import Trip, heads_of, motion_of

START_MS = 1_767_600_000_000  # a Monday morning in 2026
RATING = date(2026, 2, 1)
BESIDE = "10 Hz OBD"
# What lies this close to the 10 Hz device, as a part of its value, is called alike.
ALIKE = 0.10


class Bus(NamedTuple):
    """A drive's speed as often as the car tells it, and what else was recorded."""

    name: str
    t_s: Floats
    speed_kmh: Floats
    gnss: list[Reading] | None = None
    imu: list[Reading] | None = None


def run() -> list[Row]:
    """Every feature of the catalogue that these drives have, by device."""
    drives = [drive for read in (_ikhyd, _bmw, _comma2k19) if (drive := read()) is not None]
    if not drives:
        sys.stderr.write("neutrality: no drive is there; see UBI_SHARED_DATA\n")
        return []
    rows = _table(" + ".join(drive.name for drive in drives), drives, ("3 Hz clone", "1 Hz OBD", "1 Hz GNSS"))
    with_imu = [drive for drive in drives if drive.imu is not None]
    return rows + (_table(" + ".join(drive.name for drive in with_imu), with_imu, ("IMU",)) if with_imu else [])


def _table(name: str, drives: list[Bus], devices: tuple[str, ...]) -> list[Row]:
    """Rows of the features, each with the 10 Hz device's value as its anchor, and how many are alike."""
    reference = features([DEVICES[BESIDE](drive) for drive in drives])
    rows = []
    for device in devices:
        found = features([DEVICES[device](drive) for drive in drives])
        told = {key: value for key, value in found.items() if value is not None or reference[key] is not None}
        both = {key: (value, reference[key]) for key, value in told.items()}
        alike = [a is not None and b is not None and abs(a - b) <= ALIKE * max(abs(b), 1e-9) for a, b in both.values()]
        about = f"{device}, {name}"
        rows.append(Row(f"{about}: features within {ALIKE:.0%} of {BESIDE}", sum(alike), f"of {len(alike)}"))
        rows += [
            Row(f"{about}: {key}", float("nan") if a is None else a, _unit(key), None, b)
            for (key, (a, b)), same in zip(both.items(), alike, strict=True)
            if not same
        ]
    return rows


def features(drives: list[tuple[list[Reading], Mounting | None]]) -> dict[str, float | None]:
    """Every feature of one driver's drives, a day apart; null where it is not known."""
    trips = [trip for day, drive in enumerate(drives) for trip in trips_of(*drive, START_MS + day * 86_400_000)]
    trips = [replace(trip, key=number) for number, trip in enumerate(trips)]
    heads = heads_of(trips)
    derived = derive(motion_of(trips), heads)
    rows = heads.join(derived.summaries, on="trip_key").with_columns(
        driver_id=pl.lit("driver"),
        policy_id=pl.lit(None, pl.String),
        complete=pl.lit(value=True),
        chain_ok=pl.lit(value=True),
        has_motion=pl.lit(value=True),
        represents=pl.lit(1, pl.Int32),
    )
    catalogue = load_catalogue()
    catalogue = replace(
        catalogue, features=tuple(replace(feature, min_exposure_km=0) for feature in catalogue.features)
    )
    rating = pl.DataFrame({"driver_id": ["driver"], "rating_date": [RATING]})
    found = rating_features(sum_trips(rows, derived.events), rating, catalogue=catalogue).row(0, named=True)
    return {feature.name: found[feature.name] for feature in catalogue.features}


def trips_of(readings: list[Reading], mounting: Mounting | None, start_ms: int) -> list[Trip]:
    """Trips that the device makes of readings, all with key 0."""
    pipeline = Pipeline(lambda mono_ms: (start_ms + mono_ms, 60), mounting=mounting)
    outputs = [output for reading in readings for output in pipeline.push(reading)] + pipeline.finish()
    trips: list[Trip] = []
    for output in outputs:
        if isinstance(output, TripStarted):
            rules = pipeline.rules.version
            trips.append(Trip(0, output.started_at_ms, output.utc_offset_min, [], output.period_ms, rules))
        elif isinstance(output, MotionSample):
            trips[-1].samples.append(output)
    return trips


def _unit(name: str) -> str:
    return next(feature.unit for feature in load_catalogue().features if feature.name == name)


def _obd(drive: Bus, rate_hz: float) -> list[Reading]:
    """The last speed on the bus, in whole km/h."""
    at_s = np.arange(drive.t_s[0], drive.t_s[-1], 1 / rate_hz)
    held = np.maximum(np.searchsorted(drive.t_s, at_s, side="right") - 1, 0)
    return [
        Reading(round(t * 1_000), "speed_kmh", float(round(drive.speed_kmh[index])))
        for t, index in zip(at_s, held, strict=True)
    ]


def _gnss(drive: Bus) -> list[Reading]:
    if drive.gnss is not None:
        return drive.gnss
    at_s = np.arange(drive.t_s[0] + 0.5, drive.t_s[-1] - 0.5, 1.0)
    total = np.concatenate([[0.0], np.cumsum(drive.speed_kmh)])
    first, last = np.searchsorted(drive.t_s, at_s - 0.5), np.searchsorted(drive.t_s, at_s + 0.5)
    means = (total[last] - total[first]) / np.maximum(last - first, 1)
    return [Reading(round(t * 1_000), "gnss_speed_kmh", float(v)) for t, v in zip(at_s, means, strict=True)]


def _with_imu(drive: Bus) -> tuple[list[Reading], Mounting | None]:
    readings = merged(_obd(drive, 10.0), drive.imu or [])
    return readings, learnt(readings)


DEVICES: dict[str, Callable[[Bus], tuple[list[Reading], Mounting | None]]] = {
    "10 Hz OBD": lambda drive: (_obd(drive, 10.0), None),
    "3 Hz clone": lambda drive: (_obd(drive, 3.0), None),
    "1 Hz OBD": lambda drive: (_obd(drive, 1.0), None),
    "1 Hz GNSS": lambda drive: (_gnss(drive), None),
    "IMU": _with_imu,
}


def _ikhyd() -> Bus | None:
    file = SHARED / "ikhyd" / "trip_with_obd.txt"
    if not file.is_file():
        return None
    _, readings = load(file)
    obd = [r for r in readings if r.signal == "speed_kmh" and r.value is not None]
    gnss = [r for r in readings if r.signal == "gnss_speed_kmh"]
    times = np.array([r.t_ms / 1_000 for r in obd])
    return Bus("IKHYD", times, np.array([r.value for r in obd], np.float64), gnss)


def _bmw() -> Bus | None:
    drive = bmw()
    if drive is None:
        return None
    phone = pl.read_csv(SHARED / "bmw-can-phone" / "dataset1_phone.csv", infer_schema_length=None)
    fix = phone["locationTimestamp_since1970(s)"].to_numpy()
    new = np.flatnonzero(np.diff(fix, prepend=0) != 0)
    gnss = [
        reading
        for row in new
        for reading in (
            Reading(round(drive.imu_t_s[row] * 1_000), "gnss_speed_kmh", 3.6 * phone["locationSpeed(m/s)"][int(row)]),
            Reading(round(drive.imu_t_s[row] * 1_000), "gnss_course_deg", phone["locationCourse(°)"][int(row)]),
        )
        if reading.value is not None and reading.value >= 0
    ]
    return Bus("BMW", drive.speed_t_s, drive.speed_kmh, gnss, imu_readings(drive))


def _comma2k19() -> Bus | None:
    drive = comma2k19()
    return None if drive is None else Bus("comma2k19", drive.speed_t_s, drive.speed_kmh)
