"""Trips and summaries of the device path."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.errors import ContractError
from device.contract.motion import BRIDGE_MS, PERIOD_MS, MotionSample
from device.contract.rules import parse_rules
from device.contract.signals import Reading
from device.contract.trip import HOURS_OF_WEEK, hour_of_week, va_key
from device.pipeline import END_OF_RECORDING, Output, Pipeline, TripEnded, TripStarted
from device.speed_track import AGE_MS
from device.trips import END_INACTIVE, SummaryBuilder

MONDAY_MS = 1_735_516_800_000  # 2024-12-30 00:00 UTC


def wall(mono_ms: int) -> tuple[int, int | None]:
    return MONDAY_MS + mono_ms, 60


def drive(*legs: tuple[int, float, float | None], start_ms: int = 0, step_ms: int = 500) -> list[Reading]:
    """Readings of legs (duration s, speed km/h, rpm), which hold at whole steps."""
    readings, t_ms = [], start_ms
    for seconds, speed, rpm in legs:
        for _ in range(seconds * 1_000 // step_ms):
            readings += [Reading(t_ms, "rpm", rpm)] if rpm is not None else []
            readings += [Reading(t_ms + AGE_MS, "speed_kmh", speed)]
            t_ms += step_ms
    return readings


def run(readings: list[Reading]) -> list[Output]:
    pipeline = Pipeline(wall)
    return [out for reading in readings for out in pipeline.push(reading)] + pipeline.finish()


def ends(outputs: list[Output]) -> list[TripEnded]:
    return [out for out in outputs if isinstance(out, TripEnded)]


def test_trip_starts_with_the_engine_and_ends_after_180_s_without_engine_and_motion():
    outputs = run(drive((10, 0, 0), (60, 0, 800), (120, 50, 2_000), (400, 0, 0)))
    start = next(out for out in outputs if isinstance(out, TripStarted))
    (end,) = ends(outputs)
    assert 10_000 - PERIOD_MS <= start.start_mono_ms <= 10_000
    assert end.reason == END_INACTIVE
    assert 180_000 <= end.summary.duration_ms <= 183_000  # the 180 s of waiting are not part of it


@pytest.mark.parametrize(("waits_ms", "trips"), [(180_000, 1), (180_000 + PERIOD_MS, 2)])
def test_a_trip_outlasts_180_s_without_activity_and_not_a_sample_more(waits_ms, trips):
    last_ms, again_ms = 60_000, 60_000 + waits_ms
    active = {*range(0, last_ms + 1, PERIOD_MS), *range(again_ms, again_ms + 60_000, PERIOD_MS)}
    times = range(0, again_ms + 60_000, PERIOD_MS)
    outputs = run([Reading(t_ms + AGE_MS, "speed_kmh", 50.0 if t_ms in active else 0.0) for t_ms in times])
    assert len(ends(outputs)) == trips


def test_stop_start_engine_and_short_stop_do_not_split_a_trip():
    outputs = run(drive((60, 50, 2_000), (150, 0, 0), (60, 50, 2_000)))
    assert len(ends(outputs)) == 1
    assert ends(outputs)[0].summary.standing_ms > 140_000
    assert ends(outputs)[0].summary.idle_ms < 5_000


def test_electric_car_without_rpm_makes_trips_from_motion_alone():
    outputs = run(drive((20, 0, None), (60, 50, None), (200, 0, None), (60, 30, None)))
    assert [end.reason for end in ends(outputs)] == [END_INACTIVE, END_OF_RECORDING]
    assert all(end.summary.idle_ms == 0 for end in ends(outputs))


def test_logging_gap_longer_than_the_trip_gap_makes_two_trips():
    outputs = run(drive((60, 50, 2_000)) + drive((60, 50, 2_000), start_ms=664_000))
    first, second = ends(outputs)
    assert first.reason == END_INACTIVE
    assert second.summary.unobserved_ms == 0


def test_distance_is_the_trapezoid_of_speed_and_gaps_over_5_s_are_not_driven():
    (end,) = ends(run(drive((60, 72, 2_000)) + drive((60, 72, 2_000), start_ms=90_000)))
    summary = end.summary
    assert summary.distance_mm == 2 * (60_000 - PERIOD_MS) * 20
    assert summary.unobserved_ms == 30_000 + PERIOD_MS
    assert summary.observed_ms + summary.unobserved_ms + PERIOD_MS == summary.duration_ms


@pytest.mark.parametrize(("apart_ms", "driven_ms"), [(BRIDGE_MS, BRIDGE_MS), (BRIDGE_MS + PERIOD_MS, 0)])
def test_a_segment_reaches_over_the_bridge_and_not_further(apart_ms, driven_ms):
    builder = SummaryBuilder(MONDAY_MS, 60, PERIOD_MS)
    for t_ms in (0, apart_ms):
        builder.push(MotionSample(t_ms, 720))
    total = builder.summary
    assert (total.observed_ms, total.unobserved_ms, total.distance_mm) == (
        driven_ms,
        apart_ms - driven_ms,
        20 * driven_ms,
    )


def test_distance_by_speed_and_by_hour_add_up_to_the_distance():
    (end,) = ends(run(drive((3_000, 45, 2_000), (3_000, 95, 2_000))))
    summary = end.summary
    assert sum(summary.distance_by_speed_mm.values()) == summary.distance_mm
    assert sum(summary.distance_by_hour_mm.values()) == summary.distance_mm
    assert sorted(summary.distance_by_hour_mm) == [1, 2]  # Monday 00:00 UTC is 01:00 at +60 min


def test_unknown_local_time_counts_no_hour():
    builder = SummaryBuilder(MONDAY_MS, None, PERIOD_MS)
    for i in range(10):
        builder.push(MotionSample(i * PERIOD_MS, 500, 0))
    assert builder.summary.distance_by_hour_mm == {}
    assert builder.summary.distance_mm > 0


def test_hour_of_week_wraps_on_sunday_night():
    assert hour_of_week(MONDAY_MS - 1, 0) == HOURS_OF_WEEK - 1
    assert hour_of_week(MONDAY_MS - 1, 1) == 0


@pytest.mark.parametrize(("accel", "offset"), [(-10_000, 0), (-11, 29), (-10, 30), (9, 30), (10, 31), (10_000, 60)])
def test_acceleration_bins_are_centred_on_zero(accel, offset):
    assert va_key(0, accel) == offset


def test_rules_whose_exit_is_over_their_entry_are_refused():
    row = {"kind": "harsh_braking", "signal": "accel_lon_cmps2", "sign": -1, "entry": 3.0, "exit": 3.5}
    row |= {"levels": [3.0], "min_duration_ms": 0, "min_speed_kmh": 0, "merge_gap_ms": 0}
    rows = [row | {"kind": kind, "exit": 3.5} for kind in ("harsh_braking", "harsh_acceleration")]
    rows += [row | {"kind": kind, "exit": 2.0} for kind in ("harsh_turn_left", "harsh_turn_right")]
    table = {"version": 9, "rule": rows, "excursion": {"entry": 1.5, "exit": 1.0}}
    with pytest.raises(ContractError, match="harsh_braking"):
        parse_rules(table | {"speeding": {"default_limit_kmh": 130}})


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 180), st.sampled_from([None, 0, 900])), max_size=12),
    st.sets(st.integers(0, 600)),
)
def test_saved_and_restored_anywhere_gives_the_same_outputs(legs, cuts):
    readings = drive(*[(s, float(v), r) for s, v, r in legs], step_ms=700)
    pipeline, outputs = Pipeline(wall), []
    for index, reading in enumerate(readings):
        outputs += pipeline.push(reading)
        if index in cuts:
            pipeline = Pipeline.from_state(json.loads(json.dumps(pipeline.to_state())), wall)
    assert outputs + pipeline.finish() == run(readings)
