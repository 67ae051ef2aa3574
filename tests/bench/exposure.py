"""How honest is the stated exposure? Recorded drives are masked, and what is stated is compared with the truth.

A simulated car drives real drives, drawn at random, one after the other; its odometer turns with every one of them, by
a scale of its own. The box misses whole trips, runs of trips, or parts of trips: parts are cut out of the readings, and
what is left goes through the device's own pipeline. Then `features` sums and reconciles as it does for any car.

Stated: recorded share of the distance driven, with its 95 % interval. Truth: the same from the unmasked drives, between
the first and the last reading of the counter. Bias is the mean of stated less true, in percentage points; coverage is
how often the interval holds the truth.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from device.contract.motion import BRIDGE_MS, MotionSample
from device.contract.signals import Reading
from device.contract.trip import TripSummary
from device.pipeline import Pipeline, TripEnded, TripStarted
from features.contract.periods import COUNTERS
from features.contract.reconcile import reconcile
from features.periods import sum_trips
from ingest.contract.tables import EVENTS, TRIPS
from replay_data.importers import load, recognise
from tests.bench.context import AGAIN, FOLDERS
from tests.bench.drives import SHARED
from tests.bench.row import Row

SEED: Final = 20_261_122
CARS: Final = 200  # a row
CUTS_PER_DRIVE: Final = 3
# OBD speed against the GNSS track of the POLIDriving, IKHYD and BMW drives: 0.94 to 1.07 between cars.
SCALE_SD: Final = 0.04
TRIP_SCALE_SD: Final = 0.005  # between trips of a car: judgement, no recording has an odometer
POLL_MS: Final = 60_000  # how often the agent asks for counters: the last reading of a trip is as old
START_MS: Final = 1_735_689_600_000
DAY_MS: Final = 86_400_000


class Seen(NamedTuple):
    """A trip that the box made of (part of) a drive, and how far the drive had come at its ends and last poll."""

    summary: TripSummary
    start_mm: int
    end_mm: int
    polled_mm: int


class Drive(NamedTuple):
    """A drive: all of it in mm, as one whole trip, and as what is left when a part or several minutes were cut out."""

    all_mm: int
    whole: list[Seen]
    cut: list[list[Seen]]
    gapped: list[list[Seen]]


class Car(NamedTuple):
    """Rows of TRIPS of a car, and the true recorded share."""

    rows: list[dict[str, Any]]
    truth: float


Mask = Callable[[random.Random, list[Drive]], list[list[Seen]]]


def run() -> list[Row]:
    """All masks, both counters, few and many trips."""
    rows: list[Row] = []
    for counter, step_m in COUNTERS.items():
        for trips in (20, 120):
            for name, mask in MASKS.items():
                rows += _judge(f"{counter}, {trips} trips, {name}", mask, counter, step_m, trips)
    return rows


def _judge(name: str, mask: Mask, counter: str, step_m: int, trips: int) -> Iterator[Row]:
    chance = random.Random(f"{SEED} {name}")
    cars = [car for _ in range(CARS) if (car := drive_car(chance, mask, counter, step_m, trips)).rows]
    stated = reconciled([car.rows for car in cars])
    driven = np.maximum(stated["driven_m"], 1)
    share, least, most = (stated[f"recorded{end}_m"] / driven for end in ("", "_least", "_most"))
    truth = np.array([car.truth for car in cars])
    told = stated["driven_m"] > 0
    error = 100 * (share - truth)[told]
    held = ((least <= truth) & (truth <= most))[told]
    yield Row(f"{name}: true share", 100 * float(truth[told].mean()), "%")
    yield Row(f"{name}: bias", float(error.mean()), "points", float(error.std()))
    yield Row(
        f"{name}: interval holds", 100 * float(held.mean()), "%", goal="95 or more", met=bool(held.mean() >= 0.95)
    )
    yield Row(f"{name}: width of interval", 100 * float((most - least)[told].mean()), "points")


def reconciled(cars: Sequence[list[dict[str, Any]]]) -> dict[str, Any]:
    """What `features` states of each car."""
    rows = [row | {"trip_key": key} for key, row in enumerate(row for car in cars for row in car)]
    owners = [f"{number:05d}" for number, car in enumerate(cars) for _ in car]
    trips = pl.DataFrame(rows, schema=TRIPS).with_columns(
        policy_id=pl.Series(owners), driver_id=pl.Series(owners), device_id=pl.Series(owners)
    )
    periods = sum_trips(trips, EVENTS.to_frame())
    return reconcile(len(cars), periods.with_columns(window=pl.col("driver_id").cast(pl.Int64)))


def drive_car(chance: random.Random, mask: Mask, counter: str, step_m: int, trips: int) -> Car:
    """Drive a car through `trips` drives and tell what a box that misses some of it would."""
    drives = chance.choices(recorded(), k=trips)
    scale = chance.gauss(1, SCALE_SD)
    source = "odometer" if counter == "odometer" else "distance_since_clear"
    odometer_mm, rows, true_mm = chance.uniform(0, 2e10), [], []
    for day, (drive, seen) in enumerate(zip(drives, mask(chance, drives), strict=True)):
        turn = scale * chance.gauss(1, TRIP_SCALE_SD)  # mm of the odometer for each mm of speed
        start_ms = START_MS + day * DAY_MS // 2
        for trip in seen:
            ends = [odometer_mm + turn * at for at in (trip.start_mm, trip.end_mm)]
            told = (ends[0], odometer_mm + turn * trip.polled_mm)
            readings = [int(at // (1_000 * step_m)) * step_m for at in told]
            rows.append(_row(trip.summary, start_ms, source, readings))
            start_ms += trip.summary.duration_ms + 600_000
            true_mm.append((*ends, turn * trip.summary.distance_mm))
        odometer_mm += turn * drive.all_mm
    if not rows:
        return Car([], 0.0)
    return Car(rows, min(sum(mm for _, _, mm in true_mm) / max(true_mm[-1][1] - true_mm[0][0], 1), 1.0))


def _row(summary: TripSummary, start_ms: int, source: str, readings: list[int]) -> dict[str, Any]:
    return {
        "start_ms": start_ms,
        "complete": True,
        "chain_ok": True,
        f"{source}_start_m": readings[0],
        f"{source}_end_m": readings[1],
        "duration_ms": summary.duration_ms,
        "samples": summary.samples,
        "distance_mm": summary.distance_mm,
        "unobserved_ms": summary.unobserved_ms,
    }


def _none(_chance: random.Random, drives: list[Drive]) -> list[list[Seen]]:
    return [drive.whole for drive in drives]


def _some(chance: random.Random, drives: list[Drive]) -> list[list[Seen]]:
    return [drive.whole if chance.random() > 0.3 else [] for drive in drives]


def _runs(chance: random.Random, drives: list[Drive]) -> list[list[Seen]]:
    """Unplugged now and then, for eight trips on average."""
    kept, plugged = [], True
    for drive in drives:
        plugged = plugged if chance.random() > (1 / 20 if plugged else 1 / 8) else not plugged
        kept.append(drive.whole if plugged else [])
    return kept


def _parts(chance: random.Random, drives: list[Drive]) -> list[list[Seen]]:
    """A part is missing in one trip of three."""
    return [chance.choice(drive.cut) if chance.random() < 1 / 3 else drive.whole for drive in drives]


def _gaps(chance: random.Random, drives: list[Drive]) -> list[list[Seen]]:
    """Minutes are missing within every trip: no trip to learn the scale from."""
    return [chance.choice(drive.gapped) for drive in drives]


def _mixed(chance: random.Random, drives: list[Drive]) -> list[list[Seen]]:
    both = zip(_runs(chance, drives), _parts(chance, drives), strict=True)
    return [parts if kept else [] for kept, parts in both]


MASKS: Final[dict[str, Mask]] = {
    "nothing missing": _none,
    "30 % of trips missing": _some,
    "runs of trips missing": _runs,
    "parts of trips missing": _parts,
    "minutes of every trip missing": _gaps,
    "runs and parts missing": _mixed,
}


@cache
def recorded() -> list[Drive]:
    """Open recordings of real drives, whole and with a part cut out of the readings."""
    chance = random.Random(SEED)
    files = [file for folder in FOLDERS for file in sorted((SHARED / folder).glob("*"))]
    drives = []
    for file in files:
        if file.name in AGAIN or not recognise(file):
            continue
        for readings in _trips(load(file)[1]):
            come_mm, whole = _played(readings)
            if len(whole) == 1 and come_mm[-1][1] > 1_000_000:
                cut, gapped = (
                    [_seen(chance, without(chance, readings), come_mm) for _ in range(CUTS_PER_DRIVE)]
                    for without in (_without_part, _without_minutes)
                )
                polled_mm = _come(come_mm, come_mm[-1][0] - chance.randrange(POLL_MS))
                drives.append(Drive(come_mm[-1][1], [Seen(whole[0], 0, come_mm[-1][1], polled_mm)], cut, gapped))
    return drives


def _trips(readings: list[Reading]) -> Iterator[list[Reading]]:
    """Readings cut where the device ends its trips."""
    pipeline, own = Pipeline(_wall_time), []
    for reading in readings:
        own.append(reading)
        if any(isinstance(output, TripEnded) for output in pipeline.push(reading)):
            yield own
            own = []
    if own:
        yield own


def _played(readings: list[Reading]) -> tuple[list[tuple[int, int]], list[TripSummary]]:
    """How far the car had come by when, in (ms, mm), and the trips the device made of it."""
    come, at_mm, summaries, start_ms = [(0, 0)], 0, [], 0
    before: MotionSample | None = None
    for output in _outputs(readings):
        match output:
            case TripStarted():
                start_ms, before = output.start_mono_ms, None
            case MotionSample() if output.speed_dkmh is not None:
                if before is not None and output.t_ms - before.t_ms <= BRIDGE_MS:
                    at_mm += ((before.speed_dkmh or 0) + output.speed_dkmh) * (output.t_ms - before.t_ms) // 72
                come.append((start_ms + output.t_ms, at_mm))
                before = output
            case TripEnded():
                summaries.append(output.summary)
    return come, summaries


def _seen(chance: random.Random, readings: list[Reading], come_mm: list[tuple[int, int]]) -> list[Seen]:
    """Trips that the device makes of what is left of a drive."""
    seen, first_ms, last_ms = [], 0, 0
    for output in _outputs(readings):
        match output:
            case TripStarted():
                first_ms = last_ms = output.start_mono_ms
            case MotionSample():
                last_ms = first_ms + output.t_ms
            case TripEnded() if output.summary.samples:
                ends = (first_ms, last_ms, max(last_ms - chance.randrange(POLL_MS), first_ms))
                seen.append(Seen(output.summary, *(_come(come_mm, at_ms) for at_ms in ends)))
    return seen


def _come(come_mm: list[tuple[int, int]], at_ms: int) -> int:
    return come_mm[max(bisect_right(come_mm, (at_ms, 2**62)) - 1, 0)][1]


def _without_part(chance: random.Random, readings: list[Reading]) -> list[Reading]:
    """Readings without 10 to 60 % of their time, somewhere."""
    first, last = readings[0].t_ms, readings[-1].t_ms
    length = chance.uniform(0.1, 0.6) * (last - first)
    begin = first + chance.random() * (last - first - length)
    return [reading for reading in readings if not begin <= reading.t_ms < begin + length]


def _without_minutes(chance: random.Random, readings: list[Reading]) -> list[Reading]:
    """Readings without one to three stretches too short to end the trip."""
    first, last = readings[0].t_ms, readings[-1].t_ms
    stretches = [(chance.uniform(first, last), chance.uniform(20_000, 150_000)) for _ in range(chance.randint(1, 3))]
    return [reading for reading in readings if not any(at <= reading.t_ms < at + long for at, long in stretches)]


def _outputs(readings: list[Reading]) -> Iterator[object]:
    pipeline = Pipeline(_wall_time)
    for reading in readings:
        yield from pipeline.push(reading)
    yield from pipeline.finish()


def _wall_time(mono_ms: int) -> tuple[int, int | None]:
    return START_MS + mono_ms, None
