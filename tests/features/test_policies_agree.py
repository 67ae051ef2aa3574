"""Features, pricing and the SQL views give every row of a policies file the same days."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from device.contract.errors import UbiError
from features import policies as of_features
from features.errors import PoliciesError
from features.sql import Given, ask_json, views_of
from pricing import portfolio as of_pricing
from pricing.errors import PortfolioError

DAY_MS = 86_400_000
SCHEMA = {
    "policy_id": pl.String,
    "driver_id": pl.String,
    "device_id": pl.String,
    "start": pl.Date,
    "end": pl.Date,
    "cancelled_on": pl.Date,
}
DAYS = st.integers(0, 12).map(lambda days: date(2025, 1, 1) + timedelta(days))


@st.composite
def policy_rows(draw):
    """Rows in any order: one after the other, replaced, cancelled, repeated, and sometimes contradicting."""
    rows = []
    for policy in draw(st.lists(st.sampled_from(["p1", "p2", "p3"]), min_size=1, max_size=7)):
        start = draw(DAYS)
        end = draw(st.none() | st.integers(0, 9).map(lambda days, start=start: start + timedelta(days)))
        cancelled = draw(st.none() | DAYS)
        driver = draw(st.sampled_from(["ann", "ann", "ann", "bob"]))
        device = draw(st.sampled_from([f"box-{policy}", f"dongle-{policy}", "shared", "shared"]))
        rows.append((policy, driver, device, start, end, cancelled))
    rows += draw(st.lists(st.sampled_from(rows), max_size=2))
    return pl.DataFrame(draw(st.permutations(rows)), schema=SCHEMA, orient="row")


def first_day_ms(day):
    return (day - date(1970, 1, 1)).days * DAY_MS


def days_of_features(file):
    found = of_features.read_policies(file).with_columns(
        end_ms=pl.when(pl.col("end_ms") < first_day_ms(date(9999, 1, 1))).then("end_ms")
    )
    return sorted(found.select("policy_id", "driver_id", "device_id", "start_ms", "end_ms").rows(), key=str)


def days_of_pricing(file):
    try:
        found = of_pricing.read_policies(file)
    except PortfolioError as error:
        if str(error).endswith(": no policies"):
            return []
        raise
    ms = (pl.col(name).cast(pl.Datetime("ms")).dt.epoch("ms") for name in ("start", "end"))
    return sorted(found.select("policy_id", "driver_id", "device_id", *ms).rows(), key=str)


def days_of_views(file):
    rows = ask_json(views_of(Given(policies=file)), "SELECT * FROM policies")
    names = ("policy_id", "driver_id", "device_id", "start", "end")
    days = (
        (*row[:3], *(None if day is None else first_day_ms(date.fromisoformat(day)) for day in row[3:]))
        for row in (tuple(row[name] for name in names) for row in rows)
    )
    return sorted(days, key=str)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("policies")


@given(rows=policy_rows())
def test_every_reader_gives_a_row_the_same_days_or_refuses_the_file(folder, rows):
    file = folder / "policies.parquet"
    rows.write_parquet(file)
    priced, driven, seen = (answer(days_of, file) for days_of in (days_of_pricing, days_of_features, days_of_views))
    if isinstance(priced, UbiError):
        event("rows that contradict each other")
        assert isinstance(driven, PoliciesError)
        assert driven.row == priced.row
        assert str(seen) == str(driven)
    elif isinstance(driven, UbiError):
        event("a device of two policies")
        assert "still belongs to policy" in str(driven)
        assert str(seen) == str(driven)
        assert any(overlap(*pair) for pair in itertools.combinations(priced, 2))
    else:
        event("the same days")
        assert driven == priced == seen


def answer(days_of, file):
    try:
        return days_of(file)
    except UbiError as error:
        return error


def overlap(one, other):
    forever = first_day_ms(date(9999, 1, 1))
    (device, start, end), (other_device, other_start, other_end) = one[2:], other[2:]
    return device == other_device and start < (other_end or forever) and other_start < (end or forever)


def test_a_file_of_every_judgement_has_the_same_days_as_text(tmp_path):
    file = tmp_path / "policies.csv"
    file.write_text(
        "policy_id,driver_id,device_id,start,end,cancelled_on\n"
        "P1,ann,box,2025-01-01,2026-01-01,2025-09-01\n"
        "P1,ann,box,2025-06-01,2026-01-01,2025-09-01\n"
        "P1,ann,box,2025-01-01,2026-01-01,2025-09-01\n"
        "P2,bob,box,2025-09-01,, \n"
        "P3,cid,box,2025-01-01,2026-01-01,2025-01-01\n"
        "P4,dora,box,2025-03-01,2025-03-01,\n"
    )
    days = [(1, 1), (6, 1), (9, 1)]
    starts = [first_day_ms(date(2025, *day)) for day in days]
    assert days_of_features(file) == [
        ("P1", "ann", "box", starts[0], starts[1]),
        ("P1", "ann", "box", starts[1], starts[2]),
        ("P2", "bob", "box", starts[2], None),
    ]
    assert days_of_features(file) == days_of_pricing(file) == days_of_views(file)


def test_blank_rows_at_the_end_of_a_spreadsheet_are_no_policies_and_no_claims(tmp_path):
    file, claims = tmp_path / "policies.csv", tmp_path / "claims.csv"
    file.write_text("policy_id,driver_id,device_id,start,end\nP,ann,box,2025-01-01,\n,,,,\n,,,,\n")
    claims.write_text("policy_id,occurred_on,amount\nP,2025-02-01,5\n,,\n")
    assert days_of_features(file) == days_of_pricing(file) == days_of_views(file)
    assert of_pricing.read_claims(claims).height == 1
    told = ask_json(views_of(Given(policies=file, claims=claims)), "SELECT policy_id, driver_id, amount FROM claims")
    assert told == [{"policy_id": "P", "driver_id": "ann", "amount": 5.0}]


@pytest.mark.parametrize(
    "rows",
    ["P,ann,box,2025-01-01,\nQ,bob,other,2025-01-01,,told\n", 'P,"a ""b"", c",box,2025-01-01,,"two\nlines"\n'],
    ids=["a first row that leaves its last value out", "quotes and a line break"],
)
def test_a_csv_is_read_in_sql_as_everywhere(tmp_path, rows):
    file = tmp_path / "policies.csv"
    file.write_text("policy_id,driver_id,device_id,start,end,note\n" + rows)
    assert days_of_features(file) == days_of_pricing(file) == days_of_views(file) != []


LOCAL = {  # what stands in the file for the first of May
    "a date": pl.lit(date(2025, 5, 1)),
    "a time without a zone": pl.lit("2025-05-01 12:00").str.to_datetime(),
    "a time in its zone": pl.lit(datetime(2025, 5, 1, tzinfo=ZoneInfo("Asia/Shanghai"))),
    "a time at its offset": pl.lit(datetime(2025, 4, 30, 16, tzinfo=UTC)).dt.convert_time_zone("Etc/GMT-8"),
    "midnight in UTC": pl.lit(datetime(2025, 5, 1, tzinfo=UTC)),
    "text": pl.lit(" 2025-05-01 "),
    "text of a category": pl.lit("2025-05-01").cast(pl.Categorical),
    "text with a time": pl.lit("2025-05-01 00:00:00"),
    "text with an offset": pl.lit("2025-05-01T00:00+08:00"),
    "text in another zone": pl.lit("2025-05-01T23:59:59.999-0500"),
    "text of midnight in UTC": pl.lit("2025-05-01T00:00:00.000Z"),
}


@pytest.mark.parametrize("name", LOCAL)
def test_a_policy_starts_on_the_day_that_its_time_states_at_its_place(tmp_path, name):
    rows = pl.DataFrame({"policy_id": ["P"], "driver_id": ["ann"], "device_id": ["box"]})
    rows = rows.with_columns(start=LOCAL[name], end=pl.lit(date(2026, 1, 1)), occurred_on=LOCAL[name])
    file = tmp_path / "policies.parquet"
    rows.write_parquet(file)
    days = [("P", "ann", "box", first_day_ms(date(2025, 5, 1)), first_day_ms(date(2026, 1, 1)))]
    assert days_of_features(file) == days_of_pricing(file) == days_of_views(file) == days
    assert of_pricing.read_claims(file)["occurred_on"].to_list() == [date(2025, 5, 1)]
    seen = ask_json(views_of(Given(policies=file, claims=file)), "SELECT occurred_on, driver_id FROM claims")
    assert seen == [{"occurred_on": "2025-05-01", "driver_id": "ann"}]


@pytest.mark.parametrize(
    "stated",
    [
        "2024-12-31T16:00:00Z",
        "2024-12-31 16:00:00+00:00",
        datetime(2024, 12, 31, 16, tzinfo=UTC),
        datetime(2024, 12, 31, 16, tzinfo=ZoneInfo("GMT")),
    ],
)
def test_a_time_in_utc_that_tells_no_day_at_the_place_is_refused(tmp_path, stated):
    file = tmp_path / "policies.parquet"
    rows = pl.DataFrame({"policy_id": ["P"], "driver_id": ["ann"], "device_id": ["box"], "start": [stated]})
    rows.with_columns(end=pl.lit(None, pl.Date), occurred_on="start").write_parquet(file)
    told = (
        "row 1, column {}: '2024-12-31.* is a time in UTC, which tells no local day; write the day, or the local time"
    )
    readers = (of_features.read_policies, of_pricing.read_policies, of_pricing.read_claims)
    for read, column in zip(readers, ("start", "start", "occurred_on"), strict=True):
        with pytest.raises(UbiError, match=told.format(column)):
            read(file)
    with pytest.raises(UbiError, match=told.format("occurred_on")):
        views_of(Given(claims=file))


@pytest.mark.parametrize(
    "text",
    [
        "2025-02-30",
        "2025-1-1",
        "20250101",
        "2025-01-01T",
        "2025-01-01 morning",
        "1.1.2025",
        "0000-01-01",
        "2025-01-01 24:00",
        "2025-01-01 12:60",
        "2025-01-01T12:00+99",
    ],
)
def test_what_is_no_day_is_refused_by_every_reader(tmp_path, text):
    file = tmp_path / "policies.csv"
    file.write_text(f"policy_id,driver_id,device_id,start,end\nP,ann,box,{text},\n")
    for read in (of_features.read_policies, of_pricing.read_policies):
        with pytest.raises(UbiError, match=re.escape(f"row 1, column start: '{text}' is not a date")):
            read(file)
