"""The simulated drive: physics it keeps, habits it shows, and truth it tells."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from replay_data.cars import DIESEL, ELECTRIC, PETROL, START_STOP
from replay_data.driver import STEP_MS
from replay_data.plan import BRISK, CALM, EVERYDAY, RECKLESS
from replay_data.scenes import RouteBuilder
from replay_data.sensors import Before, ecu_readings, gnss_readings
from replay_data.vehicle import GRIP_MPS2, Sample, drive, hard_brakings

DRIVERS = (CALM, EVERYDAY, BRISK, RECKLESS)
BEFORE = Before(odometer_km=1_000.0, since_clear_km=50.5, coolant_c=15.0, ambient_c=10.0, fuel_pct=60.0)


def mixed_route(seed):
    return RouteBuilder(random.Random(seed)).city(2).rural(4).motorway(4).jam(0.4).finish()


def speeds(*kmh):
    """Samples of a given speed at every step, standing still in place."""
    return [Sample(i * STEP_MS, 0, v / 3.6, 0, 0, 0, None, 50) for i, v in enumerate(kmh)]


def ramp(start, end, seconds):
    steps = round(seconds * 1_000 / STEP_MS)
    return [start + (end - start) * i / steps for i in range(steps)]


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda d: d.name)
@pytest.mark.parametrize("seed", range(3))
def test_a_drive_keeps_physics_and_ends_parked(driver, seed):
    route = mixed_route(seed)
    samples = drive(route, driver, PETROL, random.Random(seed))
    assert samples[0].speed_mps == samples[-1].speed_mps == 0
    assert abs(samples[-1].distance_m - route.length_m) < 10
    assert min(s.speed_mps for s in samples) == 0
    assert min(s.accel_mps2 for s in samples) >= -GRIP_MPS2 - 1e-9
    assert max(abs(s.lateral_mps2) for s in samples) < GRIP_MPS2
    integral_m = sum((a.speed_mps + b.speed_mps) / 2 * STEP_MS / 1_000 for a, b in pairwise(samples))
    assert samples[-1].distance_m == pytest.approx(integral_m, rel=1e-6)
    assert [s.t_ms for s in samples] == [i * STEP_MS for i in range(len(samples))]


def test_same_seed_same_drive_and_another_seed_another():
    drives = [drive(mixed_route(1), BRISK, PETROL, random.Random(seed)) for seed in (5, 5, 6)]
    assert drives[0] == drives[1] != drives[2]


def test_harsher_habits_brake_harder_on_the_same_roads():
    hardness, hard = [], []
    for driver in DRIVERS:
        drives = [drive(mixed_route(seed), driver, PETROL, random.Random(seed)) for seed in range(6)]
        braking = sorted(s.accel_mps2 for samples in drives for s in samples if s.accel_mps2 < -0.5)
        hardness.append(-braking[len(braking) // 4])
        hard.append(sum(len(hard_brakings(samples)) for samples in drives))
    assert hardness == sorted(hardness)
    assert hard[-1] > 5 * max(hard[:-1])


@pytest.mark.parametrize("driver", DRIVERS, ids=lambda d: d.name)
def test_a_person_on_the_road_makes_everyone_brake_hard(driver):
    route = RouteBuilder(random.Random(3)).city(0.3).emergency().city(0.1).finish()
    assert len(hard_brakings(drive(route, driver, PETROL, random.Random(3)))) >= 1


def test_an_amber_light_is_passed_by_who_would_have_to_brake_too_hard():
    builder = RouteBuilder(random.Random(0)).city(0.3)
    builder._stop(sight_m=22, wait_s=20)
    route = builder.city(0.3).finish()
    standing = [
        s for s in drive(route, CALM, PETROL, random.Random(0)) if s.speed_mps == 0 and 100 < s.distance_m < 500
    ]
    assert standing == []


def test_start_stop_engines_stand_still_electric_cars_have_none():
    route = RouteBuilder(random.Random(11)).city(2).finish()
    red_light = [
        s
        for s in drive(route, EVERYDAY, START_STOP, random.Random(0))
        if s.speed_mps == 0 and 50 < s.distance_m < 1_900
    ]
    assert 0 < sum(s.rpm == 0 for s in red_light) < len(red_light)
    assert all(s.rpm > 700 for s in drive(route, EVERYDAY, DIESEL, random.Random(0)) if s.speed_mps > 0)
    assert all(s.rpm is None for s in drive(route, EVERYDAY, ELECTRIC, random.Random(0)))


@pytest.mark.parametrize(
    ("name", "profile", "count"),
    [
        ("steady", [80] * 200, 0),
        ("gentle", ramp(80, 0, 10), 0),
        ("just below 3 m/s2", ramp(80, 0, 80 / 3.6 / 2.9), 0),
        ("3.1 m/s2 for less than a second", [80] * 40 + ramp(80, 71, 0.8) + [71] * 40, 0),
        ("3.1 m/s2 for two seconds", [80] * 40 + ramp(80, 80 - 2 * 3.1 * 3.6, 2) + [57] * 40, 1),
        ("7 m/s2 to a stop", [80] * 40 + ramp(80, 0, 80 / 3.6 / 7) + [0] * 40, 1),
        ("twice", 2 * ([80] * 60 + ramp(80, 40, 2) + ramp(40, 80, 10)), 2),
        ("below 10 km/h", ramp(9.9, 0, 0.5) + [0] * 40, 0),
    ],
)
def test_true_hard_brakings_of_known_profiles(name, profile, count):
    assert len(hard_brakings(speeds(*profile, *[profile[-1]] * 40))) == count


def test_a_route_rises_by_position():
    route = mixed_route(8)
    for rows in (route.limits, route.curves, route.stops, route.traffic):
        positions = [row.at_m for row in rows]
        assert positions == sorted(positions)
        assert positions[-1] <= route.length_m


def test_the_control_unit_counts_what_was_driven():
    samples = drive(mixed_route(2), EVERYDAY, START_STOP, random.Random(2))
    last = {r.signal: r.value for r in ecu_readings(samples, START_STOP, BEFORE)}
    km = samples[-1].distance_m / 1_000
    assert last["odometer_km"] == pytest.approx(1_000 + km, abs=0.1)
    assert last["distance_since_clear_km"] == math.floor(50.5 + km)
    assert last["run_time_s"] == pytest.approx(samples[-1].t_ms / 1_000, abs=1)
    assert {"rpm", "throttle_pct", "coolant_c"} <= set(last)
    electric = {r.signal for r in ecu_readings(samples, ELECTRIC, BEFORE)}
    assert not {"throttle_pct", "coolant_c", "run_time_s", "fuel_pct"} & electric


def test_gnss_course_turns_the_way_the_road_does():
    left = [
        Sample(t, t / 100, 10.0, 0, 2.0, heading, None, 50)  # heading rises: a left turn
        for t, heading in ((i * 1_000, i * 0.2) for i in range(8))
    ]
    courses = [r.value for r in gnss_readings(left, (48.0, 10.0), random.Random(0)) if r.signal == "gnss_course_deg"]
    turned = (courses[4] - courses[1]) % 360
    assert turned == pytest.approx(360 - math.degrees(0.6), abs=6)
