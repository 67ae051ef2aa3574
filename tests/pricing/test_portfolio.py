from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from pricing.errors import PortfolioError
from pricing.judgements import JUDGEMENTS, Judged, judge_driving
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


def test_a_column_of_lists_is_named(tmp_path):
    parquet = tmp_path / "policies.parquet"
    pl.read_csv(POLICIES.encode(), try_parse_dates=True).with_columns(pl.concat_list("driver_id")).write_parquet(
        parquet
    )
    with pytest.raises(PortfolioError, match=r"column driver_id: is List\(String\), not text"):
        read_policies(parquet)


@pytest.mark.parametrize("value", [True, date(2025, 1, 1)])
def test_a_column_of_dates_or_truths_is_no_column_of_numbers(tmp_path, value):
    path = tmp_path / "previous.parquet"
    pl.DataFrame({"policy_id": ["P"], "driver_id": ["a"], "factor": [value]}).write_parquet(path)
    with pytest.raises(PortfolioError, match=r"column factor: is (Boolean|Date), not a number"):
        read_previous(path)


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


def judged_policies(tmp_path, text):
    judged = Judged()
    return read_policies(written(tmp_path, text), judged), judged


def test_a_row_ends_where_the_next_of_its_policy_and_driver_starts(tmp_path):
    rows = "policy_id,driver_id,start,end,tariff_premium\np1,d1,2025-01-01,2026-01-01,365\n"
    found, judged = judged_policies(tmp_path, rows + "p1,d1,2025-06-01,2026-01-01,428\n")
    assert found.select("start", "end", "premium_per_year").rows() == [
        (date(2025, 1, 1), date(2025, 6, 1), 365.0),
        (date(2025, 6, 1), date(2026, 1, 1), 730.0),
    ]
    assert judged.rows == {5: 1}
    running, _ = judged_policies(tmp_path, "policy_id,driver_id,start,end\np1,d1,2025-01-01,\np1,d1,2025-06-01,\n")
    assert running["end"].to_list() == [date(2025, 6, 1), None]


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (
            "p1,d2,2025-06-01,2026-01-01",
            "row 2, column start: '2025-06-01' overlaps another row of the same policy, of",
        ),
        (
            "p1,d1,2025-01-01,2026-02-01",
            "row 2, column start: '2025-01-01' overlaps another row of the same policy from",
        ),
        ("p1,d1,2025-06-01,2025-07-01", "overlaps another row of the same policy and ends before it does"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(tmp_path, second, told):
    rows = f"policy_id,driver_id,start,end\np1,d1,2025-01-01,2026-01-01\n{second}\n"
    with pytest.raises(PortfolioError) as error:
        read_policies(written(tmp_path, rows))
    assert told in str(error.value)


def test_a_refusal_says_how_many_rows_are_like_the_first(tmp_path):
    with pytest.raises(PortfolioError, match=r"row 1, column start: 'x' is not a date .*; 2 rows are like this"):
        read_policies(written(tmp_path, "policy_id,driver_id,start,end\np1,d1,x,\np2,d2,x,\n"))


def test_a_cancelled_row_earns_to_that_day_the_premium_of_its_term(tmp_path):
    head = "policy_id,driver_id,start,end,tariff_premium,cancelled_on\n"
    text = head + "p1,d1,2025-01-01,2026-01-01,365,2025-03-01\np2,d2,2025-01-01,2026-01-01,365,\n"
    found, judged = judged_policies(tmp_path, text + "p3,d3,2025-01-01,2026-01-01,365,2025-01-01\n")
    assert found.select("policy_id", "end", "premium_per_year").rows() == [
        ("p1", date(2025, 3, 1), 365.0),
        ("p2", date(2026, 1, 1), 365.0),
    ]
    assert judged.rows == {3: 1, 4: 1}


def test_rows_set_aside_are_listed_with_file_row_and_reason(tmp_path):
    text = POLICIES + "p1,d1,2025-01-01,2026-01-01,365,0.05,north\np3,d3,2025-01-01,2025-01-01,1,0.1,\n"
    found, judged = judged_policies(tmp_path, text)
    assert found["policy_id"].to_list() == ["p1", "p2"]
    judged.listed().write_csv(tmp_path / "set_aside.csv")
    assert (tmp_path / "set_aside.csv").read_text() == (
        "file,row,judgement,reason\n"
        'policies.csv,3,2,"stand there already, the same in every column"\n'
        "policies.csv,4,1,end on the day they start: never were a risk\n"
    )
    counts = {row["number"]: row["count"] for row in judged.table()}
    assert counts == dict.fromkeys(JUDGEMENTS, 0) | {1: 1, 2: 1}


def test_changes_of_driver_and_drivers_with_two_policies_are_counted(tmp_path):
    head = "policy_id,driver_id,device_id,start,end\n"
    text = head + "p1,d1,x,2025-01-01,2025-06-01\np1,d2,x,2025-06-01,\np1,d2,y,2025-09-01,\np2,d2,z,2025-07-01,\n"
    _, judged = judged_policies(tmp_path, text)
    assert judged.rows == {5: 1, 6: 2, 7: 2}


def test_a_row_without_days_is_dropped_and_told(tmp_path, caplog):
    file = written(tmp_path, POLICIES.replace("2025-09-01", "2025-03-01"))
    assert read_policies(file)["policy_id"].to_list() == ["p1"]
    assert "1 rows are set aside: they end on the day they start" in caplog.text


def test_claims_are_rows_and_covers_choose(tmp_path):
    file = written(tmp_path, CLAIMS, "claims.csv")
    assert read_claims(file).height == 2
    assert read_claims(file, ("liability",)).rows() == [("p1", date(2025, 2, 3), 1200.5)]
    with pytest.raises(PortfolioError, match="no claim has the cover 'fire'"):
        read_claims(file, ("fire",))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("1200.5", "much", "row 1, column amount: 'much' is not a number"),
        ("1200.5", "inf", "row 1, column amount: 'inf' has to be a finite number"),
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


def judged_claims(tmp_path, rows, **options):
    judged = Judged()
    file = written(tmp_path, "claim_id,policy_id,occurred_on,amount\n" + rows, "claims.csv")
    return read_claims(file, judged=judged, **options), judged


def test_movements_of_a_claim_are_one_claim_with_what_is_left(tmp_path):
    day = "p1,2025-02-03"
    rows = f"c1,{day},1000\nc1,{day},-250.1\nc2,{day},500\nc2,{day},-500\nc2,{day},20\n,{day},7\n"
    claims, judged = judged_claims(tmp_path, rows)
    assert claims["amount"].to_list() == [7.0, 20.0, 749.9]  # c2 was recovered, and reopened
    assert judged.rows == {12: 3}


def test_a_claim_that_was_all_recovered_stays_a_claim_of_nothing(tmp_path):
    claims, judged = judged_claims(tmp_path, "c1,p1,2025-02-03,1000\nc1,p1,2025-02-03,-1200\nc2,p1,2025-02-03,\n")
    assert claims["amount"].to_list() == [None, 0.0]
    assert judged.rows == {12: 1, 13: 1, 14: 1}


def test_a_recovery_without_its_claim_is_set_aside(tmp_path):
    claims, judged = judged_claims(tmp_path, ",p1,2025-02-03,-80\n,p1,2025-02-03,80\n")
    assert claims["amount"].to_list() == [80.0]
    assert judged.listed().rows() == [("claims.csv", 1, 11, JUDGEMENTS[11].rows)]


def test_a_large_claim_counts_with_the_cap(tmp_path):
    claims, judged = judged_claims(tmp_path, "c1,p1,2025-02-03,250000\nc2,p1,2025-02-03,90\n", cap=100_000.0)
    assert claims["amount"].to_list() == [90.0, 100_000.0]
    assert next(row for row in judged.table() if row["number"] == 15)["amount"] == 150_000.0


def test_movements_that_name_another_policy_or_day_are_refused(tmp_path):
    with pytest.raises(PortfolioError, match="row 2, column claim_id: 'c1' stands there already, with another"):
        judged_claims(tmp_path, "c1,p1,2025-02-03,1\nc1,p2,2025-02-03,2\n")


def test_claims_without_a_policy_or_outside_its_days_are_set_aside(tmp_path):
    policies = read_policies(written(tmp_path, POLICIES))
    rows = "c1,p2,2025-03-01,1\nc2,p2,2025-09-01,1\nc3,nobody,2025-03-01,1\nc4,p1,2025-12-31,1\n"
    claims, judged = judged_claims(tmp_path, rows, policies=policies)
    assert claims["policy_id"].to_list() == ["p1", "p2"]
    assert judged.listed().select("row", "judgement").rows() == [(2, 10), (3, 9)]


def test_policies_without_trips_and_trips_without_policies_are_counted(tmp_path):
    judged = Judged()
    periods = pl.DataFrame({"driver_id": ["d1", "d1", "d9"]})
    judge_driving(read_policies(written(tmp_path, POLICIES)), periods, judged)
    assert judged.rows == {16: 1, 17: 1}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("policies.parquet", b"PAR1 and then nothing", "cannot be read"),
        ("policies.csv", b"", "cannot be read"),
        ("policies.csv", b"\xff\xfe\x00,1", "is not UTF-8 text"),
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
