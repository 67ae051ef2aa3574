"""Features, pricing and the SQL views give every row of a policies file the same days."""

from __future__ import annotations

import itertools
from datetime import date, timedelta

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
