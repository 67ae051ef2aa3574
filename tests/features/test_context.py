"""Rates in context: what is expected in a trip's traffic, and that one more event always raises the rate."""

from __future__ import annotations

import copy
import tomllib
from importlib import resources

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.contract.errors import ContractError
from device.contract.trip import SPEED_BANDS
from features.context import CONTEXTS, TRIP_KINDS, context_mm, load_weights, parse_weights, trip_kind
from ingest.contract.tables import HISTOGRAM
from tests.bench.context import as_toml, recorded
from tests.features.test_window import BRAKING, KM, one, period

TABLE = tomllib.loads((resources.files("features") / "context.toml").read_text(encoding="utf-8"))
CITY, RURAL, MOTORWAY = range(len(TRIP_KINDS))


def frame(*by_speed, samples=1_000, unknown=0, lateral=1_000):
    lists = [[{"key": key, "value": value} for key, value in sorted(own.items())] for own in by_speed]
    return pl.DataFrame(
        {
            "distance_by_speed_mm": pl.Series(lists, dtype=HISTOGRAM),
            "samples": [samples] * len(by_speed),
            "accel_null_samples": [unknown] * len(by_speed),
            "lateral_samples": [lateral] * len(by_speed),
        }
    )


@pytest.mark.parametrize(
    ("by_speed", "kind"),
    [
        ({3: 6, 7: 4}, CITY),
        ({3: 5, 7: 5}, RURAL),
        ({7: 10}, RURAL),
        ({3: 2, 11: 7}, MOTORWAY),
        ({9: 5, 10: 5}, MOTORWAY),
    ],
)
def test_the_kind_of_a_trip_is_told_by_its_distance_by_speed(by_speed, kind):
    row = np.array([[by_speed.get(band, 0) for band in range(SPEED_BANDS)]])
    assert trip_kind(row).tolist() == [kind]


def test_context_distance_is_the_sum_of_distance_times_weight():
    """Slow twin, trip by trip and band by band."""
    trips = [{3: 6 * KM, 7: 4 * KM}, {11: 90 * KM, 2: 333}, {}, {0: 1}]
    kinds = (CITY, MOTORWAY, MOTORWAY, CITY)
    for series, weights in zip(context_mm(frame(*trips)), load_weights(), strict=True):
        expected = [
            sum(mm * int(weights[kind, band]) for band, mm in trip.items()) // 1_000
            for trip, kind in zip(trips, kinds, strict=True)
        ]
        assert series.to_list() == expected


def test_brakings_and_accelerations_are_expected_only_where_they_can_be_seen():
    seen, half, blind = (
        {s.name: s[0] for s in context_mm(frame({4: 100 * KM}, unknown=unknown))} for unknown in (0, 500, 1_000)
    )
    for name in ("braking_context_mm", "acceleration_context_mm"):
        assert half[name] == seen[name] // 2 > 0
        assert blind[name] == 0
    assert blind["turn_context_mm"] == seen["turn_context_mm"] > 0


def test_turns_are_expected_only_where_they_can_be_seen():
    seen = {s.name: s[0] for s in context_mm(frame({4: 100 * KM}, lateral=1_000))}
    half = {s.name: s[0] for s in context_mm(frame({4: 100 * KM}, lateral=500))}
    blind = {s.name: s[0] for s in context_mm(frame({4: 100 * KM}, lateral=None))}
    assert half["turn_context_mm"] == seen["turn_context_mm"] // 2
    assert blind["turn_context_mm"] == 0
    assert blind["braking_context_mm"] == seen["braking_context_mm"] > 0


def test_more_is_expected_of_a_driver_in_town_than_on_a_motorway():
    town, motorway = ({s.name: s[0] for s in context_mm(frame({band: 100 * KM}))} for band in (3, 12))
    for name in CONTEXTS:
        assert town[f"{name}_context_mm"] > 4 * motorway[f"{name}_context_mm"]


def test_the_same_events_in_town_and_on_a_motorway_are_not_the_same_driving():
    rates = {}
    for place, band in (("town", 3), ("motorway", 12)):
        context = {s.name: s[0] for s in context_mm(frame({band: 400 * KM}))}
        driven = period(distance_mm=400 * KM, accel_mm=400 * KM, event_counts={BRAKING * 8 + 1: 8}, **context)
        rates[place] = one([driven])
    plain, fair = "harsh_braking_per_100km", "harsh_braking_in_context"
    assert rates["town"][plain] == rates["motorway"][plain] == 2.0
    assert rates["town"][fair] < 1.0
    assert rates["motorway"][fair] > 4.0
    assert rates["town"][f"{fair}__n"] == 8.0


@settings(max_examples=30)
@given(
    st.dictionaries(st.integers(0, SPEED_BANDS - 1), st.integers(10**7, 10**10), min_size=1, max_size=SPEED_BANDS),
    st.integers(0, 50),
    st.integers(1, 3),
)
def test_one_more_event_raises_the_rate_in_context(by_speed, events, more):
    context = {s.name: s[0] for s in context_mm(frame(by_speed))}
    calm, wild = (
        one([period(distance_mm=sum(by_speed.values()), event_counts={BRAKING * 8 + 1: count}, **context)])
        for count in (events, events + more)
    )
    name = "harsh_braking_in_context"
    if calm[name] is not None:
        assert wild[name] > calm[name]
        assert wild[f"{name}__km"] == calm[f"{name}__km"] > 0


def test_weights_are_positive_integers_for_every_kind_of_trip_and_speed():
    for weights in load_weights():
        assert weights.shape == (len(TRIP_KINDS), SPEED_BANDS)
        assert (weights > 0).all()


@pytest.mark.parametrize("wrong", [[1] * 15, [0] + [1] * 15, [0.5] * 16])
def test_a_table_that_is_none_is_refused(wrong):
    table = copy.deepcopy(TABLE)
    table["turn"]["rural"] = wrong
    with pytest.raises(ContractError, match=r"context\.toml: turn needs 16 positive integers"):
        parse_weights(table)


def test_the_table_names_what_it_rests_on():
    assert TABLE["km"] > 1_000
    assert TABLE["braking"]["events"] > 200
    assert not any("sim" in source for source in TABLE["sources"])


@pytest.mark.usefixtures("shared_data")
def test_the_table_is_what_its_generator_makes_of_the_recordings():
    """All open recordings through the device's pipeline."""
    made = tomllib.loads(as_toml(recorded()))
    assert made == TABLE
