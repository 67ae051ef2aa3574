from __future__ import annotations

import random

import polars as pl

from device.contract import topics
from ingest.contract.lake import Lake
from ingest.contract.tables import SEALED
from ingest.ledger import find_gaps, keep_first
from ingest.query import connect, gaps, rejects, status
from ingest.seal import seal
from ingest.worker import Worker
from tests.ingest.drive import START_MS, Drive, fleet


def lake_with(root, messages, others=()):
    lake = Lake(root)
    for number, part in enumerate((messages, others)):
        worker = Worker(lake, f"w{number}", lambda topic, payload: None)
        for message in part:
            worker.take(message.topic, message.payload, START_MS + number)
        worker.flush(START_MS + number)
    return lake


def test_an_empty_lake_answers_with_nothing_and_has_every_table(tmp_path):
    lake = Lake(tmp_path)
    assert (status(lake), gaps(lake), rejects(lake)) == ([], [], [])
    with connect(lake) as connection:
        for table, schema in SEALED.items():
            described = connection.execute(f"DESCRIBE {table}").fetchall()
            assert [row[0] for row in described] == list(schema)


def test_status_counts_messages_once_and_names_what_is_missing(tmp_path):
    messages = Drive("car").trip() + Drive("bus").trip()
    lake = lake_with(tmp_path, messages[:8] + messages[9:], messages[:3])
    worker = Worker(lake, "w9", lambda topic, payload: None)
    worker.take(topics.up("van"), b"\xff", START_MS + 9)
    worker.flush(START_MS + 9)
    seal(lake, START_MS)
    rows = {row["device_id"]: row for row in status(lake)}
    assert sorted(rows) == ["bus", "car", "van"]
    assert (rows["car"]["messages"], rows["car"]["duplicates"], rows["car"]["missing"]) == (6, 3, 0)
    assert (rows["car"]["trips"], rows["car"]["distance_km"], rows["car"]["chain_broken"]) == (1, 12.3, 0)
    assert (rows["bus"]["messages"], rows["bus"]["missing"], rows["bus"]["trips"]) == (5, 1, 0)
    assert (rows["van"]["messages"], rows["van"]["rejects"]) == (0, 1)
    assert rows["car"]["last_received_at_ms"] == START_MS + 1
    assert rejects(lake) == [
        {
            "device_id": "van",
            "reason": "garbage",
            "rejects": 1,
            "last_detail": "not an envelope of this contract",
            "last_received_at_ms": START_MS + 9,
        }
    ]


def test_gaps_of_sql_are_the_gaps_of_the_ledger(tmp_path):
    messages = fleet(3, 4)
    kept = random.Random(5).sample(messages, 40)
    lake = lake_with(tmp_path, kept, kept[:10])
    frame = find_gaps(keep_first(lake.scan_messages().collect())).sort("device_id", "stream_id", "first_seq")
    assert frame.rows(named=True) == gaps(lake)
    assert frame["missing"].sum() > 0


def test_an_unpacked_table_reads_the_same_in_duckdb_and_polars(tmp_path):
    lake = lake_with(tmp_path, fleet(3))
    seal(lake, START_MS)
    with connect(lake) as connection:
        counted = connection.execute("SELECT trip_key, count(*), sum(speed_dkmh) FROM motion GROUP BY 1").fetchall()
    grouped = lake.scan("motion").group_by("trip_key").agg(pl.len(), pl.col("speed_dkmh").cast(pl.Int64).sum())
    assert sorted(counted) == sorted(grouped.collect().rows())
