"""`ubi features` on small lakes: the tables, their bytes, privacy, the check of parity, wrong inputs."""

from __future__ import annotations

import errno
import json
from datetime import UTC, date, datetime
from unittest.mock import Mock

import polars as pl
import pytest

import features.build
import features.cli
import ubi
from features.contract import tables
from features.contract.driver_measures import driver_measures
from features.contract.periods import DRIVER_PERIODS
from features.rederive import AGREES, DIFFERS, NOT_COMPARED, rederive
from ingest.contract.lake import Lake
from ingest.contract.publish import publish
from tests.features.lakes import drive, lake_of, sealed, utc_ms, year_of_trips
from tests.features.whole import NAMES, at_once, contents, tables_of

TRIPS = year_of_trips(devices=3, months=2)


def build(lake, out, *more):
    return ubi.main(["features", "build", "--lake", str(lake.root), "--out", str(out), *map(str, more)])


def test_the_three_tables_have_their_schemas_and_order(tmp_path, capsys):
    assert build(lake_of(tmp_path / "lake", TRIPS), tmp_path / "out") == 0
    out = {name: pl.read_parquet(tmp_path / "out" / f"{name}.parquet") for name in NAMES}
    assert out["trips"].schema == tables.TRIPS
    assert out["events"].schema == tables.EVENTS
    assert out["driver_periods"].schema == DRIVER_PERIODS
    assert out["trips"].equals(out["trips"].sort(pl.col("start").dt.month(), "device_id", "start", "trip_id"))
    assert out["driver_periods"].equals(out["driver_periods"].sort("month", "driver_id"))
    assert out["driver_periods"].height == 3 * 2
    assert "18 trips" in capsys.readouterr().out


def test_a_build_is_what_one_pass_over_everything_gives(tmp_path):
    lake = lake_of(tmp_path, TRIPS)
    for built, slow in zip(tables_of(lake), at_once(lake), strict=True):
        assert built.equals(slow)


def test_driver_measures_are_those_of_the_driver_periods_row_by_row(tmp_path, monkeypatch):
    monkeypatch.setattr(features.build, "RANGE_PERIODS", 2)
    assert build(lake_of(tmp_path / "lake", TRIPS), tmp_path / "out") == 0
    out = {name: pl.read_parquet(tmp_path / "out" / f"driver_{name}.parquet") for name in ("periods", "measures")}
    assert out["measures"].equals(driver_measures(out["periods"]))


def test_a_trip_and_its_events_are_told_in_plain_units(tmp_path):
    trip, name, device = TRIPS[0]
    built = tables_of(lake_of(tmp_path, [TRIPS[0]]))
    (row,) = built.trips.to_dicts()
    start = datetime.fromtimestamp(trip.start_ms / 1000, UTC)
    assert (row["trip_id"], row["device_id"], row["driver_id"], row["policy_id"]) == (name, device, device, None)
    assert row["start"] == start
    assert (row["end"] - start).total_seconds() == 240
    assert (row["rate_hz"], row["sensor_grade"], row["represents"]) == (2.0, "obd_speed", 1)
    sealed_events = Lake(tmp_path).scan("events").sort("onset_ms", "kind").collect()
    assert built.events.height == sealed_events.height > 0
    for told, raw in zip(built.events.iter_rows(named=True), sealed_events.iter_rows(named=True), strict=True):
        assert (told["onset"] - start).total_seconds() * 1000 == raw["onset_ms"]
        assert told["duration_ms"] == raw["duration_ms"]
        if told["kind"] == "speeding":
            assert (told["peak_mps2"], told["peak_over_limit_kmh"]) == (None, raw["peak"] / 10)
        else:
            assert (told["peak_mps2"], told["peak_over_limit_kmh"]) == (raw["peak"] / 100, None)


def test_quality_flags_say_what_is_wrong_with_a_trip(tmp_path):
    clean, flawed = drive(1, "a", utc_ms(2025, 1, 1)), drive(2, "b", utc_ms(2025, 1, 1), utc_offset_min=None)
    content = sealed([clean, flawed], with_motion=False)
    mine = pl.col("device_id") == "b"
    content["trips"] = content["trips"].with_columns(
        complete=~mine,
        chain_ok=~mine,
        jump_samples=pl.when(mine).then(3).otherwise(0),
        coarse_samples=pl.when(mine).then(5).otherwise(4),
        unobserved_ms=pl.when(mine).then(9_000).otherwise(0),
        speed_readings=pl.lit(200, pl.Int64),
        speed_missed=pl.when(mine).then(101).otherwise(100).cast(pl.Int64),
        speed_step_dkmh=pl.when(mine).then(16).otherwise(10).cast(pl.Int16),
        speed_frozen=pl.when(mine).then(1).otherwise(0).cast(pl.Int32),
    )
    lake = Lake(tmp_path)
    publish(lake, "messages", [content])
    flags = tables_of(lake).trips["quality_flags"].to_list()
    raised = ["incomplete", "chain", "gaps", "jumps", "coarse", "sparse", "frozen", "coarse_speed", "no_local_time"]
    assert flags == [[], raised]
    assert raised == [name for name in tables.QUALITY_FLAGS if name in raised]


