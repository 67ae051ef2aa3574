from __future__ import annotations

import random
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract import topics, wire
from device.contract import wire_pb2 as pb
from device.contract.errors import TryAgainError
from ingest.contract import durable
from ingest.contract.lake import Lake
from ingest.contract.tables import MESSAGES, REJECTS
from ingest.worker import RANGES_PER_ACK, Limits, Worker, ranges
from tests.ingest.drive import START_MS, Drive, fleet, seqs

DAY_MS = 86_400_000


class Desk:
    """A worker on a lake of its own, and the acks it published."""

    def __init__(self, root, limits=None):
        self.lake = Lake(root)
        self.published = []
        self.worker = Worker(self.lake, "w", lambda topic, payload: self.published.append((topic, payload)), limits)

    def take(self, *messages, received_ms=START_MS):
        for message in messages:
            self.worker.take(message.topic, message.payload, received_ms)

    def acked(self, device_id):
        acks = [pb.Ack.FromString(payload) for topic, payload in self.published if topic == topics.ack(device_id)]
        return (
            {seq for ack in acks for seq in seqs(ack.stored)},
            {seq for ack in acks for seq in seqs(ack.rejected)},
        )

    @property
    def stored(self):
        return self.lake.scan_messages().drop("file").collect()

    @property
    def rejects(self):
        return self.lake.scan_rejects().collect()


@pytest.fixture
def desk(tmp_path):
    return Desk(tmp_path)


def test_nothing_is_acked_before_the_flush_and_all_of_it_after(desk):
    messages = Drive("car").trip()
    desk.take(*messages)
    assert desk.published == []
    assert desk.lake.message_files() == []
    desk.worker.flush(START_MS + 5)
    assert desk.acked("car") == ({m.seq for m in messages}, set())
    assert desk.stored.schema == MESSAGES
    assert desk.stored["payload"].to_list() == [m.payload for m in messages]


def test_header_columns_say_what_the_header_says(desk):
    drive = Drive("car")
    desk.take(*drive.trip())
    desk.worker.flush(START_MS)
    rows = desk.stored
    assert rows["stream_id"].unique().to_list() == [drive.stream_id.hex()]
    assert rows["hash"].to_list() == [m.hash for m in drive.messages]
    assert rows["prev_hash"].to_list() == [b"", *(m.hash for m in drive.messages[:-1])]
    assert rows["trip_seq"].to_list() == [1, 1, 1, 1, None, 1]  # the fifth is health
    assert rows["started_at_ms"].to_list() == [START_MS, *[None] * 5]
    assert rows["received_at_ms"].to_list() == [START_MS] * 6


def test_a_segment_is_due_by_age_count_or_bytes(tmp_path):
    desk = Desk(tmp_path, Limits(messages=3, payload_bytes=100_000, age_ms=1_000))
    drive = Drive("car")
    assert not desk.worker.due(START_MS)
    desk.take(drive.start())
    assert not desk.worker.due(START_MS + 999)
    assert desk.worker.due(START_MS + 1_000)
    assert desk.worker.due(START_MS - 1)  # a clock that was set back must not hold a segment for ever
    desk.take(drive.motion(), drive.motion())
    assert desk.worker.due(START_MS)
    desk.worker.flush(START_MS)
    assert not desk.worker.due(START_MS + DAY_MS)
    desk.worker.take(topics.up("car"), bytes(200_000), START_MS)
    assert desk.worker.due(START_MS)


def test_duplicates_fill_a_segment_too(tmp_path):
    desk = Desk(tmp_path, Limits(messages=3))
    desk.take(*[Drive("car").start()] * 3)
    assert desk.worker.due(START_MS)


def test_a_duplicate_is_acked_again_and_stored_once(desk):
    messages = Drive("car").trip()
    desk.take(*messages, *messages)
    desk.worker.flush(START_MS)
    desk.published.clear()
    desk.take(*messages)
    desk.worker.flush(START_MS + 1)
    assert desk.acked("car")[0] == {m.seq for m in messages}
    assert desk.stored.height == len(messages)
    assert desk.worker.counters["duplicates"] == 2 * len(messages)


