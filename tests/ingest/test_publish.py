from __future__ import annotations

import os

import polars as pl
import pytest

from device.contract.errors import ContractError, TryAgainError, UbiError, UsageError
from ingest.contract import durable
from ingest.contract.lake import Lake, bucket_of
from ingest.contract.publish import KEEP_SUPERSEDED_MS, SealWriter, publish
from ingest.contract.tables import SEALED, trip_id, trip_key

JANUARY_MS = 1_767_225_600_000  # 2026-01-01
DAY_MS = 86_400_000


def chunk(devices, start_ms=JANUARY_MS, samples=5):
    ids = [trip_id(device, "00" * 16, 1) for device in devices]
    keys = [trip_key(name) for name in ids]
    trips = pl.DataFrame(
        {
            "trip_id": ids,
            "trip_key": pl.Series(keys, dtype=pl.UInt64),
            "device_id": devices,
            "start_ms": start_ms,
            "period_ms": 500,
        }
    )
    motion = pl.DataFrame(
        {
            "trip_key": pl.Series([k for k in keys for _ in range(samples)], dtype=pl.UInt64),
            "t_ms": [500 * i for _ in keys for i in range(samples)],
            "speed_dkmh": 300,
            "quality": 0,
        }
    )
    return {"trips": trips, "motion": motion}


def tree(lake):
    return {p.relative_to(lake.sealed).as_posix(): p.read_bytes() for p in lake.sealed.rglob("*.parquet")}


def test_an_empty_lake_has_typed_empty_tables(tmp_path):
    lake = Lake(tmp_path / "nowhere")
    for table, schema in SEALED.items():
        frame = lake.scan(table).collect()
        assert frame.schema == schema
        assert frame.height == 0
    assert lake.scan_messages().collect().height == 0
    with pytest.raises(UsageError, match="no lake here"):
        Lake.existing(tmp_path / "nowhere")


def test_published_rows_come_back_typed_sorted_and_placed(tmp_path):
    lake = Lake(tmp_path)
    devices = [f"car-{i}" for i in range(40)]
    publish(lake, "simulated", [chunk(devices[:20]), chunk(devices[20:], JANUARY_MS + 40 * DAY_MS)])
    trips = lake.scan("trips").collect()
    assert trips.schema == SEALED["trips"]
    assert sorted(trips["device_id"]) == sorted(devices)
    assert trips["distance_mm"].null_count() == 40
    assert lake.scan("motion").collect().height == 200
    for file in lake.sealed_files("motion"):
        frame = pl.read_parquet(file)
        assert frame.equals(frame.sort("trip_key", "t_ms"))
    for device, start_ms in trips.select("device_id", "start_ms").iter_rows():
        month = "2026-01" if start_ms == JANUARY_MS else "2026-02"
        place = lake.sealed / f"trips/month={month}/bucket={bucket_of(device):02d}"
        assert device in pl.read_parquet(place / "*.parquet")["device_id"].to_list()


def test_small_buffers_make_more_files_and_the_same_rows(tmp_path):
    chunks = [chunk([f"car-{i}-{j}" for j in range(10)]) for i in range(20)]
    whole, cut = Lake(tmp_path / "whole"), Lake(tmp_path / "cut")
    publish(whole, "simulated", chunks)
    with SealWriter(cut, "simulated", buffer_bytes=2_000) as writer:
        for tables in chunks:
            writer.add(tables)
    assert len(cut.sealed_files("motion")) > len(whole.sealed_files("motion"))
    for table in ("trips", "motion"):
        keys = ["trip_key"] if table == "trips" else ["trip_key", "t_ms"]
        assert cut.scan(table).sort(keys).collect().equals(whole.scan(table).sort(keys).collect())
    homes = pl.concat([pl.read_parquet(f).select("trip_key").unique() for f in cut.sealed_files("motion")])
    assert homes["trip_key"].n_unique() == homes.height


def test_the_same_input_gives_the_same_bytes(tmp_path):
    chunks = [chunk([f"car-{i}-{j}" for j in range(30)]) for i in range(3)]
    first, second = Lake(tmp_path / "1"), Lake(tmp_path / "2")
    publish(first, "simulated", chunks)
    publish(second, "simulated", chunks)
    assert tree(first) == tree(second)
    assert first.manifest() == second.manifest()
    publish(first, "simulated", chunks)
    assert first.manifest().number == 1


