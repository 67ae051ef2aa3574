"""Months added up to windows: against a slow twin that walks over every bin."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.errors import ContractError
from device.contract.trip import ACCEL_BINS
from features.contract import folding
from features.contract.folding import FOLDINGS, by_acceleration, fold, layers, measures_of
from features.contract.measures import MEASURES
from features.contract.periods import BINS
from ingest.contract.tables import HISTOGRAM

HISTOGRAMS = sorted(BINS)


def drawn(chance, histogram: str, rows: int) -> pl.Series:
    keys = [
        sorted(chance.choice(BINS[histogram], size=chance.integers(0, 9), replace=False).tolist()) for _ in range(rows)
    ]
    cells = [[{"key": k, "value": int(chance.integers(1, 10**9))} for k in own] for own in keys]
    return pl.Series(histogram, cells, HISTOGRAM)


@given(st.integers(0, 10**6), st.sampled_from(HISTOGRAMS), st.integers(1, 7))
def test_measures_are_the_sums_of_weights_times_values(seed, histogram, rows_at_once):
    chance = np.random.default_rng(seed)
    lists = drawn(chance, histogram, 12)
    pairs = sorted(
        {(int(w), int(p)) for w, p in zip(chance.integers(0, 5, 30), chance.integers(0, 12, 30), strict=True)}
    )
    rows = pl.DataFrame(pairs, schema={"window": pl.Int64, "period": pl.UInt32}, orient="row")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "ROWS_AT_ONCE", rows_at_once)
        folded = fold(5, layers(rows, 12), lists)
    found = measures_of(folded, FOLDINGS[histogram])
    for name, measure in MEASURES.items():
        if measure.histogram == histogram:
            slow = [0] * 5
            for window, period in pairs:
                slow[window] += sum(int(measure.weights[e["key"]]) * e["value"] for e in lists[period])
            assert found[name].tolist() == slow, name
    if histogram == "va_ms":
        slow_heat = np.zeros((5, ACCEL_BINS), np.int64)
        for window, period in pairs:
            for entry in lists[period]:
                if entry["key"] >= ACCEL_BINS:  # 10 km/h and more
                    slow_heat[window, entry["key"] % ACCEL_BINS] += entry["value"]
        assert by_acceleration(folded).tolist() == slow_heat.tolist()


def test_every_month_is_in_one_window_of_a_layer():
    rows = pl.DataFrame({"window": [0, 0, 1, 1, 2], "period": [0, 1, 1, 2, 1]})
    first, second, third = layers(rows, 3)
    assert first.months is None
    assert first.window.tolist() == [0, 0, 1]
    assert (second.months.tolist(), second.window.tolist()) == ([False, True, False], [1])
    assert (third.months.tolist(), third.window.tolist()) == ([False, True, False], [2])
    assert layers(rows.clear(), 3) == []


def test_sums_beyond_what_floating_point_holds_stay_exact():
    folded = np.zeros((1, len(FOLDINGS["event_counts"].weights)), np.int64)
    kind = FOLDINGS["event_counts"].class_of[8 + 1]
    folded[0, kind] = 2**60 + 1
    assert measures_of(folded, FOLDINGS["event_counts"])["harsh_brakings"].tolist() == [2**60 + 1]


@pytest.mark.parametrize("key", [-1, 16])
def test_a_bin_that_there_is_not_is_refused(key):
    lists = pl.Series("distance_by_speed_mm", [[{"key": key, "value": 1}]], HISTOGRAM)
    rows = pl.DataFrame({"window": [0], "period": [0]})
    with pytest.raises(ContractError, match="distance_by_speed_mm of the driver periods has bin"):
        fold(1, layers(rows, 1), lists)