def test_what_an_older_device_did_not_tell_of_its_speed_raises_no_flag(tmp_path):
    content = sealed([drive(1, "a", utc_ms(2025, 1, 1))], with_motion=False)
    assert "speed_missed" not in content["trips"].columns
    lake = Lake(tmp_path)
    publish(lake, "messages", [content])
    assert tables_of(lake).trips["quality_flags"].to_list() == [[]]


def test_the_same_trips_give_the_same_bytes_however_the_lake_was_cut(tmp_path):
    whole = lake_of(tmp_path / "whole", TRIPS)
    cut = Lake(tmp_path / "cut")
    publish(cut, "messages", [sealed(TRIPS[i : i + 5]) for i in range(0, len(TRIPS), 5)][::-1])
    other = Lake(tmp_path / "other")
    publish(other, "messages", [sealed(TRIPS[:7])])
    publish(other, "simulated", [sealed(TRIPS[7:])])
    for name, lake in (("a", whole), ("b", cut), ("c", other), ("a", whole)):
        assert build(lake, tmp_path / name) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b") == contents(tmp_path / "c")


def test_motion_on_or_off_gives_the_same_driver_periods(tmp_path):
    """The privacy law: a setting of the car never changes the price."""
    full = tables_of(lake_of(tmp_path / "full", TRIPS))
    off = tables_of(lake_of(tmp_path / "off", TRIPS, with_motion=False))
    assert off.driver_periods.equals(full.driver_periods)
    assert off.events.equals(full.events)
    assert off.trips.drop("has_motion").equals(full.trips.drop("has_motion"))


def test_a_change_of_policy_in_mid_month_splits_the_month(tmp_path, caplog):
    policies = tmp_path / "policies.csv"
    pl.DataFrame(
        {
            "policy_id": ["P1", "P2"],
            "driver_id": ["ann", "bob"],
            "device_id": ["car-0", "car-0"],
            "start": [date(2025, 1, 1), date(2025, 1, 10)],
            "end": [date(2025, 1, 10), None],
            "tariff_premium": [500.0, 700.0],
        }
    ).write_csv(policies)
    out = tmp_path / "out"
    assert build(lake_of(tmp_path / "lake", TRIPS), out, "--policies", policies) == 0
    periods = pl.read_parquet(out / "driver_periods.parquet")
    assert periods.select("policy_id", "driver_id", "month", "trips").rows() == [
        ("P1", "ann", date(2025, 1, 1), 1),
        ("P2", "bob", date(2025, 1, 1), 2),
        ("P2", "bob", date(2025, 2, 1), 3),
    ]
    assert "12 of 18 trips start on days that no policy of their device covers" in caplog.text
    trips = pl.read_parquet(out / "trips.parquet")
    assert trips.height == 18
    assert trips["driver_id"].null_count() == 12
    unsplit = tables_of(Lake(tmp_path / "lake")).driver_periods.filter(driver_id="car-0")
    assert periods["distance_mm"].sum() == unsplit["distance_mm"].sum()


@pytest.mark.parametrize(
    ("rows", "told"),
    [("", "policies.csv: has no rows"), ("P1,ann,CAR-0,2025-01-01,\n", "A device of the lake is called 'car-")],
)
def test_policies_that_cover_nothing_leave_the_tables_of_before(tmp_path, capsys, rows, told):
    """An export that failed is no book without drivers."""
    lake, out, policies = lake_of(tmp_path / "lake", TRIPS), tmp_path / "out", tmp_path / "policies.csv"
    assert build(lake, out) == 0
    before = contents(out)
    policies.write_text("policy_id,driver_id,device_id,start,end\n" + rows)
    assert build(lake, out, "--policies", policies) == 1
    assert told in capsys.readouterr().err
    assert contents(out) == before


def test_who_may_only_read_a_lake_builds_of_what_is_sealed_and_is_told(tmp_path, caplog):
    lake, out = lake_of(tmp_path / "lake", TRIPS), tmp_path / "out"
    command = ["build", "--lake", str(lake.root), "--out", str(out)]
    refused = Mock(side_effect=PermissionError(errno.EACCES, "Permission denied", "sealed/.lock"))
    assert features.cli.main(command, refused) == 0
    assert "sealed/.lock: Permission denied: nothing was sealed first" in caplog.text
    assert pl.read_parquet(out / "trips.parquet").height == len(TRIPS)
    with pytest.raises(OSError, match="too long"):
        features.cli.main(command, Mock(side_effect=OSError(errno.ENAMETOOLONG, "File name too long")))


