"""The SQL views: they agree with Polars and with pricing, any DuckDB takes them, a wrong question is one clear line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import date
from importlib import resources
from pathlib import Path

import duckdb
import polars as pl
import pytest

import ubi
from device.contract.rules import KIND_NUMBERS
from features.build import build
from features.contract.histograms import sum_lists
from features.contract.periods import BINS
from features.contract.window import rating_features
from features.policies import read_policies
from features.sql import Given, ask_json, script, views_of
from ingest.contract.lake import Lake
from ingest.contract.publish import publish
from pricing import portfolio
from pricing.exposure import earned, total, with_claims
from tests.features.lakes import lake_of, sealed, year_of_trips
from tests.features.whole import read_built

DOCS = Path(__file__).resolve().parents[2] / "docs"
TRIPS = year_of_trips(devices=5, months=3)
RATING_DATES = (date(2025, 3, 1), date(2025, 4, 1))
POLICIES = """\
policy_id,driver_id,device_id,start,end,tariff_frequency
P0,ann,car-0,2025-01-01,2025-02-10,0.1
P0,ann,car-0,2025-02-10,,0.2
P1,bob,car-1,2025-01-01,2025-03-20,0.1
P2,ann,car-2,2024-06-01,2026-03-25,0.1
P3,cid,car-3,2025-02-05,2026-01-01,0.1
P4,dora,car-3,2025-01-01,2025-02-05,0.1
P6,cid,car-4,2025-03-01,2025-03-15,0.1
"""
CLAIMS = """\
policy_id,occurred_on,amount
P0,2025-02-09,100
P0,2025-05-01,200.5
P2,2025-04-01,300
P2,2026-03-24,310
P2,2026-03-25,320
P3,2025-12-31,400
P3,2026-01-01,500
P1,2025-03-19,600
"""


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    root = tmp_path_factory.mktemp("sql")
    lake = Lake(root / "lake")
    content = sealed(TRIPS, with_motion=False)
    heavy = pl.col("trip_id").str.starts_with("car-1")
    content["trips"] = content["trips"].with_columns(
        represents=pl.when(heavy).then(7).otherwise(1),
        complete=pl.col("trip_key") % 3 != 0,
        clock_suspect=pl.col("trip_key") % 4 == 0,
    )
    publish(lake, "messages", [content])
    (root / "policies.csv").write_text(POLICIES)
    (root / "claims.csv").write_text(CLAIMS)
    build(lake, root / "features", read_policies(root / "policies.csv"))
    return Given(lake.root, root / "features", root / "policies.csv", root / "claims.csv", RATING_DATES)


def rows(given, query):
    return ask_json(views_of(given), query)


def run(*arguments):
    return ubi.main(["features", "sql", *map(str, arguments)])


def test_periods_counted_again_in_sql_are_the_driver_periods(given):
    """Sealed trips and events, assigned and summed by DuckDB; the other side by Polars."""
    periods = read_built(given.features).driver_periods
    ours = rows(given, "SELECT * FROM rebuilt_periods ORDER BY month, driver_id, policy_id")
    keys = ["month", "driver_id", "policy_id"]
    sums = ["trips", "incomplete_trips", "distance_mm", "accel_mm", "local_unknown_mm", "moving_ms"]
    sums += ["first_start_ms", "last_end_ms"]
    theirs = periods.with_columns(pl.col("month").cast(pl.String)).select(*keys, *sums).to_dicts()
    assert [{name: row[name] for name in (*keys, *sums)} for row in ours] == theirs
    assert len(ours) == periods.height > 9
    assert {row["driver_id"] for row in ours} == {"ann", "bob", "cid", "dora"}


def test_events_counted_again_in_sql_are_those_of_the_driver_periods(given):
    names = ("harsh_brakings", "harsh_accelerations", "harsh_turns", "speedings", "impacts")
    listed = ", ".join(("month", "driver_id", "policy_id", "trips", *names))
    order = "ORDER BY month, driver_id, policy_id"
    rebuilt = rows(given, f"SELECT {listed} FROM rebuilt_periods {order}")
    told = rows(given, f"SELECT {listed} FROM driver_months {order}")
    assert rebuilt == told
    assert all(sum(row[name] for row in told) > 0 for name in names[:4])


def test_without_policies_each_device_is_its_own_driver_in_sql_too(tmp_path):
    lake = lake_of(tmp_path / "lake", TRIPS[:9], with_motion=False)
    build(lake, tmp_path / "out")
    only = Given(lake.root, tmp_path / "out")
    query = "SELECT policy_id, driver_id, month, trips, distance_mm FROM {} ORDER BY month, driver_id"
    assert rows(only, query.format("rebuilt_periods")) == rows(only, query.format("driver_periods"))


@pytest.mark.parametrize("histogram", sorted(BINS))
def test_histograms_add_up_alike(given, histogram):
    periods = read_built(given.features).driver_periods
    ones = pl.repeat(1, periods.height, dtype=pl.Int64, eager=True)
    ours = sum_lists(ones * 0, periods[histogram], ones, BINS[histogram]).select("key", "value").rows()
    query = (
        f"SELECT h.key, sum(h.value * weight)::BIGINT AS value FROM (SELECT unnest({histogram}) AS h, "
        "coalesce(represents, 1) AS weight FROM sealed_assigned WHERE driver_id IS NOT NULL"
        f"{' AND NOT clock_suspect' if histogram == 'distance_by_hour_mm' else ''}) GROUP BY 1 ORDER BY 1"
    )
    assert [(row["key"], row["value"]) for row in rows(given, query)] == ours


@pytest.mark.parametrize(
    ("measure", "histogram", "counted"),
    [
        ("night_mm", "distance_by_hour_mm", "h.key % 24 >= 22 OR h.key % 24 < 5"),
        ("severe_brakings", "event_counts", "h.key // 8 = 1 AND h.key % 8 >= 2"),
        ("accel_27_ms", "va_ms", "h.key >= 61 AND h.key % 61 = 27"),
    ],
)
def test_driver_measures_are_bins_of_the_driver_periods_added_up(given, measure, histogram, counted):
    key = "month, driver_id, policy_id"
    ours = rows(
        given,
        f"SELECT {key}, coalesce(sum(h.value) FILTER ({counted}), 0)::BIGINT AS {measure} "
        f"FROM (SELECT {key}, unnest({histogram}) AS h FROM driver_periods) GROUP BY ALL ORDER BY ALL",
    )
    assert sum(row[measure] for row in ours) > 0
    assert ours == rows(given, f"SELECT {key}, {measure} FROM driver_measures ORDER BY ALL")


def test_windows_are_those_of_the_features(given):
    ours = rows(given, "SELECT * FROM driver_windows ORDER BY rating_date, driver_id")
    asked = pl.DataFrame(
        [(row["driver_id"], date.fromisoformat(row["rating_date"])) for row in ours],
        schema={"driver_id": pl.String, "rating_date": pl.Date},
        orient="row",
    )
    theirs = rating_features(read_built(given.features).driver_periods, asked).to_dicts()
    assert len(ours) == 4 + 4
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["trips"] == other["trips"]
        assert mine["exposure_km"] == pytest.approx(other["exposure_km"], rel=1e-12)
        assert mine["exposure_days"] == pytest.approx(other["exposure_days"], rel=1e-12)
        assert mine["harsh_brakings"] == other["harsh_braking_per_100km__n"]


@pytest.mark.parametrize("rating_date", RATING_DATES)
def test_days_and_claims_of_rating_rows_are_those_of_pricing(given, rating_date):
    policies, claims = portfolio.read_policies(given.policies), portfolio.read_claims(given.claims)
    pieces = with_claims(earned(policies, rating_date, 12), claims)
    theirs = total(pieces, ["driver_id"], {}).select("driver_id", "days", "claims").rows()
    query = f"SELECT * FROM rating_rows WHERE rating_date = DATE '{rating_date}' ORDER BY driver_id"
    found = rows(given, query)
    assert [(row["driver_id"], row["days_after"], row["claims_after"]) for row in found] == theirs
    assert sum(claims for *_, claims in theirs) > 0
    exposed = rows(
        given, f"SELECT policy_id, from_day, until_day, days FROM exposure WHERE rating_date = '{rating_date}'"
    )
    pricing = [(row["policy_id"], str(row["start"]), str(row["end"]), row["days"]) for row in pieces.to_dicts()]
    assert sorted(tuple(row.values()) for row in exposed) == sorted(pricing)


def test_the_policy_of_a_rating_row_is_one_that_runs_on_that_day(given):
    told = rows(given, "SELECT driver_id, policy_id FROM rating_rows WHERE rating_date = DATE '2025-04-01'")
    assert {row["driver_id"]: row["policy_id"] for row in told} == {"ann": "P0", "cid": "P3"}  # cid's P6 has ended


def test_the_amount_of_a_rating_row_is_that_of_its_claims(given):
    (ann,) = rows(given, "SELECT * FROM rating_rows WHERE driver_id = 'ann' AND rating_date = DATE '2025-03-01'")
    assert (ann["claims_after"], ann["claim_amount_after"]) == (2, 200.5 + 300)


def test_claims_carry_the_driver_of_the_day(given):
    told = rows(given, "SELECT policy_id, occurred_on, driver_id FROM claims ORDER BY ALL")
    drivers = {(row["policy_id"], row["occurred_on"]): row["driver_id"] for row in told}
    assert len(told) == 8
    assert drivers["P2", "2026-03-24"] == "ann"
    assert drivers["P2", "2026-03-25"] is None  # the first day that is not covered
    assert drivers["P3", "2025-12-31"] == "cid"


def test_evidence_is_all_that_is_behind_a_feature_row(given):
    (month,) = rows(given, "SELECT * FROM driver_months WHERE driver_id = 'bob' AND month = DATE '2025-03-01'")
    behind = rows(given, "SELECT * FROM evidence WHERE driver_id = 'bob' AND month = DATE '2025-03-01'")
    trips = {row["trip_id"]: row for row in behind}
    assert sum(row["represents"] for row in trips.values()) == month["trips"] == 21
    assert sum(row["distance_km"] * row["represents"] for row in trips.values()) == pytest.approx(month["distance_km"])
    brakings = sum(row["represents"] for row in behind if row["kind"] == "harsh_braking")
    assert brakings == month["harsh_brakings"] > 0
    (all_of_them,) = rows(given, "SELECT count(kind) AS n FROM evidence")
    assert (
        all_of_them["n"]
        == read_built(given.features)
        .events.join(
            read_built(given.features).trips.filter(pl.col("driver_id").is_not_null()), on="trip_id", how="semi"
        )
        .height
    )


def test_a_claims_file_that_names_drivers_does_not_decide_who_was_covered(given, tmp_path):
    told = pl.read_csv(given.claims).with_columns(driver_id=pl.lit("somebody"))
    told.write_csv(tmp_path / "claims.csv")
    query = "SELECT * FROM claims ORDER BY occurred_on, policy_id"
    assert rows(given._replace(claims=tmp_path / "claims.csv"), query) == rows(given, query)


def test_event_kinds_are_those_of_the_rules(given):
    told = rows(given, "SELECT name, kind FROM event_kinds")
    assert {row["name"]: row["kind"] for row in told} == KIND_NUMBERS


def test_the_written_views_work_in_any_duckdb_and_twice(given, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(given.lake.parent)
    file = tmp_path / "views.sql"
    options = ["--lake", "lake", "--features", "features", "--policies", "policies.csv", "--claims", "claims.csv"]
    assert run(*options, "--rating-date", "2025-04-01", "--write", file) == 0
    assert capsys.readouterr().out == ""
    monkeypatch.chdir(tmp_path)
    with duckdb.connect(tmp_path / "theirs.duckdb") as connection:
        connection.execute(file.read_text())
        connection.execute(file.read_text())
        names = [
            name for (name,) in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        ]
        assert sorted(names) == sorted(view.name for view in views_of(given))
        for name in names:
            connection.execute(f"SELECT count(*) FROM {name}").fetchall()


def test_views_that_lack_what_they_need_are_left_out(given):
    names = {view.name for view in views_of(Given(features=given.features))}
    assert {"evidence", "driver_months", "driver_windows"} <= names
    assert not {"rating_rows", "exposure", "policies", "sealed_trips", "rebuilt_periods"} & names
    assert "rebuilt_periods" in {view.name for view in views_of(Given(lake=given.lake))}


def test_without_rating_dates_it_is_the_day_after_the_last_month(given):
    told = rows(
        given._replace(rating_dates=()), "SELECT rating_date, window_start, window_end, label_end FROM rating_dates"
    )
    days = {
        "rating_date": "2025-04-01",
        "window_start": "2024-04-01",
        "window_end": "2025-04-01",
        "label_end": "2026-04-01",
    }
    assert told == [days]


def test_tables_that_have_no_file_yet_are_empty_views(given):
    assert rows(given, "SELECT * FROM sealed_track") == []
    with duckdb.connect() as connection:
        connection.execute(script(views_of(given)))
        columns = [row[0] for row in connection.execute("DESCRIBE sealed_impacts").fetchall()]
    assert columns[:3] == ["device_id", "stream_id", "seq"]


def test_a_table_for_people_and_for_machines(given, capsys):
    columns = "driver_id, trips, NULL AS nothing, first_start_utc"
    query = f"SELECT {columns} FROM driver_months WHERE driver_id = 'bob' ORDER BY month"
    assert run("--features", given.features, query) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.split() == ["driver_id", "trips", "nothing", "first_start_utc"]
    assert second.split()[:3] == ["bob", "21", "-"]
    assert run("--features", given.features, "--json", query) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told[0]["trips"], told[0]["nothing"]) == (21, None)


def test_without_a_question_the_views_are_listed(given, capsys):
    assert run("--features", given.features) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(re.fullmatch(r"evidence +What is behind a driver period.*", line) for line in lines)


def test_an_answer_may_go_to_a_file(given, tmp_path, capsys):
    assert run("--features", given.features, f"COPY (FROM driver_months) TO '{tmp_path}/months.parquet'") == 0
    assert capsys.readouterr().out.split() == ["Count", "14"]
    assert pl.read_parquet(tmp_path / "months.parquet").height == 14


@pytest.mark.parametrize(
    ("options", "query", "status", "message"),
    [
        (["--features", "features"], "SELEC 1", 1, 'Parser Error: syntax error at or near "SELEC"'),
        (["--features", "features"], "SELECT x FROM evidence", 1, 'Referenced column "x" not found in FROM clause!'),
        (["--features", "features"], "SELECT * FROM rating_rows", 1, "without a question lists the views"),
        (["--features", "features"], "SELECT kind::INT FROM evidence", 1, "Could not convert string"),
        (["--features", "nowhere"], "SELECT 1", 2, "--features has to name the output folder of 'ubi features build'"),
        (["--lake", "nowhere"], "SELECT 1", 2, "no lake here"),
        ([], "SELECT 1", 2, "nothing to ask; name the lake with --lake"),
        (["--features", "features", "--policies", "claims.csv"], "SELECT 1", 1, "column driver_id: is missing"),
        (["--features", "features", "--claims", "policies.csv"], "SELECT 1", 1, "column occurred_on: is missing"),
        (["--features", "features", "--claims", "none.csv"], "SELECT 1", 1, "none.csv: no such file"),
    ],
)
def test_what_cannot_be_answered_is_one_clear_line(given, monkeypatch, capsys, options, query, status, message):
    monkeypatch.chdir(given.lake.parent)
    assert run(*options, query) == status
    told = capsys.readouterr()
    assert told.out == ""
    (line,) = [line for line in told.err.splitlines() if line.startswith("ubi: error: ")]
    assert message in line
    assert "Traceback" not in told.err


def test_a_wrong_question_leaves_nothing_on_stderr_but_its_line(given):
    command = [sys.executable, "-m", "ubi", "features", "sql", "--features", str(given.features), "SELEC"]
    told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (told.returncode, told.stdout) == (1, "")
    assert len(told.stderr.splitlines()) == 1


def test_every_view_is_in_the_documentation(given):
    page = (DOCS / "tables.md").read_text()
    assert [view.name for view in views_of(given) if f"`{view.name}`" not in page] == []
    assert len(list(resources.files("features").joinpath("views").iterdir())) >= 11
