"""Bounds from excursion tables: what other rules would find in the motion lies within, whatever the rules."""

from __future__ import annotations

import random
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.motion import MotionSample
from device.contract.rules import KIND_NUMBERS, Rule, Rules, load_rules
from features.bounds import bounds
from features.derive import derive
from tests.features.lakes import drive, sealed, utc_ms
from tests.features.trips import Trip, heads_of, motion_of

START_MS = utc_ms(2025, 1, 6)
TABLED = ("harsh_braking", "harsh_acceleration", "harsh_turn_left", "harsh_turn_right")


def other_rules(
    entry: int, exit_: int, gap_ms: int, duration_ms: int, speed_dkmh: int, bridge_ms: int = 1_000
) -> Rules:
    def changed(rule: Rule) -> Rule:
        return replace(
            rule,
            entry=entry,
            exit=min(exit_, entry),
            levels=(entry,),
            merge_gap_ms=gap_ms,
            min_duration_ms=duration_ms,
            min_speed_dkmh=speed_dkmh,
            bridge_ms=bridge_ms,
        )

    old = load_rules()
    return replace(
        old, version=1_000, rules=tuple(changed(rule) if rule.kind in TABLED else rule for rule in old.rules)
    )


def counted(trips: list[Trip], rules: Rules) -> dict[tuple[int, int], int]:
    events = derive(motion_of(trips), heads_of(trips), rules).events
    return {(key, kind): n for key, kind, n in events.group_by("trip_key", "kind").len().rows()}


def thinned(trip: Trip, period_ms: int) -> Trip:
    """The same values on another grid."""
    samples = [sample._replace(t_ms=i * period_ms) for i, sample in enumerate(trip.samples)]
    return Trip(trip.key, trip.start_ms, trip.utc_offset_min, samples, period_ms, trip.rules_version)


def with_holes(trip: Trip, share: float, seed: int) -> Trip:
    """Now and then no acceleration for some samples, as where a reading was lost."""
    chance = random.Random(seed)
    samples, hidden = [], 0
    for sample in trip.samples:
        hidden = hidden - 1 if hidden else chance.randrange(1, 4) if chance.random() < share else 0
        samples.append(sample._replace(accel_lon_cmps2=None, accel_lat_cmps2=None) if hidden else sample)
    return replace(trip, samples=samples)


@given(
    st.integers(0, 10_000),
    st.integers(150, 700),
    st.integers(100, 500),
    st.sampled_from([0, 500, 1_000, 2_000, 5_000]),
    st.sampled_from([0, 500, 1_000, 3_000]),
    st.sampled_from([0, 0, 100, 300]),
    st.sampled_from([0, 500, 1_000, 1_000, 3_000]),
    st.tuples(st.sampled_from([500, 100]), st.sampled_from([2, 3]), st.sampled_from([0, 0.03, 0.2])),
)
def test_what_the_motion_says_lies_within(seed, entry, exit_, gap_ms, duration_ms, speed_dkmh, bridge_ms, recorded):
    period_ms, old_version, holes = recorded
    drives = [drive(seed + i, "car", START_MS + i * 3_600_000, minutes=2)[0] for i in range(2)]
    trips = [with_holes(replace(trip, rules_version=old_version), holes, seed) for trip in drives]
    trips = sorted(trips, key=lambda trip: trip.key)
    if period_ms != 500:  # a tenth of a second: speed of the drive changes five times as fast as it could
        trips, speed_dkmh = [thinned(trip, period_ms) for trip in trips], 0
    rules = other_rules(entry, exit_, gap_ms, duration_ms, speed_dkmh, bridge_ms)
    heads = heads_of(trips)
    before = derive(motion_of(trips), heads)
    true = counted(trips, rules)
    found = bounds(heads.join(before.summaries, on="trip_key"), before.events, rules)
    assert found.height == len(trips) * len(rules.rules)
    for row in found.iter_rows(named=True):
        n = true.get((row["trip_key"], row["kind"]), 0)
        assert row["low"] <= n <= row["high"], (row, n)


def test_stricter_rules_keep_the_old_events_that_reach_them():
    trips = sorted((drive(seed, "car", START_MS)[0] for seed in range(30)), key=lambda trip: trip.key)
    trips = [replace(trip, rules_version=3) for trip in trips]
    rules, heads = other_rules(350, 200, 1_000, 500, 0), heads_of(trips)
    before = derive(motion_of(trips), heads)
    found = bounds(heads.join(before.summaries, on="trip_key"), before.events, rules)
    braking = found.filter(pl.col("kind") == KIND_NUMBERS["harsh_braking"])
    true = sum(n for (_, kind), n in counted(trips, rules).items() if kind == KIND_NUMBERS["harsh_braking"])
    assert true > 50
    assert 0.7 * true <= braking["low"].sum() <= true <= braking["high"].sum()


