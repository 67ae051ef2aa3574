"""Tables of windows, trips and drivers with a style label, made by the device's own path where there are readings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.motion import MotionSample
from device.contract.recording import open_recording
from device.driven import Driven
from device.pipeline import Pipeline
from replay_data.generate import MANIFEST
from tests.bench.drives import SHARED
from tests.bench.labelled_drives import Labelled, ferreira

FERREIRA_S, FERREIRA_STEP_S = 5, 1
BLOCK_S: Final = 60
WINDOW_S: Final = 60
AGGRESSIVE: Final = frozenset({"brisk", "reckless"})
SCORES: Final = ("Style_Score", "Corner_Score", "Acceleration_Score", "Braking_Score", "Drive_Score", "Time_Day")


class Table(NamedTuple):
    """Rows with features (the first stands alone, too), label, what must not be split (`group`), what is resampled."""

    name: str
    what: str
    groups: str
    by: str
    first: str
    features: npt.NDArray[np.float64]
    label: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    block: npt.NDArray[np.int64]
    flattering: bool = True


def ferreira_windows() -> Table | None:
    """Windows of the two labelled trips of one driver; None where the recordings are absent."""
    trips = [trip for trip in (ferreira("17"), ferreira("20")) if trip is not None]
    if len(trips) < 2:
        return None
    features, label, group, block = [], [], [], []
    for number, trip in enumerate(trips):
        last_ms = trip.samples[-1].t_ms
        for from_ms in range(trip.samples[0].t_ms, last_ms - FERREIRA_S * 1_000, FERREIRA_STEP_S * 1_000):
            features.append(_force(trip, from_ms, from_ms + FERREIRA_S * 1_000))
            label.append(_is_aggressive(trip, from_ms, from_ms + FERREIRA_S * 1_000))
            group.append(number)
            block.append(1_000 * number + from_ms // (BLOCK_S * 1_000))
    return Table(
        "driver-behavior",
        f"windows of {FERREIRA_S} s",
        "trips of one driver",
        "one of two trips",
        "peak horizontal acceleration",
        np.asarray(features),
        np.asarray(label),
        np.asarray(group),
        np.asarray(block),
    )


def own_windows() -> Table:
    """Minutes of the project's own simulated trips."""
    features, label, group = [], [], []
    for row, samples in _own():
        for minute in range(samples[-1].t_ms // (WINDOW_S * 1_000)):
            inside = [s for s in samples if minute * WINDOW_S * 1_000 <= s.t_ms < (minute + 1) * WINDOW_S * 1_000]
            made = _motion(inside)
            if made is not None:
                features.append(made)
                label.append(row["driver"] in AGGRESSIVE)
                group.append(int(row["number"]))
    return _own_table("windows of 60 s", features, label, group)


def own_trips() -> Table:
    """The project's own simulated trips, whole."""
    features, label, group = [], [], []
    for row, samples in _own():
        made = _motion(samples)
        if made is not None:
            features.append(made)
            label.append(row["driver"] in AGGRESSIVE)
            group.append(int(row["number"]))
    return _own_table("trips", features, label, group)


def scored_drivers() -> Table | None:
    """Drivers of fretelematic: an insurer's scores, and whether there was a claim."""
    file = SHARED / "casdatasets" / "fretelematic.parquet"
    if not file.is_file():
        return None
    rows = pl.read_parquet(file)
    distance = np.log1p(rows["Total_Distance"].to_numpy())
    scores = [rows[name].fill_null(rows[name].median()).to_numpy() for name in SCORES]
    drivers = np.arange(rows.height)
    return Table(
        "fretelematic (aggressive: had a claim)",
        "drivers",
        "drivers",
        "a fifth of the drivers",
        "distance",
        np.column_stack([distance, *scores]).astype(np.float64),
        (rows["Claim"].cast(pl.String) == "yes").cast(pl.Int64).to_numpy(),
        drivers,
        drivers,
        flattering=False,
    )


def unfit() -> list[tuple[str, str]]:
    """Sets that say nothing of style on unseen drivers, and why."""
    return [
        ("kit-obd2", "one driver and one car; ten drives, of which one has a full acceleration and one a full stop"),
        ("polidriving", "four drivers, one drive each, every one another car: driver, car, road and day are one thing"),
        ("ndsbr", "two drivers with three trips each, no style label"),
        ("drive-plotr-nds", "one driver; events are graded, drives are not: docs/events.md judges the events"),
        ("ikhyd, twizy-ev, comma2k19, bmw-can-phone", "no label of style, one or two drivers each"),
    ]


def _own_table(what: str, features: list[list[float]], label: list[bool], group: list[int]) -> Table:
    drivers = np.asarray(group, np.int64)
    return Table(
        "own trips (SIMULATED; aggressive: brisk, reckless)",
        what,
        "simulated drivers",
        "a driver",
        "strongest braking",
        np.asarray(features),
        np.asarray(label, np.int64),
        drivers,
        drivers,
    )


def _own() -> list[tuple[dict[str, str], list[MotionSample]]]:
    rows = json.loads(MANIFEST.read_text(encoding="utf-8"))["recordings"]
    numbers = {device: number for number, device in enumerate(sorted({row["device"] for row in rows}))}
    drives = []
    for row in rows:
        head, readings = open_recording(MANIFEST.parent / row["file"])
        driven, pipeline = Driven(), Pipeline(partial(_wall_time, head.started_at_ms or 0))
        outputs = [output for reading in readings if driven.admits(reading) for output in pipeline.push(reading)]
        samples = [output for output in (*outputs, *pipeline.finish()) if isinstance(output, MotionSample)]
        drives.append(({**row, "number": str(numbers[row["device"]])}, samples))
    return drives


def _wall_time(started_at_ms: int, mono_ms: int) -> tuple[int, int | None]:
    return started_at_ms + mono_ms, 60


def _motion(samples: Sequence[MotionSample]) -> list[float] | None:
    """Strongest braking and acceleration, RMS, shares of time over 1.5 m/s2 each way, 95 % speed; None: it stands."""
    known = [(s.accel_lon_cmps2 / 100, (s.speed_dkmh or 0) / 10) for s in samples if s.accel_lon_cmps2 is not None]
    moving = [(accel, speed) for accel, speed in known if speed >= 5]
    if len(moving) < 20:
        return None
    accel, speed = np.asarray(moving).T
    return [
        float(-accel.min()),
        float(accel.max()),
        float(np.sqrt(np.mean(accel**2))),
        float(np.mean(accel <= -1.5)),
        float(np.mean(accel >= 1.5)),
        float(np.percentile(speed, 95)),
    ]


def _force(trip: Labelled, from_ms: int, to_ms: int) -> list[float]:
    """Peak and RMS of horizontal acceleration, its share over 1.5 m/s2, and the spread of the yaw rate."""
    inside = [s for s in trip.samples if from_ms <= s.t_ms < to_ms]
    force = np.asarray([max(abs(s.accel_lon_cmps2 or 0), abs(s.accel_lat_cmps2 or 0)) / 100 for s in inside])
    yaw = np.asarray([(s.yaw_rate_ddps or 0) / 10 for s in inside])
    return [float(force.max()), float(np.sqrt(np.mean(force**2))), float(np.mean(force >= 1.5)), float(yaw.std())]


def _is_aggressive(trip: Labelled, from_ms: int, to_ms: int) -> bool:
    """Whether at least half of an aggressive manoeuvre lies in the window."""
    shares = (
        (min(to_ms, label.to_ms) - max(from_ms, label.from_ms)) / max(label.to_ms - label.from_ms, 1)
        for label in trip.labels
        if label.kind != "calm"
    )
    return any(share >= 0.5 for share in shares)
