"""The law of parity on generated trips: device, batch and the written-out definition agree on every one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.errors import ContractError
from device.contract.motion import MotionSample
from device.contract.rules import Rules, load_rules
from features.derive import derive
from tests.features import oracle
from tests.features.generated import trip
from tests.features.outcome import EVENT_COLUMNS, by_batch, by_definition
from tests.features.test_parity import by_device
from tests.features.trips import PERIOD_MS, Trip, heads_of, motion_of, samples

TRIPS_A_CHUNK = 500


def assert_parity(seed: int, count: int) -> None:
    chance = random.Random(seed)
    trips = [trip(chance, key) for key in range(count)]
    batch = by_batch(trips)
    assert len(batch) == count
    for one in trips:
        assert batch[one.key] == by_definition(one) == by_device(one), f"seed {seed}, trip {one.key}"


def test_all_three_agree_on_generated_trips():
    assert_parity(1, 150)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 130))
def test_all_three_agree_on_fifteen_thousand_generated_trips(seed):
    assert_parity(seed, TRIPS_A_CHUNK)


THRESHOLD = st.integers(-50, 700)


@st.composite
def any_rules(draw) -> Rules:
    """Rules of which the thresholds may be anything: below zero, above what 16 bits hold, alike on both sides."""
    old = load_rules()

    def changed(rule):
        entry = draw(st.one_of(THRESHOLD, st.sampled_from([40_000, 2_450, 0, 1])))
        return replace(
            rule,
            entry=entry,
            exit=min(entry, draw(THRESHOLD)),
            levels=(entry, entry + 100),
            min_duration_ms=draw(st.sampled_from([0, 500, 1_500])),
            min_speed_dkmh=draw(st.sampled_from([0, 0, 100])),
            merge_gap_ms=draw(st.sampled_from([0, 400, 1_000, 5_000])),
            bridge_ms=draw(st.sampled_from([0, 500, 1_000, 5_000])) if rule.signal.endswith("_cmps2") else 0,
        )

    rules = tuple(changed(rule) if draw(st.booleans()) else rule for rule in old.rules)
    limit = draw(st.sampled_from([0, 500, 1_300, 100_000]))
    return replace(old, version=1_000, rules=rules, default_limit_dkmh=limit)


@given(samples(), any_rules())
def test_batch_equals_the_definition_whatever_the_rules(rows, rules):
    drive = Trip(1, 1_700_000_000_000, 60, rows)
    found = derive(motion_of([drive]), heads_of([drive]), rules).events
    assert found.select(EVENT_COLUMNS).rows() == oracle.events(rows, rules, PERIOD_MS)
    assert (found["rules_version"] == 1_000).all()


def test_thresholds_of_one_side_may_lie_on_the_other():
    """One that leaves a braking only where the car gains speed, beside accelerations that have a rule of their own."""
    rules = load_rules()
    braking, start, *others = rules.rules
    sides = (
        replace(braking, entry=30, exit=-50, levels=(30,), min_duration_ms=0, min_speed_dkmh=0, bridge_ms=0),
        replace(start, entry=150, exit=100, levels=(150,), min_duration_ms=0, bridge_ms=0),
    )
    rules = replace(rules, version=1_000, rules=(*sides, *others))
    rows = [MotionSample(i * PERIOD_MS, 500, accel) for i, accel in enumerate([40, -30, 45, 60, 200])]
    drive = Trip(1, 1_700_000_000_000, 60, rows)
    found = derive(motion_of([drive]), heads_of([drive]), rules).events.select(EVENT_COLUMNS).rows()
    assert found == oracle.events(rows, rules, PERIOD_MS)
    assert [(kind, onset, end) for kind, _, onset, _, end, *_ in found] == [(1, 500, 1_000), (2, 2_000, 2_000)]


def steady(rows: int, period_ms: int = PERIOD_MS, **values) -> Trip:
    return Trip(1, 1_700_000_000_000, 60, [MotionSample(i * period_ms, **values) for i in range(rows)], period_ms)


@pytest.mark.parametrize(
    "drive",
    [
        pytest.param(steady(1, speed_dkmh=500, accel_lon_cmps2=-500), id="a single sample over the threshold"),
        pytest.param(steady(9, speed_dkmh=500, accel_lon_cmps2=-300), id="exactly at entry, open at the end"),
        pytest.param(steady(9, speed_dkmh=500, accel_lon_cmps2=-299), id="just below entry"),
        pytest.param(steady(9), id="nothing known"),
        pytest.param(steady(9, accel_lat_cmps2=400), id="speed never known"),
        pytest.param(steady(9, speed_dkmh=4_000, limit_kmh=0), id="as fast as can be, at no limit"),
        pytest.param(steady(9_000, 5_000, speed_dkmh=4_000), id="further than 32 bits of millimetres"),
    ],
)
def test_all_three_agree_on(drive):
    assert by_batch([drive])[1] == by_definition(drive) == by_device(drive)


@pytest.mark.parametrize(("column", "value"), [("speed_dkmh", 4_001), ("speed_dkmh", -1), ("limit_kmh", 401)])
def test_what_no_car_does_is_refused(column, value):
    drive = steady(5, speed_dkmh=None)
    drive.samples[3] = drive.samples[3]._replace(**{column: value})
    with pytest.raises(ContractError, match=f"motion has a {column} of {value}; it can be 0 to"):
        derive(motion_of([drive]), heads_of([drive]))
