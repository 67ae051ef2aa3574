from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from pricing.errors import PortfolioError
from pricing.portfolio import read_claims, read_policies, read_previous

POLICIES = """policy_id,driver_id,start,end,tariff_premium,tariff_frequency,territory
p1,d1,2025-01-01,2026-01-01,365,0.05,north
p2,d2,2025-03-01,2025-09-01,92,0.08,
"""
CLAIMS = "policy_id,occurred_on,cover,amount\np1,2025-02-03,liability,1200.5\np1,2025-02-03,collision,0\n"


def written(tmp_path, text, name="policies.csv"):
    file = tmp_path / name
    file.write_text(text)
    return file


def test_csv_and_parquet_read_the_same(tmp_path):
    from_csv = read_policies(written(tmp_path, POLICIES))
    parquet = tmp_path / "policies.parquet"
    from_csv.drop("premium_per_year").write_parquet(parquet)
    assert read_policies(parquet).equals(from_csv)
    assert from_csv["start"].dtype == pl.Date
    assert from_csv["territory"].to_list() == ["north", None]


def test_a_premium_of_the_row_becomes_yearly(tmp_path):
    assert read_policies(written(tmp_path, POLICIES))["premium_per_year"].to_list() == [365.0, 92.0 * 365 / 184]


def test_date_times_are_taken_as_dates(tmp_path):
    parquet = tmp_path / "policies.parquet"
    frame = pl.read_csv(POLICIES.encode(), try_parse_dates=True)
    frame.with_columns(pl.col("start", "end").cast(pl.Datetime("ms"))).write_parquet(parquet)
    assert read_policies(parquet)["start"].to_list() == [date(2025, 1, 1), date(2025, 3, 1)]


def test_numbers_are_no_dates(tmp_path):
    parquet = tmp_path / "policies.parquet"
    frame = pl.read_csv(POLICIES.encode(), try_parse_dates=True)
    frame.with_columns(start=pl.lit(20250101)).write_parquet(parquet)
    with pytest.raises(PortfolioError, match="row 1, column start: '20250101' is not a date"):
        read_policies(parquet)


def test_blanks_around_a_value_do_not_matter(tmp_path):
    assert read_policies(written(tmp_path, POLICIES.replace("p1,d1,", " p1,d1 , ")))["driver_id"].to_list() == [
        "d1",
        "d2",
    ]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("driver_id", "driver", "column driver_id: is missing; the columns are policy_id, driver, start"),
        ("2025-03-01", "2025-13-01", "row 2, column start: '2025-13-01' is not a date (YYYY-MM-DD)"),
        ("p2,d2", "p2,", "row 2, column driver_id: is empty"),
        ("0.08", "eight", "row 2, column tariff_frequency: 'eight' is not a number"),
        ("0.08", "-0.08", "row 2, column tariff_frequency: '-0.08' has to be above 0"),
        ("0.08", "nan", "row 2, column tariff_frequency: 'nan' has to be above 0"),
        ("2025-09-01", "2025-02-01", "row 2, column end: '2025-02-01' is before the start"),
        ("2025-09-01", "", "row 2, column end: is empty; a tariff_premium is for the days of its row"),
        ("p2,d2", "p1,d2", "row 2, column start: '2025-03-01' overlaps another row of the same policy"),
    ],
)
def test_a_wrong_value_is_named_with_file_row_and_column(tmp_path, before, after, message):
    file = written(tmp_path, POLICIES.replace(before, after))
    with pytest.raises(PortfolioError) as error:
        read_policies(file)
    assert str(error.value).startswith(f"{file}, {message}")
    assert "\n" not in str(error.value)


def test_rows_of_one_policy_may_follow_each_other(tmp_path):
    split = POLICIES.replace("p1,d1,2025-01-01,2026-01-01,365", "p1,d1,2025-01-01,2025-06-01,151").rstrip()
    assert read_policies(written(tmp_path, split + "\np1,d1,2025-06-01,2026-01-01,214,0.05,north\n")).height == 3


def test_an_open_row_that_is_followed_by_another_overlaps(tmp_path):
    rows = "policy_id,driver_id,start,end\np1,d1,2025-01-01,\np1,d1,2025-06-01,2026-01-01\n"
    with pytest.raises(PortfolioError, match="row 2, column start"):
        read_policies(written(tmp_path, rows))


def test_a_row_without_days_is_dropped_and_told(tmp_path, caplog):
    file = written(tmp_path, POLICIES.replace("2025-09-01", "2025-03-01"))
    assert read_policies(file)["policy_id"].to_list() == ["p1"]
    assert "1 rows end on the day they start" in caplog.text


def test_claims_are_rows_and_covers_choose(tmp_path):
    file = written(tmp_path, CLAIMS, "claims.csv")
    assert read_claims(file).height == 2
    assert read_claims(file, ("liability",)).rows() == [("p1", date(2025, 2, 3))]
    with pytest.raises(PortfolioError, match="no claim has the cover 'fire'"):
        read_claims(file, ("fire",))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("1200.5", "-1", "row 1, column amount: '-1.0' is negative"),
        ("2025-02-03,liab", "3 Feb,liab", "row 1, column occurred_on: '3 Feb' is not a date"),
        ("occurred_on", "day", "column occurred_on: is missing"),
    ],
)
def test_a_wrong_claim_is_named(tmp_path, before, after, message):
    with pytest.raises(PortfolioError) as error:
        read_claims(written(tmp_path, CLAIMS.replace(before, after), "claims.csv"))
    assert message in str(error.value)


def test_previous_factors_are_checked(tmp_path):
    good = "policy_id,driver_id,factor,tier\np1,d1,0.9,3\n"
    assert read_previous(written(tmp_path, good, "factors.csv")).rows() == [("p1", "d1", 0.9)]
    with pytest.raises(PortfolioError, match="row 1, column policy_id: 'p1' stands there twice"):
        read_previous(written(tmp_path, good + "p1,d1,1.1,4\n", "factors.csv"))
    with pytest.raises(PortfolioError, match="has to be above 0"):
        read_previous(written(tmp_path, good.replace("0.9", "0"), "factors.csv"))
    with pytest.raises(PortfolioError, match=r"'90[.]0' is no premium factor"):
        read_previous(written(tmp_path, good.replace("0.9", "90"), "factors.csv"))


def test_a_claim_that_stands_twice_is_refused(tmp_path):
    head, *rows = CLAIMS.splitlines()
    text = "\n".join([f"claim_id,{head}", *(f"c1,{row}" for row in rows)]) + "\n"
    file = written(tmp_path, text, "claims.csv")
    with pytest.raises(PortfolioError, match="row 1, column claim_id: 'c1' stands there twice"):
        read_claims(file)
    assert read_claims(file, ("liability",)).height == 1
    assert read_claims(written(tmp_path, text.replace("c1,p1", ",p1"), "claims.csv")).height == 2  # not known


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("policies.parquet", b"PAR1 and then nothing", "cannot be read"),
        ("policies.csv", b"", "cannot be read"),
        ("policies.csv", b"\xff\xfe\x00,1", "is missing|cannot be read"),
        ("policies.csv", b"policy_id,driver_id,start,end\n", "no policies"),
        ("policies.xlsx", b"PK", "ending '.xlsx' is not known"),
    ],
)
def test_a_file_that_is_no_table(tmp_path, name, content, message):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(PortfolioError, match=message) as error:
        read_policies(file)
    assert str(file) in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(PortfolioError, match="no such file"):
        read_claims(tmp_path / "claims.csv")
