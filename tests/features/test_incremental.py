"""A build that takes over parts of an earlier one gives the bytes of one afresh, and keeps nothing of the erased."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import polars as pl
import pytest

import features.build
import features.units
import ubi
from device.contract.errors import TryAgainError, UbiError
from features.build import build
from features.exposure import read_periods
from features.policies import read_policies
from features.sql import Given, views_of
from features.store import Parts
from ingest.contract.erasure import was_erased
from ingest.contract.lake import bucket_of
from ingest.contract.publish import SealWriter
from ingest.forget import Places, forget
from ingest.search import search
from ingest.theirs import People
from pricing.built import Measures, periods_file
from tests.features.lakes import drive, lake_of, sealed, utc_ms, year_of_trips
from tests.features.whole import FILES, at_once, contents, read_built

CARS = 4
MONTHS = 3
TRIPS = year_of_trips(CARS, MONTHS)


@pytest.fixture(params=["months", "buckets"])
def cut(request, monkeypatch):
    """Units of a small lake, and of a large one: months cut into buckets, driver periods merged in ranges."""
    if request.param == "buckets":
        monkeypatch.setattr(features.units, "UNIT_TRIPS", 0)
        monkeypatch.setattr(features.units, "SLICE_TRIPS", 2)
        monkeypatch.setattr(features.build, "RANGE_PERIODS", 2)
    return request.param


@pytest.fixture
def lake(tmp_path):
    return lake_of(tmp_path / "lake", TRIPS, with_motion=False)


def publish_more(lake, trips, source="late"):
    with SealWriter(lake, source) as writer:
        writer.add(sealed(trips, with_motion=False))


def policies_of(folder, swap=None):
    """Two drivers share car-0 and car-1; who drives car-2 changes with `swap`."""
    rows = [(f"P{car}", f"driver-{car // 2}", f"car-{car}", date(2025, 1, 1), None) for car in range(CARS - 1)]
    if swap:
        rows[2] = ("P2", "driver-1", "car-2", date(2025, 1, 1), swap)
        rows.append(("P9", "newcomer", "car-2", swap, None))
    path = folder / "policies.csv"
    pl.DataFrame(rows, schema=["policy_id", "driver_id", "device_id", "start", "end"], orient="row").write_csv(path)
    return read_policies(path)


def afresh(lake, tmp_path, policies=None):
    build(lake, tmp_path / "afresh", policies, afresh=True)
    return contents(tmp_path / "afresh")


def everything(out):
    return {path: path.read_bytes() for path in out.rglob("*.parquet")}


def test_built_in_units_of_any_size_the_rows_are_those_of_one_pass(lake, tmp_path, cut):
    policies = policies_of(tmp_path, swap=date(2025, 2, 10))
    report = build(lake, tmp_path / "out", policies)
    assert (report.units_made > MONTHS) == (cut == "buckets")
    built, slow = read_built(tmp_path / "out"), at_once(lake, policies)
    assert built.driver_periods.equals(slow.driver_periods)
    for one, other, keys in zip(built[:2], slow[:2], (["trip_id"], ["trip_id", "onset", "kind"]), strict=True):
        assert one.sort(keys).equals(other.sort(keys))
        assert cut == "buckets" or one.equals(other)


def test_nothing_new_makes_nothing_and_gives_the_same_bytes(lake, tmp_path, cut):
    first = build(lake, tmp_path / "out")
    before = everything(tmp_path / "out")
    again = build(lake, tmp_path / "out")
    assert (first.units_made, again.units_made) == (first.units, 0)
    assert again == first._replace(units_made=0)
    assert everything(tmp_path / "out") == before


def test_one_more_month_makes_that_month_only(tmp_path, cut):
    lake = lake_of(tmp_path / "lake", [trip for trip in TRIPS if trip[0].start_ms < utc_ms(2025, 3, 1)])
    build(lake, tmp_path / "out")
    publish_more(lake, [trip for trip in TRIPS if trip[0].start_ms >= utc_ms(2025, 3, 1)])
    report = build(lake, tmp_path / "out")
    assert report.units_made == len({bucket_of(f"car-{car}") for car in range(CARS)} if cut == "buckets" else [3])
    assert contents(tmp_path / "out") == afresh(lake, tmp_path)


def test_late_trips_make_their_month_again(lake, tmp_path, cut):
    build(lake, tmp_path / "out")
    publish_more(lake, [drive(77_777, "car-3", utc_ms(2025, 2, 20))])
    report = build(lake, tmp_path / "out")
    assert report.units_made == 1
    assert contents(tmp_path / "out") == afresh(lake, tmp_path)


def test_policies_that_change_for_a_device_make_its_months_again(lake, tmp_path, cut):
    build(lake, tmp_path / "out", policies_of(tmp_path))
    changed = policies_of(tmp_path, swap=date(2025, 2, 10))
    report = build(lake, tmp_path / "out", changed)
    assert 0 < report.units_made <= report.units
    assert cut == "months" or report.units_made == MONTHS  # of the bucket of car-2
    assert contents(tmp_path / "out") == afresh(lake, tmp_path, changed)
    assert "newcomer" in read_built(tmp_path / "out").driver_periods["driver_id"]


def test_a_policy_that_begins_later_leaves_the_months_before_alone(lake, tmp_path):
    build(lake, tmp_path / "out", policies_of(tmp_path))
    path = tmp_path / "policies.csv"
    path.write_text(path.read_text() + "P7,late,car-3,2025-03-02,\n")
    report = build(lake, tmp_path / "out", read_policies(path))
    assert report.units_made == 1
    assert contents(tmp_path / "out") == afresh(lake, tmp_path, read_policies(path))


def test_other_code_takes_over_nothing(lake, tmp_path, monkeypatch):
    build(lake, tmp_path / "out")
    monkeypatch.setattr(features.units, "code_id", lambda: "another release")
    report = build(lake, tmp_path / "out")
    assert report.units_made == report.units
    assert (
        len(list((tmp_path / "out" / "parts").rglob("*.parquet"))) == 4 * report.units
    )  # nothing of the other is left


def test_a_changed_catalogue_is_other_code(tmp_path, monkeypatch):
    before = features.units.code_id()
    copy = tmp_path / "features"
    subprocess.run(["cp", "-r", features.__path__[0], copy], check=True)
    monkeypatch.setattr(features, "__path__", [str(copy)])
    features.units.code_id.cache_clear()
    assert features.units.code_id() == before
    with (copy / "contract" / "catalogue.toml").open("a") as file:
        file.write("# changed\n")
    features.units.code_id.cache_clear()
    assert features.units.code_id() != before
    monkeypatch.undo()
    features.units.code_id.cache_clear()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "gone", "swapped"])
def test_a_damaged_part_is_made_again_and_not_trusted(lake, tmp_path, damage):
    build(lake, tmp_path / "out")
    before = contents(tmp_path / "out")
    for table in ("trips", "events", "periods", "months", "measures"):
        for path, other in zip(
            *[iter(sorted((tmp_path / "out" / "parts" / table).glob("*.parquet")))] * 2, strict=False
        ):
            content = path.read_bytes()
            match damage:
                case "truncated":
                    path.write_bytes(content[: len(content) // 2])
                case "flipped":
                    path.write_bytes(content[:50] + bytes([content[50] ^ 1]) + content[51:])
                case "empty":
                    path.write_bytes(b"")
                case "gone":
                    path.unlink()
                case "swapped":
                    path.write_bytes(other.read_bytes())
    report = build(lake, tmp_path / "out")
    assert 0 < report.units_made <= report.units
    assert contents(tmp_path / "out") == before


def test_erased_drivers_live_on_in_no_part(lake, tmp_path, cut):
    policies, out = policies_of(tmp_path), tmp_path / "out"
    build(lake, out, policies)
    people = People(frozenset({"car-0"}))
    told = forget(Places(lake, [out]), "car-0", 0)  # driver-0 also drives car-1
    assert told.erased["features/trips"] == 3 * MONTHS  # counted in the tables, not in the parts as well
    assert search([out], people)[1] == []
    assert not any(b"car-0" in path.read_bytes() for path in out.rglob("*") if path.is_file())
    build(lake, out, policies)
    assert {name: (out / f"{name}.parquet").read_bytes() for name in FILES} == afresh(lake, tmp_path, policies)
    assert was_erased(out, "driver-0")
    assert not any(b"car-0" in path.read_bytes() for path in out.rglob("*") if path.is_file())


def test_an_erasure_waits_for_a_build_that_began_before_it(lake, tmp_path):
    out = tmp_path / "out"
    build(lake, out)
    with Parts(out).alone(), pytest.raises(TryAgainError, match="'ubi features build' is writing here"):
        forget(Places(lake, [out]), "car-0", 0)
    forget(Places(lake, [out]), "car-0", 0)
    assert search([out], People(frozenset({"car-0"})))[1] == []


def test_an_erasure_leaves_the_lock_and_nothing_that_a_killed_build_was_writing(lake, tmp_path):
    out = tmp_path / "out"
    build(lake, out)
    half = out / ".trips.parquet.tmp"
    half.write_bytes((out / "trips.parquet").read_bytes())
    for name in FILES:
        (out / f"{name}.parquet").unlink()  # the first build was killed: there are no tables yet
    forget(Places(lake, [out]), "car-0", 0)
    assert not half.exists()
    assert (out / "parts" / ".lock").exists()  # a new one would let a build in while the erasure holds the old


def test_an_erasure_that_did_not_know_of_the_tables_is_caught_up_with(lake, tmp_path, cut):
    out = tmp_path / "out"
    build(lake, out)
    forget(Places(lake), "car-0", 0)
    build(lake, out)
    assert contents(out) == afresh(lake, tmp_path)
    assert search([out], People(frozenset({"car-0"})))[1] == []


def test_of_a_lake_whose_every_trip_was_erased_no_part_stays(lake, tmp_path):
    out = tmp_path / "out"
    build(lake, out)
    for device in pl.read_parquet(out / "trips.parquet")["device_id"].unique():
        forget(Places(lake), device, 0)
    with pytest.raises(UbiError, match=r"no sealed trip.*delete them if their trips were erased"):
        build(lake, out)
    assert [path.name for path in (out / "parts").rglob("*") if path.is_file()] == [".lock"]


def test_parts_of_a_driver_erased_in_their_place_are_not_trusted(lake, tmp_path):
    """As an erasure by an older release would do it: it does not know that there are parts."""
    policies, out = policies_of(tmp_path), tmp_path / "out"
    build(lake, out, policies)
    before = contents(out)
    for path in (out / "parts" / "periods").glob("*.parquet"):
        pl.read_parquet(path).filter(pl.col("driver_id") != "driver-0").write_parquet(path)
    build(lake, out, policies)
    assert contents(out) == before


def test_only_parts_of_this_build_stay(lake, tmp_path):
    out = tmp_path / "out"
    build(lake, out)
    stray = [out / "parts" / "trips" / ".2025-01-aa.parquet.tmp", out / "parts" / "old" / "x.parquet"]
    for path in stray:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"car-0")
    build(lake, out)
    assert not any(path.exists() for path in stray)
    build(lake, out, policies_of(tmp_path))
    kept = set((out / "parts").rglob("*.parquet"))
    build(lake, out, policies_of(tmp_path))
    assert kept == set((out / "parts").rglob("*.parquet"))


@pytest.mark.parametrize("at", [1, 3, 9, 10, 11, 13])
def test_a_build_killed_anywhere_is_done_by_the_next_with_the_same_bytes(lake, tmp_path, at):
    whole = afresh(lake, tmp_path)
    out = tmp_path / "out"
    arguments = killed(lake, out, at)
    assert ubi.main(["features", "build", *arguments]) == 0
    assert contents(out) == whole


def killed(lake, out, at):
    arguments = ["--lake", str(lake.root), "--out", str(out)]
    command = [sys.executable, "-m", "tests.features.killed_build", str(at), *arguments]
    assert subprocess.run(command, capture_output=True, timeout=60).returncode == -9
    return arguments


PARTS_OF_A_MONTH = 4
READERS = (read_periods, periods_file, Measures.of, lambda out: views_of(Given(features=out)))


def test_a_build_killed_before_its_tables_are_put_in_place_leaves_those_of_the_last(lake, tmp_path):
    out = tmp_path / "out"
    build(lake, out)
    before = contents(out)
    publish_more(lake, [drive(77_777, "car-3", utc_ms(2025, 2, 20))])
    killed(lake, out, PARTS_OF_A_MONTH)
    assert contents(out) == before
    for read in READERS:
        read(out)


@pytest.mark.parametrize("tables", [0, 1, 4])
def test_no_reader_takes_tables_of_two_builds(lake, tmp_path, capsys, tables):
    out = tmp_path / "out"
    build(lake, out)
    publish_more(lake, [drive(77_777, "car-3", utc_ms(2025, 2, 20))])
    arguments = killed(lake, out, PARTS_OF_A_MONTH + 1 + tables)
    for read in READERS:
        with pytest.raises(TryAgainError, match=r"may be of two builds.*run 'ubi features build' again"):
            read(out)
    assert ubi.main(["features", "exposure", "--features", str(out)]) == 75
    assert ubi.main(["features", "build", *arguments]) == 0
    capsys.readouterr()
    assert contents(out) == afresh(lake, tmp_path)
    for read in READERS:
        read(out)


def test_two_builds_at_once_in_one_folder_are_refused(lake, tmp_path):
    with Parts(tmp_path / "out").alone(), pytest.raises(TryAgainError, match="another 'ubi features build' is writing"):
        build(lake, tmp_path / "out")
