from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.exposure import add_months, by_month, earned, total, with_claims

R = date(2025, 1, 1)


def policies(*rows):
    frame = pl.DataFrame(
        rows, schema={"policy_id": str, "driver_id": str, "start": pl.Date, "end": pl.Date}, orient="row"
    )
    return frame.with_columns(pl.lit(0.07).alias("claims_per_year")).sort("policy_id", "start")


def claims(*rows):
    return pl.DataFrame(rows, schema={"policy_id": str, "occurred_on": pl.Date}, orient="row")


def label(rows, incidents=None, months=12):
    pieces = with_claims(earned(rows, R, months), claims() if incidents is None else incidents)
    return total(pieces, ["driver_id", "rating_date"], {"claims_per_year": "expected_claims"})


@pytest.mark.parametrize(
    ("day", "months", "then"),
    [
        (date(2025, 1, 1), 12, date(2026, 1, 1)),
        (date(2025, 1, 1), -12, date(2024, 1, 1)),
        (date(2024, 1, 31), 1, date(2024, 2, 29)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2025, 11, 15), 3, date(2026, 2, 15)),
    ],
)
def test_months_are_added_on_the_calendar(day, months, then):
    assert add_months(day, months) == then


def test_a_full_year_from_the_rating_date_is_one_year():
    row = label(policies(("p", "d", date(2024, 6, 1), None)))
    assert row.select("days", "years", "expected_claims").rows() == [(365, 1.0, 0.07)]


def test_cancellation_ends_the_label():
    row = label(policies(("p", "d", date(2024, 6, 1), date(2025, 3, 15))))
    assert row.select("days", "claims").rows() == [(73, 0)]


def test_a_claim_counts_from_the_rating_date_to_the_last_covered_day():
    days = [R - timedelta(1), R, date(2025, 3, 14), date(2025, 3, 15), date(2026, 1, 1)]
    row = label(policies(("p", "d", date(2024, 6, 1), date(2025, 3, 15))), claims(*(("p", day) for day in days)))
    assert row["claims"].to_list() == [2]


def test_two_claims_on_a_day_are_two():
    assert label(policies(("p", "d", R, None)), claims(("p", R), ("p", R)))["claims"].to_list() == [2]


def test_a_driver_who_is_not_insured_on_the_rating_date_has_no_row():
    rows = policies(("ended", "a", date(2024, 1, 1), R), ("later", "b", date(2025, 2, 1), None))
    assert label(rows).is_empty()


def test_all_policies_of_an_insured_driver_count():
    rows = policies(("car", "d", date(2024, 7, 1), date(2025, 7, 1)), ("next", "d", date(2025, 7, 1), None))
    assert label(rows, claims(("next", date(2025, 8, 1)))).select("days", "claims").rows() == [(365, 1)]


def test_a_claim_follows_the_driver_of_the_day():
    rows = policies(("p", "a", date(2024, 7, 1), date(2025, 7, 1)), ("p", "b", date(2025, 7, 1), None))
    assert label(rows, claims(("p", date(2025, 6, 30)), ("p", date(2025, 7, 1)))).rows_by_key("driver_id").keys() == {
        "a"
    }
    assert label(rows, claims(("p", date(2025, 6, 30)), ("p", date(2025, 7, 1))))["claims"].to_list() == [1]


@given(
    cuts=st.lists(st.dates(date(2024, 6, 2), date(2026, 5, 31)), unique=True, max_size=8),
    days=st.lists(st.dates(date(2024, 6, 1), date(2026, 5, 31)), max_size=10),
    months=st.integers(1, 18),
)
def test_splitting_the_rows_of_a_policy_changes_no_bit(cuts, days, months):
    edges = [date(2024, 6, 1), *sorted(cuts), date(2026, 6, 1)]
    split = policies(*(("p", "d", low, high) for low, high in pairwise(edges)))
    whole = policies(("p", "d", edges[0], edges[-1]))
    incidents = claims(*(("p", day) for day in days))
    assert label(split, incidents, months).equals(label(whole, incidents, months))


def test_amounts_are_counted_in_whole_cents_and_nil_claims_are_not_paid():
    found = claims(("p", R), ("p", R), ("p", R)).with_columns(amount=pl.Series([0.1, 0.2, 0.0]))
    row = label(policies(("p", "d", R, None)), found)
    assert row.select("claims", "paid_claims", "claim_cents").rows() == [(3, 2, 30)]
    assert "claim_cents" not in label(policies(("p", "d", R, None)), claims(("p", R))).columns


@given(st.lists(st.dates(date(2024, 6, 2), date(2025, 5, 31)), unique=True, max_size=6))
def test_months_add_up_to_the_whole_however_rows_are_split(cuts):
    edges = [date(2024, 6, 1), *sorted(cuts), date(2025, 6, 1)]
    split = policies(*(("p", "d", low, high) for low, high in pairwise(edges)))
    months = by_month(split, claims(("p", date(2024, 6, 1)), ("p", date(2025, 5, 31))), date(2024, 5, 1), 14)
    assert months["years"].sum() == pytest.approx(1.0, abs=1e-12)
    assert months["claims"].to_list() == [0, 1, *[0] * 10, 1, 0]
    assert months["policies"].max() == 1


def test_a_row_has_the_same_years_alone_and_in_company():
    """Polars divides a frame of one row, and multiplies others by the reciprocal: decision 0009."""
    days = range(1, 366)
    pieces = pl.DataFrame(
        {
            "driver_id": [f"d{n:03d}" for n in days],
            "start": [date(2025, 1, 1)] * len(days),
            "end": [date(2025, 1, 1) + timedelta(days=n) for n in days],
            "days": list(days),
        },
        schema_overrides={"days": pl.Int64},
    )
    together = total(pieces, ("driver_id",), {})
    alone = pl.concat([total(pieces[k], ("driver_id",), {}) for k in range(len(days))])
    assert together["years"].to_list() == alone["years"].to_list() == [n / 365 for n in days]
