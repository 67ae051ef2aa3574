from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest

from features.contract.catalogue import load_catalogue
from features.contract.window import rating_features
from pricing.diagnostics import uncertainty
from pricing.diagnostics.uncertainty import relativity_interval
from pricing.matrix import read_inputs
from tests.pricing.book import RATING_DATE, entries, trained

CATALOGUE = load_catalogue()
DRIVERS = 200


@pytest.fixture(scope="module")
def periods():
    return trained().book.periods.filter(pl.col("driver_id").is_in(trained().book.drivers[:DRIVERS]))


@pytest.fixture(scope="module")
def asked():
    return pl.DataFrame({"driver_id": trained().book.drivers[:DRIVERS]}).with_columns(rating_date=pl.lit(RATING_DATE))


@pytest.fixture(scope="module")
def interval(periods, asked):
    return relativity_interval(trained().model, periods, asked, CATALOGUE)


def test_rates_that_count_the_same_manoeuvres_are_lucky_together():
    names = [feature.name for feature in CATALOGUE.features if feature.model and feature.kind == "rate"]
    inputs = dataclasses.make_dataclass("Counts", ["counted"])(dict.fromkeys(names))
    groups = uncertainty._lucky_together(inputs, CATALOGUE)
    assert sorted(name for group in groups for name in group) == sorted(names)
    for group in groups:
        words = {word for name in group for word in ("braking", "acceleration", "turn", "speeding") if word in name}
        assert len(words) == 1, group
    assert len(groups) == 4


def test_the_relativity_lies_within_its_interval_and_is_the_one_that_is_priced(interval, periods, asked):
    low, high = interval.ends
    assert (low <= interval.relativity).all()
    assert (interval.relativity <= high).all()
    rows = rating_features(periods, asked, 12, CATALOGUE)
    priced = trained().model.rate(read_inputs(rows, CATALOGUE)).relativity
    assert interval.relativity == pytest.approx(priced)


def test_more_luck_is_left_in_few_kilometres(interval, periods, asked):
    tenfold = periods.with_columns(
        (pl.col("^(accel|lateral|distance|braking_context)_mm$") * 10),
        event_counts=pl.Series(
            [entries({bin_["key"]: 10 * bin_["value"] for bin_ in row}) for row in periods["event_counts"]],
            dtype=periods.schema["event_counts"],
        ),
    )
    surer = relativity_interval(trained().model, tenfold, asked, CATALOGUE)
    assert np.median(surer.counts) < 0.6 * np.median(interval.counts)


def test_the_luck_of_counting_is_not_told_again_by_the_months(interval, periods, asked):
    """All events in one of two months alike in all else: the rates of the months differ as much as they can."""
    first = pl.col("month") == pl.col("month").min()
    lucky = periods.with_columns(
        event_counts=pl.when(first).then(pl.col("event_counts")).otherwise(pl.lit([], periods.schema["event_counts"]))
    )
    found = relativity_interval(trained().model, lucky, asked, CATALOGUE)
    assert found.months == pytest.approx(interval.months, abs=1e-9)


def test_a_driver_of_one_month_has_the_luck_of_counts_alone(periods, asked):
    one = periods.filter(pl.col("month") == pl.col("month").min())
    found = relativity_interval(trained().model, one, asked, CATALOGUE)
    assert (found.months == 0).all()
    assert (found.half_width == found.counts).all()