def test_a_tombstone_does_not_hide_the_message_it_was(desk):
    message = Drive("car").start()
    desk.worker.take(message.topic, wire.tombstone(message.payload), START_MS)
    desk.take(message)
    desk.worker.flush(START_MS)
    assert desk.stored["tombstone"].to_list() == [True, False]
    assert desk.stored["trip_seq"].to_list() == [None, 1]


def test_a_segment_over_midnight_lies_in_both_days(desk):
    first, second = Drive("car").trip()[:2]
    desk.take(first, received_ms=START_MS - 1)
    desk.take(second, received_ms=START_MS)
    desk.worker.flush(START_MS)
    assert [file.parent.name for file in desk.lake.message_files()] == ["date=2025-12-31", "date=2026-01-01"]


def test_a_bad_body_is_kept_with_its_reason_and_acked_as_rejected(desk):
    drive = Drive("car")
    message = drive.start()
    envelope = pb.Envelope.FromString(message.payload)
    envelope.body = b"\xff" * len(envelope.body)
    broken = envelope.SerializeToString()
    desk.worker.take(message.topic, broken, START_MS)
    desk.worker.flush(START_MS)
    assert desk.acked("car") == (set(), {1})
    row = desk.rejects.row(0, named=True)
    assert (row["device_id"], row["stream_id"], row["seq"]) == ("car", drive.stream_id.hex(), 1)
    assert row["reason"] in {"bad_body", "absurd_value"}
    assert row["payload"] == broken


def test_a_message_of_another_device_is_rejected_and_nobody_is_acked(desk):
    message = Drive("car").start()
    desk.worker.take(topics.up("thief"), message.payload, START_MS)
    desk.worker.take("ubi/v1/no device/up", message.payload, START_MS)
    desk.worker.flush(START_MS)
    assert desk.published == []
    assert desk.rejects["reason"].to_list() == ["wrong_device"]  # the same bytes are kept once
    assert desk.worker.counters["rejected_wrong_device"] == 2


def test_an_oversized_payload_is_kept_in_part(desk):
    desk.worker.take(topics.up("car"), bytes(wire.MAX_PAYLOAD_BYTES + 5), START_MS)
    desk.worker.flush(START_MS)
    row = desk.rejects.row(0, named=True)
    assert row["reason"] == "oversized"
    assert len(row["payload"]) == wire.MAX_PAYLOAD_BYTES


def test_enums_out_of_range_are_a_bad_header(desk):
    message = Drive("car").start()
    for field in ("clock_quality", "body_kind"):
        envelope = pb.Envelope.FromString(message.payload)
        head = pb.Header.FromString(envelope.header)
        setattr(head, field, 2**31 - 1)
        stone = pb.Envelope(header=head.SerializeToString(), body_hash=bytes(32))
        desk.worker.take(message.topic, stone.SerializeToString(), START_MS)
    desk.worker.flush(START_MS)
    assert desk.rejects["reason"].to_list() == ["bad_header", "bad_header"]


@given(st.lists(st.binary(max_size=80)), st.randoms(use_true_random=False), st.integers(1, 60))
def test_no_bytes_stop_a_worker(tmp_path_factory, garbage, rng, flips):
    desk = Desk(tmp_path_factory.mktemp("lake"))
    good = Drive("car").trip()
    payloads = [m.payload for m in good] + garbage
    for message in good:
        broken = bytearray(message.payload)
        for _ in range(flips):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        payloads.append(bytes(broken))
    rng.shuffle(payloads)
    for payload in payloads:
        desk.worker.take(topics.up("car"), payload, START_MS)
    desk.worker.flush(START_MS)
    assert {m.seq for m in good} <= desk.acked("car")[0]
    assert {m.payload for m in good} <= set(desk.stored["payload"])
    assert desk.rejects.schema == REJECTS
    counters = desk.worker.counters
    assert counters["received"] == len(payloads)
    assert counters["stored"] + counters["duplicates"] + counters["rejected"] == len(payloads)


