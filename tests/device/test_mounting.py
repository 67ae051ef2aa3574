"""How a box is mounted, found while driving: any way up, moved, shaken, standing, and over a restart."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.contract.signals import Reading
from device.mounting import SURE_DEG, Mounting
from device.pipeline import Pipeline
from tests.device.imu_drive import LEVEL, Instant, mounted, off_deg, readings, standing

DEGREES = st.integers(-180, 180)


def driven(found: list[Reading], pipeline: Pipeline | None = None) -> Pipeline:
    pipeline = pipeline or Pipeline(lambda mono_ms: (mono_ms, None))
    for reading in found:
        pipeline.push(reading)
    return pipeline


@settings(max_examples=15)
@given(DEGREES, DEGREES, DEGREES)
def test_axes_are_found_in_any_mounting_without_a_sign_to_guess(heading, pitch, roll):
    axes = mounted(heading, pitch, roll)
    fit = driven(readings(80, axes)).mounting.fit
    assert fit is not None
    assert off_deg(axes, fit) < 2
    assert fit.error_deg < SURE_DEG
    assert fit.gain == pytest.approx(1, abs=0.05)


def test_a_biased_gyroscope_is_told_at_rest_and_turns_nothing():
    bias = (0.8, -0.5, 1.2)
    rest = driven(readings(30, drive=standing, gyro_bias=bias))
    mounting = driven(readings(80, start_ms=30_000, gyro_bias=bias), rest).mounting
    assert mounting.to_state()["bias"][:3] == pytest.approx(bias, abs=0.05)
    assert off_deg(LEVEL, mounting.fit) < 2


def test_steady_driving_tells_no_forward_axis():
    straight = driven(readings(300, drive=lambda _: Instant(20.0, 0.0, 0.0)))
    assert straight.mounting.fit is None
    assert straight.mounting.describe()[0].startswith(("mounting: calibrating", "mounting: not known"))


def test_standing_tells_gravity_nothing_more():
    assert driven(readings(120, drive=standing)).mounting.fit is None


def test_an_imu_that_has_nothing_to_do_with_the_car_is_never_calibrated():
    """A phone that somebody plays with, and the speed of a drive."""
    shaken = [r for r in readings(600, noise=6.0, seed=3) if r.signal != "speed_kmh"]
    speed = [r for r in readings(600) if r.signal == "speed_kmh"]
    pipeline = driven(sorted(shaken + speed, key=lambda r: r.t_ms))
    fit = pipeline.mounting.fit
    assert fit is None or off_deg(LEVEL, fit) < 5  # what survives the noise is the truth


def test_a_box_that_fell_over_is_noticed_within_15_s_and_calibrated_again():
    before, after = mounted(20), mounted(20, 70, 10)
    pipeline = driven(readings(100, before))
    assert pipeline.mounting.fit is not None
    driven(readings(15, after, start_ms=100_000), pipeline)
    assert pipeline.mounting.fit is None
    assert pipeline.mounting.moved == 1
    driven(readings(85, after, drive=lambda t: weaving_from(t, 15), start_ms=115_000), pipeline)
    assert off_deg(after, pipeline.mounting.fit) < 2


def test_a_box_turned_about_the_vertical_is_noticed_by_its_drives():
    before, after = mounted(0), mounted(40)
    pipeline = driven(readings(100, before))
    driven(readings(400, after, start_ms=100_000), pipeline)
    assert pipeline.mounting.moved == 1
    assert off_deg(after, pipeline.mounting.fit) < 2


def test_a_box_left_alone_has_not_moved_in_an_hour_of_hills():
    def hills(t_s: float) -> Instant:
        return weaving_from(t_s, 0)

    tilted = mounted(10, 4)
    pipeline = driven(
        [r for k in range(9) for r in readings(400, mounted(10, 3 * (-1) ** k), hills, start_ms=400_000 * k)]
    )
    assert pipeline.mounting.moved == 0
    assert off_deg(tilted, pipeline.mounting.fit) < 5


def test_state_is_json_and_the_mounting_goes_on_from_it():
    pipeline = driven(readings(90, mounted(33, 5, -8)))
    saved = Mounting.from_state(json.loads(json.dumps(pipeline.mounting.to_state())))
    assert saved.fit == pipeline.mounting.fit
    assert saved.describe() == pipeline.mounting.describe()
    assert saved.to_state() == pipeline.mounting.to_state()


def test_description_names_the_sensors_axis_and_how_sure_it_is():
    lines = driven(readings(120, mounted(90))).mounting.describe()
    assert lines[0] == "mounting: calibrated, from 40 s of driving"
    assert "near -y of the sensor" in lines[2]
    assert "degrees (1 sigma; 2 are needed)" in lines[2]


def weaving_from(t_s: float, begin_s: float) -> Instant:
    from tests.device.imu_drive import weaving

    return weaving(t_s + begin_s)