@pytest.mark.parametrize("version", [2, 3])
def test_the_same_rules_are_counted_exactly(version):
    tables = sealed([drive(seed, "car", START_MS + seed * 3_600_000) for seed in range(5)])
    trips = tables["trips"].with_columns(rules_version=pl.lit(version, pl.Int32))
    found = bounds(trips, tables["events"], load_rules(version))
    assert found["low"].equals(found["high"].rename("low"))


@pytest.mark.parametrize(("old", "new"), [(2, 3), (3, 2)])
def test_rules_that_only_bridge_otherwise_are_exact_where_everything_is_known(old, new):
    whole, holed = (replace(drive(4, "car", START_MS)[0], rules_version=old, key=key) for key in (1, 2))
    whole.samples[:] = [sample._replace(accel_lon_cmps2=sample.accel_lon_cmps2 or 0) for sample in whole.samples]
    heads = heads_of([whole, holed])
    before = derive(motion_of([whole, holed]), heads)
    found = bounds(heads.join(before.summaries, on="trip_key"), before.events, load_rules(new))
    braking = found.filter(pl.col("kind") == KIND_NUMBERS["harsh_braking"]).sort("trip_key")
    exact, estimated = braking.rows(named=True)
    assert exact["low"] == exact["high"] > 0
    assert exact["reached"] is None
    unknown = sum(sample.accel_lon_cmps2 is None for sample in holed.samples)
    assert 0 < unknown < 10
    assert estimated["high"] - estimated["low"] == 2 * unknown
    assert estimated["reached"] > 0


def test_what_is_unknown_away_from_any_swing_widens_nothing():
    quiet = [MotionSample(i * 500, 500, None if i % 3 else 0) for i in range(300)]
    braking = [MotionSample((300 + i) * 500, 500, -300 if i % 30 < 4 else 0) for i in range(90)]
    trip = Trip(1, START_MS, 60, quiet + braking, 500, rules_version=2)
    heads = heads_of([trip])
    before = derive(motion_of([trip]), heads)
    found = bounds(heads.join(before.summaries, on="trip_key"), before.events, load_rules(3))
    rows = found.sort("kind").rows_by_key("kind", named=True, unique=True)
    assert (rows[1]["low"], rows[1]["high"]) == (1, 5)  # three brakings: two bridges lead from one to the next
    assert (rows[2]["low"], rows[2]["high"], rows[2]["reached"]) == (0, 0, None)  # no acceleration, nothing to bridge


def test_a_threshold_below_the_excursions_has_no_upper_bound():
    tables = sealed([drive(1, "car", START_MS)])
    found = bounds(tables["trips"], tables["events"], other_rules(140, 100, 1_000, 0, 0))
    changed = found.filter(pl.col("kind") == KIND_NUMBERS["harsh_braking"])
    assert changed["high"].to_list() == [None]
    assert changed["low"][0] >= 0


def test_what_a_rule_finds_on_another_signal_is_not_guessed_where_it_bridges_otherwise():
    trip = replace(with_holes(drive(1, "car", START_MS)[0], 0.1, 1), rules_version=3)
    heads, old = heads_of([trip]), load_rules()
    before = derive(motion_of([trip]), heads)
    shaken = tuple(
        replace(rule, signal="accel_peak_cmps2", sign=1, bridge_ms=0) if rule.kind == "harsh_braking" else rule
        for rule in old.rules
    )
    found = bounds(heads.join(before.summaries, on="trip_key"), before.events, replace(old, rules=shaken))
    row = found.filter(pl.col("kind") == KIND_NUMBERS["harsh_braking"]).row(0, named=True)
    assert (row["low"], row["high"], row["reached"]) == (0, None, None)


@pytest.mark.parametrize("kind", ["impact", "speeding", "idling"])
def test_what_excursions_say_nothing_about_is_not_known(kind):
    tables = sealed([drive(1, "car", START_MS)])
    old = load_rules()
    rules = replace(
        old, rules=tuple(replace(rule, min_duration_ms=7) if rule.kind == kind else rule for rule in old.rules)
    )
    row = (
        bounds(tables["trips"], tables["events"], rules).filter(pl.col("kind") == KIND_NUMBERS[kind]).row(0, named=True)
    )
    assert (row["low"], row["high"]) == (0, None)
