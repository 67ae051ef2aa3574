from __future__ import annotations

import random
from dataclasses import replace

import polars as pl
import pytest

from device.contract import bodies, topics, wire
from device.contract.errors import UbiError
from ingest.contract.lake import Lake
from ingest.contract.tables import SEALED
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


def test_gaps_are_the_seqs_that_were_held_back(tmp_path):
    messages = fleet(3, 4)
    kept = random.Random(5).sample(messages, 40)
    found = gaps(lake_with(tmp_path, kept, kept[:10]))
    came = {(topics.device_of(sent.topic), sent.seq) for sent in kept}
    sent = {(topics.device_of(sent.topic), sent.seq) for sent in messages}
    held_back = {(device, seq) for device, seq in sent - came if any(d == device and s > seq for d, s in came)}
    listed = [(row["device_id"], seq) for row in found for seq in range(row["first_seq"], row["last_seq"] + 1)]
    assert (set(listed), len(listed)) == (held_back, len(held_back))
    assert sum(row["missing"] for row in found) == len(held_back) > 0


def test_a_refused_message_is_not_missing(tmp_path):
    drive = Drive("car")
    messages = drive.trip()
    absurd = Drive("car", messages=messages[:2]).start(utc_offset_min=100_000)
    lake = lake_with(tmp_path, [*messages[:2], absurd, *messages[3:]])
    assert (gaps(lake), status(lake)[0]["missing"], status(lake)[0]["rejects"]) == ([], 0, 1)


def test_seqs_that_no_device_reaches_do_not_stop_status(tmp_path):
    header = wire.Header("car", bytes(16), 2**63 - 1, bytes(32), b"boot", START_MS, 0, 0)
    lake = Lake(tmp_path)
    worker = Worker(lake, "w", lambda topic, payload: None)
    for stream in range(3):
        sent = wire.encode(replace(header, stream_id=bytes([stream]) * 16), bodies.Health({}))
        worker.take(topics.up("car"), sent.payload, START_MS)
    worker.flush(START_MS)
    assert status(lake)[0]["missing"] == 3 * (2**63 - 2)


def test_a_damaged_segment_is_named(tmp_path):
    lake = lake_with(tmp_path, fleet(1))
    damaged = lake.message_files()[0]
    damaged.write_bytes(damaged.read_bytes()[:-9])
    with pytest.raises(UbiError, match=f"{damaged.name}.*restore a damaged segment"):
        status(lake)


def test_an_unpacked_table_reads_the_same_in_duckdb_and_polars(tmp_path):
    lake = lake_with(tmp_path, fleet(3))
    seal(lake, START_MS)
    with connect(lake) as connection:
        counted = connection.execute("SELECT trip_key, count(*), sum(speed_dkmh) FROM motion GROUP BY 1").fetchall()
    grouped = lake.scan("motion").group_by("trip_key").agg(pl.len(), pl.col("speed_dkmh").cast(pl.Int64).sum())
    assert sorted(counted) == sorted(grouped.collect().rows())
