"""Impacts: the alert at once, the report when its motion is final, the event on the grid."""

from __future__ import annotations

import json

import pytest

from device.contract.motion import IMU_PERIOD_MS
from device.contract.rules import KIND_NUMBERS
from device.contract.signals import Reading
from device.events import DetectedEvent
from device.impact import AROUND_MS, ImpactAlert, ImpactReport
from device.imu_track import AXES
from device.pipeline import Output, Pipeline, TripEnded, TripStarted
from tests.device.imu_drive import readings

CALIBRATED_S = 80
SECONDS = 40


def wall(mono_ms: int) -> tuple[int, None]:
    return mono_ms, None


def calibrated() -> Pipeline:
    pipeline = Pipeline(wall)
    for reading in readings(CALIBRATED_S):
        pipeline.push(reading)
    return Pipeline(wall, mounting=pipeline.mounting)


def blow(t_ms: int, size: float = 60.0) -> list[Reading]:
    values = (-size, 0.0, 9.8, 0.0, 0.0, 0.0)
    return [Reading(t_ms, name, value) for name, value in zip(AXES, values, strict=True)]


def play(pipeline: Pipeline, found: list[Reading]) -> list[tuple[int, Output]]:
    """Outputs with the time of the reading that brought them."""
    return [(reading.t_ms, output) for reading in found for output in pipeline.push(reading)]


def drive_with(*blows: list[Reading], seconds: int = SECONDS) -> list[Reading]:
    """A drive from 0 on, and blows between its samples."""
    return sorted([r for part in (readings(seconds), *blows) for r in part], key=lambda r: r.t_ms)


def of(kind: type, outputs: list[tuple[int, Output]]) -> list[tuple[int, Output]]:
    return [(t_ms, output) for t_ms, output in outputs if isinstance(output, kind)]


def test_an_impact_is_told_with_the_reading_that_shows_it():
    outputs = play(calibrated(), drive_with(blow(20_013)))
    ((told_ms, alert),) = of(ImpactAlert, outputs)
    assert told_ms == 20_013
    start_ms = of(TripStarted, outputs)[0][1].start_mono_ms
    assert alert.t_ms == 20_013 - start_ms
    assert 6_000 <= alert.peak_cmps2 <= 6_200
    times = [sample.t_ms + start_ms for sample in alert.samples]
    assert times[0] >= 20_013 - AROUND_MS
    assert 20_013 - 2_000 - IMU_PERIOD_MS <= times[-1] < 20_013 - 1_900


def test_its_report_has_all_motion_of_5_s_before_and_after():
    outputs = play(calibrated(), drive_with(blow(20_013), blow(23_010, 90.0)))
    ((alerted_ms, alert),) = of(ImpactAlert, outputs)
    ((reported_ms, report),) = of(ImpactReport, outputs)
    assert alerted_ms + AROUND_MS + 2_000 <= reported_ms <= alerted_ms + AROUND_MS + 2_200
    assert report.t_ms == alert.t_ms
    assert report.peak_cmps2 >= 9_000  # of the second blow, which belongs to the first
    times = [sample.t_ms for sample in report.samples]
    assert times == list(range(times[0], times[-1] + 1, IMU_PERIOD_MS))
    assert (len(times) - 1) * IMU_PERIOD_MS >= 2 * AROUND_MS - IMU_PERIOD_MS


def test_a_blow_after_the_window_is_another_impact_even_before_the_first_is_reported():
    outputs = play(calibrated(), drive_with(blow(20_013), blow(26_010)))
    assert [t_ms for t_ms, _ in of(ImpactAlert, outputs)] == [20_013, 26_010]
    assert len(of(ImpactReport, outputs)) == 2


def test_the_event_of_the_grid_stands_beside_it_and_counts_in_the_summary():
    pipeline = calibrated()
    outputs = play(pipeline, drive_with(blow(20_013)))
    outputs += [(0, output) for output in pipeline.finish()]
    (event,) = [o for _, o in of(DetectedEvent, outputs) if o.kind == KIND_NUMBERS["impact"]]
    ((_, report),) = of(ImpactReport, outputs)
    assert event.peak == report.peak_cmps2
    assert abs(event.peak_ms - report.t_ms) <= IMU_PERIOD_MS
    ((_, end),) = of(TripEnded, outputs)
    assert end.summary.event_counts[KIND_NUMBERS["impact"] * 8 + 1] == 1


