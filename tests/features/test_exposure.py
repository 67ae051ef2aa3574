"""The exposure table for people: flags ask to look, and a car without counters is not called complete."""

from __future__ import annotations

import json
import re
from datetime import date

import polars as pl
import pytest

from device.contract.errors import UbiError
from features.cli import main
from features.contract.catalogue import load_catalogue
from features.exposure import FLAGS, HEADINGS, exposure_of, next_month, read_periods
from features.periods import merge
from tests.features.test_reconcile import periods, trip

RATING = date(2025, 4, 1)
HONEST = [trip(day, (100 * day, 100 * day + 100)) for day in range(1, 80, 2)]


def row_of(rows, driver="ann"):
    table = exposure_of(periods(rows, driver), RATING)
    return table.row(0, named=True)


def test_a_box_that_saw_everything_carries_no_flag():
    rows = [trip(day, (40 * day, 40 * day + 40)) for day in range(1, 80)]
    row = row_of(rows)
    assert (row["trips"], row["recorded_km"], row["recorded_km_share"], row["flags"]) == (79, 3_160.0, 1.0, [])


def test_half_of_it_unplugged_is_told():
    row = row_of(HONEST)
    assert row["unplugged_km_share"] == pytest.approx(0.5, abs=0.01)
    assert row["recorded_km_share_least"] < row["recorded_km_share"] < row["recorded_km_share_most"]
    assert row["flags"] == ["unplugged"]


def test_without_counters_the_share_is_not_known():
    row = row_of([trip(1, km=40)])
    assert (row["recorded_km_share"], row["unplugged_km_share"], row["flags"]) == (None, None, [])


@pytest.mark.parametrize(
    ("flag", "change"),
    [
        ("gaps", {"unobserved_ms": 3_000_000, "observed_ms": 600_000}),
        ("no_summary", {"distance_mm": None}),
        ("odometer_fell", {"odometer_end_m": 1}),
        ("codes_cleared", {"distance_since_clear_start_m": 9_000, "distance_since_clear_end_m": 1_000}),
        ("other_car", {"vin_hash": "02"}),
        ("other_box", {"device_id": "new"}),
        ("new_stream", {"stream_id": "bb"}),
        ("clock", {"clock_suspect": True}),
        ("chain", {"chain_ok": False}),
        ("signature", {"signature": "bad"}),
        ("conflict", {"conflicts": 1}),
    ],
)
def test_every_sign_has_its_flag(flag, change):
    rows = [trip(1, (100, 140)), trip(2, (140, 180)) | change]
    assert flag in row_of(rows)["flags"]


def test_flags_are_of_features_that_no_model_reads():
    in_model = {feature.name for feature in load_catalogue().features if feature.model}
    known = {feature.name for feature in load_catalogue().features}
    assert {name for name, _ in FLAGS.values()} <= known - in_model


def test_those_with_flags_come_first_and_the_window_ends_after_the_last_month():
    parts = merge([periods([trip(1, (0, 40))], "ann"), periods(HONEST, "bob"), periods([trip(1, km=4)], "cid")])
    assert next_month(parts) == RATING
    assert exposure_of(parts, RATING)["driver_id"].to_list() == ["bob", "ann", "cid"]
    assert exposure_of(parts, date(2024, 6, 1)).is_empty()


def test_the_command_tells_it_to_people_and_to_machines(tmp_path, capsys, caplog):
    periods(HONEST).write_parquet(tmp_path / "driver_periods.parquet")
    assert main(["exposure", "--features", str(tmp_path)]) == 0
    heading, line = capsys.readouterr().out.splitlines()
    assert re.split(" {2,}", heading) == list(HEADINGS)
    assert line.startswith("ann     40     4,000")
    assert line.endswith("unplugged")
    assert main(["exposure", "--features", str(tmp_path), "--rating-date", "2025-04-01", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["flags"] == ["unplugged"]
    assert main(["exposure", "--features", str(tmp_path), "--rating-date", "2020-01-01"]) == 0
    assert "no driver has a trip in the 12 whole months before 2020-01-01" in caplog.text


@pytest.mark.parametrize(
    ("frame", "message"),
    [(None, "no such file"), (pl.DataFrame({"a": [1]}), "has no column"), (periods([]), "holds no driver period")],
)
def test_a_folder_that_holds_no_driver_periods_is_named(tmp_path, frame, message):
    if frame is not None:
        frame.write_parquet(tmp_path / "driver_periods.parquet")
    with pytest.raises(UbiError, match=message) as caught:
        read_periods(tmp_path)
    assert "driver_periods.parquet" in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--rating-date", "01/04/2025", "'01/04/2025' is not a date (YYYY-MM-DD)"),
        ("--months", "-3", "'-3' is not a number of months"),
        ("--months", "0", "'0' is not a number of months"),
        ("--months", "99999", "'99999' is not a number of months"),
    ],
)
def test_a_window_that_cannot_be_is_refused(capsys, option, value, message):
    with pytest.raises(SystemExit, match="2"):
        main(["exposure", "--features", "features", f"{option}={value}"])
    assert message in capsys.readouterr().err
