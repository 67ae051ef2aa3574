"""Where trips start and end on the motion grid."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.motion import ENGINE_OFF, ENGINE_ON, PERIOD_MS, MotionSample
from device.contract.signals import Reading
from device.motion import Cell
from device.pipeline import Pipeline, TripEnded, TripStarted
from device.trips import END_INACTIVE, END_TOO_LONG, MAX_TRIP_MS, MOTION_START_MS, TRIP_GAP_MS, TripTracker

CELLS_TO_START = MOTION_START_MS // PERIOD_MS + 1

Pushed = tuple[int, bool, list[MotionSample]]


def cell(t_ms: int, speed_kmh: float | None = None, engine: int | None = None) -> Cell:
    return Cell(MotionSample(t_ms, None if speed_kmh is None else round(speed_kmh * 10), engine=engine))


def push_all(tracker: TripTracker, cells: list[Cell]) -> list[Pushed]:
    return [tracker.push(one) for one in cells]


def moving(count: int, speed_kmh: float = 30.0, start_ms: int = 0) -> list[Cell]:
    return [cell(start_ms + index * PERIOD_MS, speed_kmh) for index in range(count)]


def test_motion_alone_starts_a_trip_after_3_s_and_from_its_first_cell():
    tracker = TripTracker()
    pushed = push_all(tracker, moving(CELLS_TO_START, start_ms=10_000))
    assert [started for _, started, _ in pushed] == [False] * (CELLS_TO_START - 1) + [True]
    assert tracker.start_ms == 10_000
    assert [sample.t_ms for sample in pushed[-1][2]] == list(range(0, MOTION_START_MS + 1, PERIOD_MS))


def test_a_jump_of_speed_shorter_than_3_s_starts_no_trip():
    tracker = TripTracker()
    for start_ms in range(0, 600_000, 10_000):
        push_all(tracker, [*moving(CELLS_TO_START - 1, start_ms=start_ms), cell(start_ms + 9_000, 0.0)])
    assert tracker.start_ms is None


def test_the_engine_starts_a_trip_at_once_and_takes_the_motion_before_it_along():
    tracker = TripTracker()
    assert tracker.push(cell(0, 0.0, ENGINE_ON))[1]
    tracker = TripTracker()
    push_all(tracker, moving(2))
    assert tracker.push(cell(2 * PERIOD_MS, 30.0, ENGINE_ON))[1]
    assert tracker.start_ms == 0


@pytest.mark.parametrize("creep_kmh", [0.0, 0.1, 0.9])
def test_a_car_that_creeps_below_1_km_h_stands(creep_kmh):
    tracker = TripTracker()
    push_all(tracker, moving(2_000, creep_kmh))
    assert tracker.start_ms is None
    push_all(tracker, moving(100, start_ms=2_000_000))
    pushed = push_all(tracker, moving(2_000, creep_kmh, start_ms=2_050_000))
    assert [ended for ended, _, _ in pushed if ended] == [END_INACTIVE]


def test_engine_off_and_still_rolling_is_driving():
    tracker = TripTracker()
    pushed = push_all(tracker, [cell(t_ms, 50.0, ENGINE_OFF) for t_ms in range(0, TRIP_GAP_MS * 3, PERIOD_MS)])
    assert [ended for ended, _, _ in pushed if ended] == []


def test_a_source_that_says_engine_on_for_ever_makes_trips_of_a_day():
    tracker = TripTracker()
    step_ms = 60_000
    pushed = push_all(tracker, [cell(t_ms, 0.0, ENGINE_ON) for t_ms in range(0, 3 * MAX_TRIP_MS, step_ms)])
    assert [ended for ended, _, _ in pushed if ended] == [END_TOO_LONG, END_TOO_LONG]
    assert sum(started for _, started, _ in pushed) == 3
    assert max(sample.t_ms for _, _, samples in pushed for sample in samples) < MAX_TRIP_MS
    assert all(started for ended, started, _ in pushed if ended)  # not one cell is lost between the two


def test_a_drive_of_two_days_is_two_trips_that_share_its_distance():
    """60 km/h without a stop, seen by a car without RPM: the second trip begins where the first was cut."""
    pipeline, outputs = Pipeline(lambda mono_ms: (mono_ms, 0)), []
    for t_ms in range(0, MAX_TRIP_MS + 3_600_000, 2_000):
        outputs += pipeline.push(Reading(t_ms, "speed_kmh", 60.0))
    outputs += pipeline.finish()
    starts = [out for out in outputs if isinstance(out, TripStarted)]
    first, second = [out for out in outputs if isinstance(out, TripEnded)]
    assert first.reason == END_TOO_LONG
    assert starts[1].start_mono_ms - starts[0].start_mono_ms == first.summary.duration_ms == MAX_TRIP_MS
    assert first.summary.distance_mm + second.summary.distance_mm == pytest.approx(25 * 60_000_000, rel=1e-4)


@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from([0.0, 0.5, 40.0]), st.sampled_from([None, 0, 1]))))
def test_a_tracker_restored_at_any_cell_goes_on_as_if_nothing_had_been(steps):
    cells, t_ms = [], 0
    for gap, speed_kmh, engine in steps:
        t_ms += (gap + 1) * PERIOD_MS
        cells.append(cell(t_ms, speed_kmh, engine))
    whole, cut = TripTracker(), TripTracker()
    for one in cells:
        state = json.loads(json.dumps(cut.to_state()))
        cut = TripTracker()
        cut.restore(state)
        assert cut.push(one) == whole.push(one)


def test_a_state_of_the_first_release_is_restored():
    tracker = TripTracker()
    tracker.restore([1_000, 2_000, []])
    assert tracker.push(cell(3_000, 30.0)) == (0, False, [MotionSample(2_000, 300)])


def twizy_readings(path: Path) -> list[Reading]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [Reading(index * 1_000, "speed_kmh", float(row["Speed"])) for index, row in enumerate(rows)]


def test_recorded_electric_car_makes_one_trip_of_each_drive_that_stands_for_less_than_180_s(shared_data):
    """No RPM, and a speed that creeps at 0.11 km/h while the car stands."""
    files = sorted((shared_data / "twizy-ev").glob("*.csv"))
    assert files
    for path in files:
        readings = twizy_readings(path)
        pipeline = Pipeline(lambda mono_ms: (mono_ms, 60))
        outputs = [out for reading in readings for out in pipeline.push(reading)] + pipeline.finish()
        ends = [out for out in outputs if isinstance(out, TripEnded)]
        longest_stand_s = stand_s = 0
        moved = [reading.value >= 1.0 for reading in readings if reading.value is not None]
        for is_moving in moved[moved.index(True) : len(moved) - moved[::-1].index(True)]:
            stand_s = 0 if is_moving else stand_s + 1
            longest_stand_s = max(longest_stand_s, stand_s)
        assert (len(ends) == 1) == (longest_stand_s < TRIP_GAP_MS // 1_000), path.name
        driven_m = sum(reading.value or 0 for reading in readings) / 3.6
        assert sum(end.summary.distance_mm for end in ends) / 1_000 == pytest.approx(driven_m, rel=0.01)