def test_a_full_disk_is_one_line_and_leaves_the_tables_of_before(tmp_path, capsys, monkeypatch):
    lake, out = lake_of(tmp_path / "lake", TRIPS), tmp_path / "out"
    assert build(lake, out) == 0
    before = contents(out)
    monkeypatch.setattr(features.build.Parts, "put", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    assert build(lake, out, "--afresh") == 1
    assert f"{out}: no space left on its disk" in capsys.readouterr().err
    assert contents(out) == before


def test_build_for_machines(tmp_path, capsys):
    assert build(lake_of(tmp_path / "lake", TRIPS), tmp_path / "out", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["trips"], told["driver_periods"], told["drivers"]) == (18, 6, 3)


def test_derive_agrees_with_the_device(tmp_path, capsys):
    lake = lake_of(tmp_path, TRIPS)
    assert ubi.main(["features", "derive", "--lake", str(tmp_path)]) == 0
    assert capsys.readouterr().out.endswith("device and batch: 18 trips agree, 0 differ\n")
    assert set(rederive(lake)["verdict"]) == {AGREES}


def test_derive_names_what_differs(tmp_path, capsys):
    content = sealed(TRIPS[:4])
    keys = content["trips"]["trip_key"].to_list()
    names = dict(content["trips"].select("trip_key", "trip_id").iter_rows())
    moved = pl.col("trip_key") == keys[0]
    content["trips"] = content["trips"].with_columns(
        distance_mm=pl.col("distance_mm") + moved.cast(pl.Int64),
        complete=pl.col("trip_key") != keys[2],
    )
    content["events"] = content["events"].with_columns(
        peak=pl.col("peak") + (pl.col("trip_key") == keys[1]).cast(pl.Int32)
    )
    assert keys[1] in content["events"]["trip_key"]
    lake = Lake(tmp_path)
    publish(lake, "messages", [content])
    verdicts = {row["trip_id"]: (row["verdict"], row["differs"]) for row in rederive(lake).to_dicts()}
    assert verdicts[names[keys[0]]] == (DIFFERS, ["distance_mm"])
    assert verdicts[names[keys[1]]] == (DIFFERS, ["events"])
    assert verdicts[names[keys[2]]][0] == NOT_COMPARED
    assert verdicts[names[keys[3]]] == (AGREES, [])
    assert ubi.main(["features", "derive", "--lake", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert "1 trips agree, 2 differ, 1 not compared (messages are missing)" in told
    assert f"{names[keys[0]]}: distance_mm" in told


def test_wrong_inputs_are_one_clear_line(tmp_path, capsys):
    empty = tmp_path / "empty"
    (empty / "messages").mkdir(parents=True)
    lake = lake_of(tmp_path / "lake", TRIPS[:1])
    wrong = tmp_path / "policies.csv"
    wrong.write_text("policy_id,driver_id,start,end\n")
    cases = [
        (build(Lake(tmp_path / "nowhere"), tmp_path / "out"), 2, "no lake here"),
        (build(Lake(empty), tmp_path / "out"), 1, "no sealed trip; a trip is sealed when all its messages have come"),
        (build(lake, tmp_path / "out", "--policies", wrong), 1, "policies.csv, column device_id: is missing"),
        (build(lake, wrong), 2, "policies.csv: is a file; name a folder"),
    ]
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("ubi: error: ")]
    assert len(errors) == len(cases)
    for (status, expected, message), line in zip(cases, errors, strict=True):
        assert status == expected
        assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["build", "derive"])
def test_a_damaged_sealed_file_is_named(tmp_path, capsys, command):
    lake = lake_of(tmp_path / "lake", TRIPS)
    (file, *_) = lake.sealed_files("trips")
    file.write_bytes(file.read_bytes()[:100])
    out = ["--out", str(tmp_path / "out")] if command == "build" else []
    assert ubi.main(["features", command, "--lake", str(lake.root), *out]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ubi: error: ")]
    assert f"{file}: cannot be read" in line


def test_derive_of_an_unsealed_lake_says_to_seal(tmp_path, capsys):
    (tmp_path / "messages").mkdir()
    assert ubi.main(["features", "derive", "--lake", str(tmp_path)]) == 1
    assert "ubi ingest seal" in capsys.readouterr().err


def test_list_tells_the_catalogue(capsys):
    assert ubi.main(["features", "list"]) == 0
    assert "harsh_braking_per_100km" in capsys.readouterr().out
    assert ubi.main(["features", "list", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["features"][0]["name"] == "km_per_day"
    assert ubi.main(["features", "list", "--markdown"]) == 0
    assert capsys.readouterr().out.startswith("# Features\n")


def test_a_folder_with_brackets_in_its_name_is_a_folder(tmp_path, capsys):
    assert build(lake_of(tmp_path / "lake[1]", TRIPS[:3], with_motion=False), tmp_path / "out[1]") == 0
    assert "3 trips" in capsys.readouterr().out