def test_nothing_is_acked_when_the_disk_refuses_and_the_same_flush_may_be_tried_again(desk, monkeypatch):
    messages = Drive("car").trip()
    desk.take(*messages)
    with monkeypatch.context() as patch:
        patch.setattr(durable.os, "fsync", refuse)
        with pytest.raises(TryAgainError, match="No space left on device; nothing of this segment was acknowledged"):
            desk.worker.flush(START_MS)
    assert desk.published == []
    assert desk.lake.message_files() == []
    desk.worker.flush(START_MS)
    assert desk.acked("car")[0] == {m.seq for m in messages}
    assert desk.stored.height == len(messages)


def refuse(descriptor):
    raise OSError(28, "No space left on device")


def test_commit_order_is_write_sync_rename_sync_folder_ack(desk, monkeypatch):
    desk.take(*Drive("car").trip())
    desk.worker.flush(START_MS)  # makes the folders
    steps = []
    desk.published = type("Acks", (list,), {"append": lambda self, ack: steps.append("ack")})()
    fsync, rename = durable.os.fsync, durable.Path.replace
    kinds = {True: "sync folder", False: "sync file"}
    monkeypatch.setattr(
        durable.os, "fsync", lambda fd: (steps.append(kinds[durable.Path(f"/proc/self/fd/{fd}").is_dir()]), fsync(fd))
    )
    monkeypatch.setattr(durable.Path, "replace", lambda a, b: (steps.append("rename"), rename(a, b))[1])
    desk.take(*Drive("bus").trip())
    desk.worker.flush(START_MS + 1)
    assert steps == ["sync file", "rename", "sync folder", "ack"]


def test_a_new_folder_is_on_disk_before_the_ack(desk, monkeypatch):
    synced = []
    sync_folder = durable.sync_folder
    monkeypatch.setattr(durable, "sync_folder", lambda folder: (synced.append(folder), sync_folder(folder)))
    desk.take(*Drive("car").trip())
    desk.worker.flush(START_MS)
    (segment,) = desk.lake.message_files()
    assert {segment.parent, segment.parent.parent, desk.lake.root} <= {*synced}


@given(st.sets(st.integers(1, 60)))
def test_ranges_hold_the_numbers_and_no_others(numbers):
    spans = ranges(numbers)
    assert seqs(spans) == numbers
    assert all(a.last + 1 < b.first for a, b in pairwise(spans))


def test_acks_stay_below_what_a_device_takes(desk):
    drive = Drive("car")
    drive.start()
    messages = [drive.health(resent=i) for i in range(3 * RANGES_PER_ACK)][::2]
    desk.take(*random.Random(1).sample(messages, len(messages)))
    desk.worker.flush(START_MS)
    assert desk.acked("car")[0] == {m.seq for m in messages}
    assert len(desk.published) == 2
    assert max(len(payload) for _, payload in desk.published) < 65_536


def test_two_workers_never_write_the_same_file(tmp_path):
    lake = Lake(tmp_path)
    for name, message in zip(("a", "b"), fleet(1)[:2], strict=True):
        worker = Worker(lake, name, lambda topic, payload: None)
        worker.take(message.topic, message.payload, START_MS)
        worker.flush(START_MS)
    assert pl.scan_parquet(lake.message_files()).collect().height == 2


def test_an_ack_that_was_dropped_is_counted_as_that(tmp_path):
    worker = Worker(Lake(tmp_path), "w", lambda _topic, _payload: False)
    for message in Drive("car").trip():
        worker.take(message.topic, message.payload, START_MS)
    worker.flush(START_MS)
    assert worker.counters["acks_dropped"] == 1
    assert "acks" not in worker.counters
