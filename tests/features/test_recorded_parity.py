"""The law of parity on every recorded trip: readings through the device, its motion through the batch."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from device.contract.errors import RecordingError
from device.contract.motion import IMU_PERIOD_MS, PERIOD_MS, MotionSample
from device.contract.signals import Reading
from device.events import DetectedEvent
from device.imu_track import AXES
from device.mounting import Mounting
from device.pipeline import Output, Pipeline, TripEnded, TripStarted
from replay_data.importers import load, recognise
from tests.bench.imu_drives import bmw, comma2k19, imu_readings, merged, speed_readings
from tests.bench.motion import learnt
from tests.features.outcome import Outcome, by_batch, by_definition, event_row, summary_row
from tests.features.trips import Trip

OWN_TRIPS = sorted((Path(__file__).resolve().parents[2] / "replay_data" / "trips").glob("*.ubirec"))
START_MS = 1_700_000_000_000


def wall_time(mono_ms: int) -> tuple[int, int]:
    return START_MS + mono_ms, 60


def drive(readings: list[Reading], seed: int, mounting: Mounting | None) -> tuple[list[Trip], list[Outcome]]:
    """Push readings through a pipeline that is now and then saved to JSON and restored."""
    chance = random.Random(seed)
    pipeline = Pipeline(wall_time, mounting=mounting)
    outputs: list[Output] = []
    while readings:
        cut = chance.choice([1, 2, 50, 5_000])
        for reading in readings[:cut]:
            outputs += pipeline.push(reading)
        readings = readings[cut:]
        if chance.random() < 0.3:
            pipeline = Pipeline.from_state(json.loads(json.dumps(pipeline.to_state())), wall_time)
    outputs += pipeline.finish()
    trips: list[Trip] = []
    outcomes: list[Outcome] = []
    events: list[tuple[Any, ...]] = []
    for output in outputs:
        match output:
            case TripStarted():
                trips.append(_begun(len(trips), output, pipeline.rules.version))
                events = []
            case MotionSample():
                trips[-1].samples.append(output)
            case DetectedEvent():
                events.append(event_row(output))
            case TripEnded():
                outcomes.append((summary_row(output.summary), sorted(events, key=lambda e: (e[2], e[0]))))
    return trips, outcomes


def _begun(key: int, start: TripStarted, rules_version: int) -> Trip:
    return Trip(key, start.started_at_ms, start.utc_offset_min, [], start.period_ms, rules_version)


def assert_parity(file: Path) -> int:
    _, readings = load(file)
    return assert_same(readings, PERIOD_MS)


def assert_same(readings: list[Reading], period_ms: int, mounting: Mounting | None = None) -> int:
    outcomes = compared(readings, mounting, period_ms)
    assert outcomes
    return sum(len(events) for _, events in outcomes)


def compared(readings: list[Reading], mounting: Mounting | None = None, period_ms: int | None = None) -> list[Outcome]:
    """What the device made of each trip, after all three were found to agree on it."""
    trips, by_device = drive(readings, len(readings), mounting)
    assert len(trips) == len(by_device)
    assert period_ms is None or {trip.period_ms for trip in trips} == {period_ms}
    batch = by_batch(trips)
    assert batch == dict(enumerate(by_device))
    assert batch == {trip.key: by_definition(trip) for trip in trips}
    return by_device


@pytest.mark.parametrize("file", OWN_TRIPS, ids=lambda file: file.stem)
def test_own_recordings(file):
    assert_parity(file)


@pytest.mark.parametrize("folder", ["kit-obd2", "polidriving"])
def test_every_recording_of_others(shared_data, folder):
    files = [file for file in sorted((shared_data / folder).rglob("*.csv")) if recognise(file)]
    assert len(files) >= 4
    assert sum(assert_parity(file) for file in files) > 0


@pytest.mark.parametrize("folder", ["bmw-can-phone", "drive-plotr-nds", "ikhyd", "ndsbr", "twizy-ev"])
def test_every_other_recording_of_others(shared_data, folder):
    trips = 0
    for file in sorted((shared_data / folder).iterdir()):
        try:
            _, readings = load(file)
        except RecordingError:
            continue  # a licence, a description
        trips += len(compared(readings))
    assert trips >= 1


def test_a_minute_of_motorway_with_an_imu(shared_data):
    car = comma2k19()
    assert car is not None
    assert len(compared(merged(speed_readings(car, 10.0), imu_readings(car)))) == 1


def test_a_drive_with_an_imu_that_loses_readings_and_takes_a_blow(shared_data):
    car = bmw()
    readings = merged(speed_readings(car, 5.0), imu_readings(car))
    mounting = learnt(readings)
    assert mounting.fit is not None
    lossy = [r for r in readings if not (r.signal in AXES and 100_000 < r.t_ms < 130_000) and r.t_ms % 7_000 > 400]
    struck = [r._replace(value=60.0) if r.signal == "accel_y_mps2" and 200_000 < r.t_ms < 200_200 else r for r in lossy]
    assert assert_same(struck, IMU_PERIOD_MS, mounting) > 0
