"""Motion that the car did not make: ferry, car train, tow truck."""

from __future__ import annotations

import json

from device.contract.signals import Reading
from device.driven import UNANSWERED_MS, WORD_MS, Driven


def hear(driven: Driven, *told: tuple[int, str, float | None]) -> Driven:
    for t_ms, signal, value in told:
        assert driven.admits(Reading(t_ms, signal, value))
    return driven


def admits_gnss(driven: Driven, t_ms: int) -> bool:
    return driven.admits(Reading(t_ms, "gnss_speed_kmh", 35.0))


def test_a_car_that_never_spoke_is_driven_by_what_gnss_says():
    assert admits_gnss(Driven(), 0)


def test_gnss_goes_on_where_the_adapter_was_pulled_out_of_a_running_car():
    driven = hear(Driven(), (0, "rpm", 2_000.0), (100, "speed_kmh", 60.0))
    assert admits_gnss(driven, 600_000)
    idling = hear(Driven(), (0, "rpm", 800.0), (100, "speed_kmh", 0.0))
    assert admits_gnss(idling, 600_000)


def test_on_a_ferry_with_the_engine_off_gnss_does_not_drive_the_car():
    driven = hear(Driven(), (0, "speed_kmh", 12.0), (9_000, "speed_kmh", 0.0), (9_100, "rpm", 0.0))
    assert not admits_gnss(driven, 10_000)
    assert not admits_gnss(driven, 10_000 + 6 * 3_600_000)
    assert not driven.admits(Reading(20_000, "gnss_course_deg", 90.0))
    assert driven.admits(Reading(20_000, "latitude_deg", 55.0))


def test_a_control_unit_that_fell_asleep_idling_has_its_engine_off():
    driven = hear(Driven(), (0, "rpm", 800.0), (100, "speed_kmh", 0.0), (1_000, "rpm", None))
    assert admits_gnss(driven, 1_100)
    hear(driven, (100 + UNANSWERED_MS, "speed_kmh", None))
    assert not admits_gnss(driven, 60_000)


def test_an_electric_car_that_stands_and_falls_asleep_is_parked():
    driven = hear(Driven(), (0, "speed_kmh", 0.0))
    assert admits_gnss(driven, 1_000)  # it still answers, and its own speed is what counts
    hear(driven, (UNANSWERED_MS, "speed_kmh", None))
    assert not admits_gnss(driven, 60_000)


def test_engine_or_speed_end_it_at_once():
    for signal, value in (("rpm", 900.0), ("speed_kmh", 5.0)):
        driven = hear(Driven(), (0, "speed_kmh", 0.0), (100, "rpm", 0.0), (200, signal, value))
        assert admits_gnss(driven, 300)


def test_a_car_towed_with_its_ignition_on_tells_a_speed_and_is_driven():
    driven = hear(Driven(), (0, "rpm", 0.0), (100, "speed_kmh", 40.0))
    assert admits_gnss(driven, 200)


def test_a_dead_adapter_does_not_hide_trips_for_ever():
    driven = hear(Driven(), (0, "speed_kmh", 0.0), (100, "rpm", 0.0))
    assert not admits_gnss(driven, WORD_MS)
    assert admits_gnss(driven, WORD_MS + 101)


def test_the_last_word_outlives_a_restart_of_the_agent():
    driven = Driven()
    driven.restore(json.loads(json.dumps(hear(Driven(), (0, "speed_kmh", 0.0), (1, "rpm", 0.0)).to_state())))
    assert not admits_gnss(driven, 1_000)
