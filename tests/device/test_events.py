"""The event definition on samples written by hand: entry, exit, duration, speed, merging, levels."""

from __future__ import annotations

from dataclasses import replace

from device.contract.motion import PERIOD_MS, MotionSample
from device.contract.rules import KIND_NUMBERS, load_rules
from device.events import DetectedEvent, EventDetector

BRAKING = KIND_NUMBERS["harsh_braking"]


def detect(samples: list[MotionSample], version: int = 1) -> list[DetectedEvent]:
    detector = EventDetector(load_rules(version), PERIOD_MS)
    found = [event for sample in samples for event in detector.push(sample)[0]]
    return found + detector.flush()[0]


def braking(*decelerations: int | None, speed: int | None = 500) -> list[MotionSample]:
    return [MotionSample(PERIOD_MS * i, speed, None if d is None else -d) for i, d in enumerate(decelerations)]


def test_threshold_exact_value_is_an_event_and_one_below_is_not():
    assert [e.level for e in detect(braking(0, 300, 0))] == [1]
    assert detect(braking(0, 299, 0)) == []


def test_event_lasts_to_the_last_sample_at_or_over_exit():
    (event,) = detect(braking(0, 250, 300, 250, 200, 199, 0))
    assert (event.onset_ms, event.end_ms, event.duration_ms) == (1_000, 2_000, 1_500)


def test_level_two_from_the_second_threshold_and_peak_is_the_earliest_maximum():
    (event,) = detect(braking(0, 300, 440, 440, 300))
    assert (event.level, event.peak, event.peak_ms) == (2, 440, 1_000)


def test_runs_merge_within_the_gap_and_not_beyond():
    assert len(detect(braking(300, 0, 300))) == 1
    assert len(detect(braking(300, 0, 0, 300))) == 2


def test_merged_event_keeps_the_first_onset_speed_and_the_last_end_speed():
    samples = [
        MotionSample(0, 600, -310),
        MotionSample(500, 550, -100),
        MotionSample(1_000, 500, -320),
        MotionSample(1_500, 450, 0),
    ]
    (event,) = detect(samples)
    assert (event.onset_speed_dkmh, event.delta_v_dkmh, event.peak) == (600, -100, 320)


def test_too_slow_or_unknown_onset_speed_is_no_braking_event():
    assert detect(braking(0, 400, 0, speed=99)) == []
    assert detect(braking(0, 400, 0, speed=None)) == []
    assert len(detect(braking(0, 400, 0, speed=100))) == 1


def test_null_acceleration_ends_a_run():
    assert [e.end_ms for e in detect(braking(300, 300, None, None, None, 300))] == [500, 2_500]


def test_from_version_3_on_a_run_goes_on_where_acceleration_is_not_known_for_a_second():
    bridged = braking(300, None, None, 250, 0)
    assert [(e.onset_ms, e.end_ms, e.duration_ms) for e in detect(bridged, 2)] == [(0, 0, 500)]
    assert [(e.onset_ms, e.end_ms, e.duration_ms) for e in detect(bridged, 3)] == [(0, 1_500, 2_000)]
    assert [e.end_ms for e in detect(braking(300, None, None, None, 250, 0), 3)] == [0]
    assert [e.end_ms for e in detect(braking(300, None, 199, 250, 0), 3)] == [0]
    assert [e.end_ms for e in detect(braking(300, None), 3)] == [0]


def test_a_swing_that_is_not_seen_in_its_middle_is_one_excursion_from_version_3_on():
    def excursions(version: int) -> list[tuple[int, int]]:
        detector = EventDetector(load_rules(version), PERIOD_MS)
        runs = [run for s in braking(150, None, 160, None, None, 150, 0) for run in detector.push(s)[1]]
        return [(run.onset_ms, run.end_ms) for _, run in runs + detector.flush()[1]]

    assert excursions(2) == [(0, 0), (1_000, 1_000), (2_500, 2_500)]
    assert excursions(3) == [(0, 2_500)]


def test_missing_cells_end_a_run():
    samples = [MotionSample(0, 500, -300), MotionSample(500, 500, -300), MotionSample(5_000, 500, -300)]
    assert len(detect(samples)) == len(detect(samples, 3)) == 2
    broken = [MotionSample(0, 500, -300), MotionSample(500, 500), MotionSample(1_500, 500, -250)]
    assert [event.end_ms for event in detect(broken, 3)] == [0]


def test_event_open_at_the_end_of_the_trip_is_closed_with_its_last_sample():
    (event,) = detect(braking(0, 300, 350))
    assert (event.end_ms, event.peak) == (1_000, 350)


def test_speeding_uses_the_known_limit_and_130_otherwise():
    def drive(speed: int, limit: int | None) -> list[MotionSample]:
        return [MotionSample(PERIOD_MS * i, speed, 0, limit_kmh=limit) for i in range(8)]

    assert detect(drive(1_300, None)) == []
    assert [e.peak for e in detect(drive(1_301, None))] == [1]
    (event,) = detect(drive(750, 50))
    assert (event.kind, event.level, event.peak) == (KIND_NUMBERS["speeding"], 2, 250)


def test_excursions_are_not_merged_and_need_no_speed():
    detector = EventDetector(load_rules(1), PERIOD_MS)
    runs = [run for s in braking(150, 0, 150, 99, 150, 100, speed=None) for run in detector.push(s)[1]]
    runs += detector.flush()[1]
    assert [(kind, run.onset_ms, run.end_ms) for kind, run in runs] == [
        (BRAKING, 0, 0),
        (BRAKING, 1_000, 1_000),
        (BRAKING, 2_000, 2_500),
    ]


def idling(seconds: int, sample: MotionSample) -> list[DetectedEvent]:
    detector = EventDetector(load_rules(2), PERIOD_MS)
    times = range(0, seconds * 1_000, PERIOD_MS)
    found = [event for t_ms in times for event in detector.push(sample._replace(t_ms=t_ms))[0]]
    return found + detector.flush()[0]


def test_two_minutes_with_the_engine_on_in_a_standing_car_are_idling():
    (event,) = idling(120, MotionSample(0, 9, engine=1))
    assert (event.kind, event.level, event.duration_ms, event.peak) == (KIND_NUMBERS["idling"], 1, 120_000, 1)
    assert idling(119, MotionSample(0, 9, engine=1)) == []


def test_a_rolling_a_stopped_and_an_unknown_engine_do_not_idle():
    assert idling(300, MotionSample(0, 10, engine=1)) == []
    assert idling(300, MotionSample(0, 0, engine=0)) == []
    assert idling(300, MotionSample(0, 0, engine=None)) == []
    assert idling(300, MotionSample(0, None, engine=1)) == []


def test_version_1_of_the_rules_stays_as_it_was_and_version_2_adds_idling():
    first, second = load_rules(1), load_rules(2)
    assert [rule.kind for rule in first.rules] == list(KIND_NUMBERS)[:6]
    assert second.rules[:6] == first.rules
    assert [rule.kind for rule in second.rules[6:]] == ["idling"]
    assert second.excursions == first.excursions


def test_version_3_only_bridges():
    second, third = load_rules(2), load_rules(3)
    harsh = [replace(rule, bridge_ms=0) for rule in third.rules[:4]]
    assert (*harsh, *third.rules[4:]) == second.rules
    assert tuple(replace(rule, bridge_ms=0) for rule in third.excursions) == second.excursions
    assert {rule.bridge_ms for rule in third.rules[:4] + third.excursions} == {1_000}