def test_a_source_replaces_its_own_files_only(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, "simulated", [chunk(["a", "b"])])
    publish(lake, "other", [chunk(["c"])])
    publish(lake, "simulated", [chunk(["d"])])
    assert sorted(lake.scan("trips").collect()["device_id"]) == ["c", "d"]
    assert lake.scan("trips", source="other").collect()["device_id"].to_list() == ["c"]


def test_an_exception_leaves_the_lake_as_it_was(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, "simulated", [chunk(["a"])])
    chunks = ({"trips": tables} for tables in (chunk(["b"])["trips"], pl.DataFrame({"wrong": [1]})))
    with pytest.raises(ContractError):
        publish(lake, "simulated", chunks)
    assert lake.scan("trips").collect()["device_id"].to_list() == ["a"]
    publish(lake, "simulated", [chunk(["c"])])  # the lock is free again


def test_one_writer_at_a_time(tmp_path):
    lake = Lake(tmp_path)
    with SealWriter(lake, "a"), pytest.raises(TryAgainError, match="another process is sealing"):
        SealWriter(lake, "b").__enter__()


def test_rows_outside_the_schema_or_without_their_trip_are_refused(tmp_path):
    lake = Lake(tmp_path)
    with pytest.raises(ContractError, match="no column speed_kmh"):
        publish(lake, "s", [{"motion": pl.DataFrame({"speed_kmh": [1.0]})}])
    with pytest.raises(ContractError, match="not in trips"):
        publish(lake, "s", [{"motion": chunk(["a"])["motion"]}])
    with pytest.raises(ContractError, match="twice"):
        publish(lake, "s", [{"trips": pl.concat([chunk(["a"])["trips"]] * 2)}])
    assert lake.manifest().number == 0


def test_times_out_of_range_take_the_nearest_month(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, "s", [chunk(["a"], -5), chunk(["b"], 2**53), chunk(["c"], None)])
    assert [g.month for g in sorted(lake.manifest().groups, key=lambda g: (g.month, g.bucket))] == [
        "1970-01",
        "1970-01",
        "2109-05",
    ]


def test_superseded_files_stay_a_day_and_leftovers_go_at_once(tmp_path):
    lake = Lake(tmp_path)
    publish(lake, "s", [chunk(["a"])])
    old = lake.sealed_files("trips")[0]
    publish(lake, "s", [chunk(["b"])])
    leftover = durable.temporary(old.with_name("half.parquet"))
    leftover.write_bytes(b"half")
    for manifest in lake.sealed.glob("manifest-*.json"):
        os.utime(manifest, (JANUARY_MS / 1000, JANUARY_MS / 1000))
    with SealWriter(lake, "other") as writer:
        assert writer.sweep(JANUARY_MS + KEEP_SUPERSEDED_MS - 1) == 1
        assert old.exists()
        assert not leftover.exists()
        assert writer.sweep(JANUARY_MS + KEEP_SUPERSEDED_MS + 1) == 3
        assert not old.exists()
    assert lake.scan("trips").collect()["device_id"].to_list() == ["b"]


def test_a_half_written_file_is_not_a_segment(tmp_path):
    lake = Lake(tmp_path)
    folder = lake.root / "messages" / "date=2026-01-01"
    durable.make_folder(folder)
    durable.temporary(folder / "x.parquet").write_bytes(b"PAR1")
    assert lake.message_files() == []


def test_nothing_is_told_when_the_disk_refuses(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    said = []
    monkeypatch.setattr(durable.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        durable.commit({tmp_path / "file": b"content"}, then=lambda: said.append("ack"))
    assert said == []
    assert not (tmp_path / "file").exists()


def test_a_manifest_that_cannot_be_read_says_which(tmp_path):
    lake = Lake(tmp_path)
    lake.sealed.mkdir()
    lake.manifest_path(3).write_text("{")
    with pytest.raises(UbiError, match=r"manifest-3\.json: not a manifest"):
        lake.manifest()
    lake.manifest_path(3).write_text('{"format": 9, "groups": []}')
    with pytest.raises(UbiError, match="manifest format 9, this release reads 1; update ubi"):
        lake.manifest()
