from __future__ import annotations

import dataclasses
from datetime import date
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.contract.factors import CUSTOMERS
from pricing.customers import customers, judge_histories, read_histories
from pricing.errors import PortfolioError
from pricing.judgements import Judged
from pricing.plan import load_plan

PLAN = load_plan().customers
R = date(2026, 1, 1)
HEAD = "driver_id,start,end,premium,claims_paid,claims_open\n"


def histories(tmp_path, *rows):
    file = tmp_path / "histories.csv"
    file.write_text(HEAD + "\n".join(rows) + "\n")
    return read_histories(file)


def yearly(first, last=2025, premium=6000, claims=0):
    return [f"d,{year}-01-01,{year + 1}-01-01,{premium},{claims},0" for year in range(first, last + 1)]


def of(tmp_path, *rows):
    return customers(histories(tmp_path, *rows), R, PLAN).row(0, named=True)


@pytest.mark.parametrize(
    ("first", "year", "retention"), [(2025, 2, 1.0), (2024, 3, 1.1), (2023, 4, 1.2), (2022, 5, 1.3), (2015, 12, 1.3)]
)
def test_the_coefficient_follows_the_year_with_the_insurer(tmp_path, first, year, retention):
    row = of(tmp_path, *yearly(first))
    assert (row["year"], row["retention"], row["since"]) == (year, retention, date(first, 1, 1))


def test_the_first_year_is_worth_nothing_yet(tmp_path):
    row = of(tmp_path, "d,2025-07-01,2026-07-01,8000,0,0")
    assert (row["year"], row["retention"], row["value"], row["stars"]) == (1, 0.0, 0.0, 1)


def test_open_claims_count_and_terms_before_five_years_do_not(tmp_path):
    row = of(tmp_path, *yearly(2019, 2024), "d,2025-01-01,2026-01-01,6000,1000.5,2000.25")
    assert (row["terms"], row["premiums"], row["claims"]) == (5, 30_000.0, 3_000.75)
    assert row["value"] == pytest.approx((30_000 - 3_000.75) * 1.3)
    assert row["stars"] == 5


@pytest.mark.parametrize(
    ("value", "stars"),
    [(25_000, 5), (24_999.99, 4), (16_000, 4), (10_000, 3), (5_000, 2), (4_999, 1), (0, 1)],
)
def test_stars_start_at_their_limits(tmp_path, value, stars):
    assert of(tmp_path, f"d,2025-01-01,2026-01-01,{value},0,0")["stars"] == stars


def test_who_cost_more_than_they_paid_has_no_star(tmp_path):
    assert of(tmp_path, "d,2025-01-01,2026-01-01,100,100.01,0")["stars"] == 0


def test_doubtful_rows_are_judged_counted_and_listed(tmp_path):
    term = "d,2024-07-01,2025-07-01,6000,1000,0"
    file = tmp_path / "histories.csv"
    rows = [term, term, "d,2024-03-01,2024-03-01,9,0,0", "d,2025-01-01,2026-01-01,500,300,-400.5", "e,2026-01-01,"]
    rows[-1] += "2027-01-01,7,0,0"
    file.write_text(HEAD + "\n".join(rows) + "\n")
    judged = Judged()
    found = read_histories(file, judged)
    judge_histories(found, pl.DataFrame({"driver_id": ["d"]}), R, judged)
    assert judged.rows == {18: 1, 19: 1, 20: 1, 21: 1, 22: 1, 23: 1}
    assert judged.amounts[21] == 100.5
    assert judged.listed().select("row", "judgement").rows() == [(2, 18), (3, 19)]
    row = customers(found, R, PLAN).row(0, named=True)
    assert (row["premiums"], row["claims"], row["terms"]) == (6_500.0, 1_000.0, 2)


@pytest.mark.parametrize(("start", "since"), [("2024-07-01", 2023), ("2024-07-02", 2024)])
def test_a_gap_of_over_six_months_starts_the_years_again(tmp_path, start, since):
    row = of(tmp_path, "d,2023-01-01,2024-01-01,1,0,0", f"d,{start},2026-01-01,1,0,0")
    assert row["since"].year == since
    assert row["premiums"] == 2.0  # what was earned before the gap was earned


def test_who_left_is_no_customer(tmp_path):
    assert customers(histories(tmp_path, "d,2024-01-01,2025-01-01,1,0,0"), R, PLAN).is_empty()
    assert customers(histories(tmp_path, "d,2026-01-01,2027-01-01,1,0,0"), R, PLAN).is_empty()


def test_two_policies_at_a_time_are_one_history(tmp_path):
    row = of(tmp_path, "d,2022-01-01,2026-01-01,10,0,0", "d,2023-01-01,2023-03-01,10,0,0")
    assert (row["year"], row["terms"]) == (5, 2)


@given(cuts=st.lists(st.dates(date(2021, 1, 2), date(2025, 12, 31)), unique=True, max_size=5))
def test_cutting_a_term_without_a_gap_changes_no_year(cuts):
    edges = [date(2021, 1, 1), *sorted(cuts), R]
    rows = [{"driver_id": "d", "start": a, "end": b, "premium": 0.0, "claims": 0.0} for a, b in pairwise(edges)]
    table = customers(pl.DataFrame(rows), R, PLAN)
    assert table.schema == CUSTOMERS
    assert table.select("year", "since").rows() == [(6, date(2021, 1, 1))]


def test_the_plan_changes_the_value(tmp_path):
    plan = dataclasses.replace(PLAN, retention=(2.0,), stars=(10.0, 8.0, 6.0, 4.0, 2.0), years=1)
    row = customers(histories(tmp_path, *yearly(2024, premium=3)), R, plan).row(0, named=True)
    assert (row["value"], row["stars"]) == (6.0, 3)


def test_an_empty_file_is_no_histories(tmp_path):
    with pytest.raises(PortfolioError, match="no histories"):
        histories(tmp_path)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("d,2025-01-01,2024-12-31,1,0,0", "row 1, column end: '2024-12-31' is before the start"),
        ("d,2025-01-01,2026-01-01,-1,0,0", "row 1, column premium: '-1.0' is below 0; give what the term cost after"),
        ("d,2025-01-01,,1,0,0", "row 1, column end: is empty"),
        ("d,2025-01-01,2026-01-01,nan,0,0", "row 1, column premium: 'nan' has to be a finite number"),
        ("d,2025-01-01,2026-01-01,1,zero,0", "row 1, column claims_paid: 'zero' is not a number"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, row, told):
    with pytest.raises(PortfolioError) as error:
        histories(tmp_path, row)
    assert told in str(error.value)
