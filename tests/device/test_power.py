"""When the car is asked, when it is left alone, when nothing is sent: on a fake clock."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.signals import Reading
from device.power import (
    LOW_PROBE_MS,
    PROBE_FOR_MS,
    QUIET_MS,
    Battery,
    Power,
    PowerSettings,
)

SETTINGS = PowerSettings()
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS


class Car:
    """A battery state machine, told once a second what the car says."""

    def __init__(self, settings: PowerSettings = SETTINGS) -> None:
        self.now_ms = 0
        self.battery = Battery(settings, 0)
        self.history: list[Power] = []

    def goes_on(self, for_ms: int, *, in_trip: bool = False, **told: float | None) -> Car:
        """Time passes; each second the signals are told, those of the car only while it is asked."""
        for _ in range(0, for_ms, 1_000):
            self.now_ms += 1_000
            for signal, value in told.items():
                if self.battery.state.asks_car or signal not in ("rpm", "speed_kmh"):
                    self.battery.hear(Reading(self.now_ms, signal, value))
            state = self.battery.step(self.now_ms, in_trip=in_trip)
            if not self.history or self.history[-1] is not state:
                self.history.append(state)
        return self

    @property
    def state(self) -> Power:
        return self.battery.state


def parked(settings: PowerSettings = SETTINGS, **told: float) -> Car:
    """A car that was driven, parked and left alone."""
    car = Car(settings).goes_on(MINUTE_MS, in_trip=True, **{"rpm": 2_000, "speed_kmh": 50, **told})
    car.goes_on(settings.park_after_ms + 1_000, in_trip=False, **{"rpm": 0, "speed_kmh": 0, **told})
    assert car.state is Power.PARKED
    car.history.clear()
    return car


@pytest.mark.parametrize(
    ("state", "asks_car", "sends"),
    [(Power.AWAKE, True, True), (Power.PARKED, False, True), (Power.PROBE, True, True), (Power.LOW, False, False)],
)
def test_what_each_state_allows(state, asks_car, sends):
    assert (state.asks_car, state.sends) == (asks_car, sends)


def test_a_parked_car_is_asked_for_five_minutes_and_then_left_alone():
    car = Car().goes_on(MINUTE_MS, rpm=800, speed_kmh=0)
    car.goes_on(SETTINGS.park_after_ms - 1_000, rpm=0, speed_kmh=0)
    assert car.state is Power.AWAKE
    assert car.goes_on(1_000, rpm=0, speed_kmh=0).state is Power.PARKED


def test_no_trip_is_cut_by_parking():
    assert Car().goes_on(HOUR_MS, in_trip=True, speed_kmh=0).state is Power.AWAKE


def test_standing_at_a_crossing_with_the_engine_on_is_no_parking():
    assert Car().goes_on(HOUR_MS, rpm=800, speed_kmh=0).state is Power.AWAKE


def test_an_electric_car_parks_without_ever_telling_rpm():
    assert Car().goes_on(SETTINGS.park_after_ms, speed_kmh=0).state is Power.PARKED


def test_without_sensors_the_car_is_asked_now_and_then():
    car = parked()
    car.goes_on(SETTINGS.probe_blind_ms + PROBE_FOR_MS + 1_000, rpm=0, speed_kmh=0)
    assert car.history == [Power.PARKED, Power.PROBE, Power.PARKED]
    car.goes_on(SETTINGS.probe_blind_ms, rpm=800)
    assert car.state is Power.AWAKE


def test_where_a_sensor_watches_the_car_is_asked_once_an_hour():
    car = parked(adapter_voltage_v=12.6)
    car.goes_on(10 * HOUR_MS, rpm=0, speed_kmh=0, adapter_voltage_v=12.6)
    assert car.battery.counters["power_probe"] in (9, 10)


@pytest.mark.parametrize("signal", ["adapter_voltage_v", "module_voltage_v"])
def test_the_alternator_wakes_the_agent_within_seconds(signal):
    car = parked(**{signal: 12.6})
    car.goes_on(6_000, rpm=800, **{signal: 13.9})
    assert car.history == [Power.PARKED, Power.PROBE, Power.AWAKE]


def test_a_battery_charger_wakes_it_once_and_again_after_it_was_taken_off():
    car = parked(adapter_voltage_v=12.6)
    car.goes_on(HOUR_MS - 5 * MINUTE_MS, rpm=0, speed_kmh=0, adapter_voltage_v=14.0)
    assert car.history == [Power.PARKED, Power.PROBE, Power.PARKED]
    car.goes_on(30_000, rpm=0, adapter_voltage_v=12.7)
    car.goes_on(10_000, rpm=0, adapter_voltage_v=14.0)
    assert car.state is Power.PROBE


def test_an_adapter_that_comes_back_into_a_running_car_is_noticed_by_its_voltage():
    car = parked(adapter_voltage_v=12.6).goes_on(MINUTE_MS, rpm=800, speed_kmh=50, adapter_voltage_v=14.1)
    assert car.state is Power.AWAKE
    car.goes_on(SETTINGS.park_after_ms + MINUTE_MS)  # pulled out while driving
    assert car.state is Power.PARKED
    car.goes_on(10_000, rpm=800, speed_kmh=50, adapter_voltage_v=14.1)
    assert car.state is Power.AWAKE


def test_after_a_probe_in_vain_motion_waits_and_the_alternator_does_not():
    car = parked(gnss_speed_kmh=0.2, adapter_voltage_v=12.6)
    car.goes_on(MINUTE_MS, rpm=0, speed_kmh=0, gnss_speed_kmh=35, adapter_voltage_v=12.6)
    assert car.history == [Power.PARKED, Power.PROBE, Power.PARKED]
    car.goes_on(MINUTE_MS, gnss_speed_kmh=35, adapter_voltage_v=12.6)
    assert car.state is Power.PARKED
    car.goes_on(6_000, rpm=800, gnss_speed_kmh=0, adapter_voltage_v=13.8)
    assert car.state is Power.AWAKE


def test_motion_by_gnss_wakes_it_and_one_fix_that_jumps_does_not():
    car = parked(gnss_speed_kmh=0.2)
    for _ in range(20):
        car.goes_on(1_000, gnss_speed_kmh=40).goes_on(3_000, gnss_speed_kmh=0.3)
    assert car.state is Power.PARKED
    car.goes_on(4_000, speed_kmh=20, gnss_speed_kmh=20)
    assert car.history == [Power.PARKED, Power.PROBE, Power.AWAKE]


def test_on_a_ferry_of_six_hours_the_car_is_asked_for_a_few_minutes_in_all():
    car = parked(gnss_speed_kmh=0.2, adapter_voltage_v=12.6)
    car.goes_on(6 * HOUR_MS, rpm=0, speed_kmh=0, gnss_speed_kmh=35, adapter_voltage_v=12.6)
    asked_ms = car.battery.counters["power_probe"] * PROBE_FOR_MS
    assert asked_ms <= (6 * HOUR_MS // QUIET_MS) * PROBE_FOR_MS
    assert Power.AWAKE not in car.history


def shake(car: Car, seconds: int, amplitude_mps2: float, rate_hz: int = 50) -> None:
    draw = random.Random(1)
    for _ in range(seconds * rate_hz):
        car.now_ms += 1_000 // rate_hz
        for signal, rest in (("accel_x_mps2", 0.3), ("accel_y_mps2", -0.2), ("accel_z_mps2", 9.8)):
            value = rest + draw.uniform(-amplitude_mps2, amplitude_mps2)
            car.battery.hear(Reading(car.now_ms, signal, value))
        car.battery.step(car.now_ms, in_trip=False)


def test_a_road_shakes_the_box_awake_and_neither_wind_nor_a_door_does():
    car = parked()
    shake(car, 600, 0.2)
    assert car.state is Power.PARKED
    shake(car, 1, 3.0)
    shake(car, 60, 0.1)
    assert car.state is Power.PARKED
    shake(car, 5, 1.5)
    assert car.state is Power.PROBE


def test_a_low_battery_stops_asking_and_sending_after_a_minute():
    car = parked(adapter_voltage_v=12.4)
    car.goes_on(MINUTE_MS, adapter_voltage_v=11.7)
    assert car.state is Power.PARKED
    assert car.goes_on(2_000, adapter_voltage_v=11.7).state is Power.LOW


def test_the_starter_pulls_no_battery_below_the_cut_off():
    car = Car().goes_on(MINUTE_MS, speed_kmh=0, adapter_voltage_v=12.5)
    car.goes_on(10_000, speed_kmh=0, adapter_voltage_v=9.5).goes_on(HOUR_MS, rpm=800, adapter_voltage_v=14.1)
    assert Power.LOW not in car.history


def test_with_the_engine_on_a_low_voltage_is_the_cars_own_matter():
    assert Car().goes_on(HOUR_MS, rpm=800, module_voltage_v=11.5).state is Power.AWAKE


def test_a_voltage_that_was_told_once_and_never_again_cuts_nothing_off():
    car = parked()
    car.battery.hear(Reading(car.now_ms, "adapter_voltage_v", 11.0))
    car.goes_on(MINUTE_MS * 5)
    assert Power.LOW not in car.history


@pytest.mark.parametrize("nonsense_v", [0.0, 0.1, 5.0])
def test_a_clone_that_measures_nothing_cuts_nothing_off(nonsense_v):
    car = parked(adapter_voltage_v=nonsense_v)
    assert Power.LOW not in car.goes_on(10 * MINUTE_MS, adapter_voltage_v=nonsense_v).history
    assert car.battery.voltage_v is None


def test_a_truck_has_two_batteries_in_a_row():
    car = parked(adapter_voltage_v=25.0)
    assert car.goes_on(2 * MINUTE_MS, adapter_voltage_v=23.0).state is Power.LOW
    assert car.goes_on(2 * MINUTE_MS, rpm=600, adapter_voltage_v=28.0).state is Power.AWAKE


def test_a_low_battery_recovers_by_charging_by_itself_or_after_hours():
    def low() -> Car:
        car = parked(adapter_voltage_v=12.4).goes_on(2 * MINUTE_MS, adapter_voltage_v=11.5)
        assert car.state is Power.LOW
        return car

    assert low().goes_on(5_000, rpm=800, adapter_voltage_v=14.0).state is Power.AWAKE
    assert low().goes_on(10 * MINUTE_MS, adapter_voltage_v=12.1).state is Power.LOW  # not yet well
    assert low().goes_on(MINUTE_MS + 2_000, adapter_voltage_v=12.4).state is Power.PROBE
    car = low()
    car.goes_on(LOW_PROBE_MS - 2 * MINUTE_MS - 5_000)
    assert car.state is Power.LOW
    assert car.goes_on(3 * MINUTE_MS, rpm=0, speed_kmh=0).state is Power.PARKED


def test_a_cut_off_of_0_never_cuts_off():
    car = parked(replace(SETTINGS, cut_off_v=0.0), adapter_voltage_v=12.0)
    assert Power.LOW not in car.goes_on(HOUR_MS, adapter_voltage_v=7.0).history


TOLD = st.sampled_from(
    [
        {},
        {"rpm": 800.0},
        {"rpm": 0.0, "speed_kmh": 0.0},
        {"speed_kmh": 30.0},
        {"speed_kmh": None},
        {"gnss_speed_kmh": 50.0},
        {"gnss_speed_kmh": 0.0},
        {"adapter_voltage_v": 11.0},
        {"adapter_voltage_v": 12.6},
        {"adapter_voltage_v": 14.2},
    ]
)


@given(st.lists(st.tuples(TOLD, st.integers(1, 1_200)), max_size=12))
def test_whatever_happens_a_running_engine_is_heard_in_the_end(episodes):
    """From any history: with engine and alternator on the agent is awake within the longest wait."""
    car = Car()
    for told, seconds in episodes:
        car.goes_on(seconds * 1_000, **told)
    car.goes_on(QUIET_MS + MINUTE_MS, adapter_voltage_v=12.6)
    car.goes_on(2 * MINUTE_MS, rpm=800, speed_kmh=0, adapter_voltage_v=14.2)
    assert car.state is Power.AWAKE