@pytest.mark.parametrize("imu_hz", [10, 20, 100])
@pytest.mark.parametrize("size_mps2", [-90.0, 90.0])
@pytest.mark.parametrize("axis", ["accel_x_mps2", "accel_y_mps2"])
def test_a_blow_is_an_impact_and_no_braking_acceleration_or_turn(imu_hz, size_mps2, axis):
    """One sample of it in a mean of 0.5 s was an acceleration of 11.9 m/s2 and a turn of 9.9, beside the impact."""
    calm = readings(SECONDS, imu_hz=imu_hz)
    struck = [r._replace(value=size_mps2) if (r.t_ms, r.signal) == (20_000, axis) else r for r in calm]
    told = []
    for found in (calm, struck):
        pipeline = calibrated()
        outputs = [o for _, o in play(pipeline, found)] + pipeline.finish()
        told.append([o.kind for o in outputs if isinstance(o, DetectedEvent)])
    assert sorted(told[1]) == sorted([*told[0], KIND_NUMBERS["impact"]])


def stopped(found: list[Reading], stop_ms: int) -> list[Reading]:
    """A car that stands with its engine off from then on; its IMU goes on."""
    off = {"speed_kmh": 0.0, "rpm": 0.0}
    return [r._replace(value=off.get(r.signal, r.value)) if r.t_ms > stop_ms else r for r in found]


def test_an_impact_that_ends_the_drive_is_reported_after_5_s_with_the_motion_after_it():
    outputs = play(calibrated(), stopped(drive_with(blow(20_013)), 20_050))
    ((reported_ms, report),) = of(ImpactReport, outputs)
    assert reported_ms <= 20_013 + AROUND_MS + 2_200
    assert report.samples[-1].t_ms >= report.t_ms + AROUND_MS - IMU_PERIOD_MS
    assert report.samples[-1].accel_peak_cmps2 is not None


def test_cells_without_a_word_of_the_imu_leave_no_hole_in_a_report():
    """The motion of a message has one period from its first sample to its last."""
    found = [r for r in drive_with(blow(20_013)) if not (r.signal in AXES and 21_000 < r.t_ms < 22_000)]
    ((_, report),) = of(ImpactReport, play(calibrated(), found))
    times = [sample.t_ms for sample in report.samples]
    assert times == list(range(times[0], times[-1] + 1, IMU_PERIOD_MS))
    assert any(sample.accel_peak_cmps2 is None for sample in report.samples)


def test_a_trip_that_ends_with_the_impact_reports_what_there_is():
    pipeline = calibrated()
    play(pipeline, drive_with(blow(29_000), seconds=30))
    ended = pipeline.finish()
    (report,) = [output for output in ended if isinstance(output, ImpactReport)]
    assert report.samples[-1].t_ms <= 30_000
    assert isinstance(ended[-1], TripEnded)


def test_a_box_that_is_dropped_between_trips_tells_nothing():
    assert of(ImpactAlert, play(Pipeline(wall), blow(500, 150.0))) == []


def test_an_impact_survives_a_restart_between_alert_and_report():
    found = drive_with(blow(20_013))
    whole = play(calibrated(), found)
    pipeline, cut = calibrated(), next(i for i, r in enumerate(found) if r.t_ms > 21_000)
    outputs = play(pipeline, found[:cut])
    pipeline = Pipeline.from_state(json.loads(json.dumps(pipeline.to_state())), wall)
    assert outputs + play(pipeline, found[cut:]) == whole


def test_an_impact_after_a_silence_of_all_sensors_is_reported_with_what_there_is():
    before = readings(20)
    silent = [reading._replace(t_ms=reading.t_ms + 80_000) for reading in before]
    outputs = play(calibrated(), [*before, *blow(79_990), *silent])
    assert [t_ms for t_ms, _ in of(ImpactAlert, outputs)] == [79_990]
    ((_, report),) = of(ImpactReport, outputs)
    assert min(sample.t_ms for sample in report.samples) >= 79_990 - AROUND_MS - 1_000
