from __future__ import annotations

import sqlite3

import polars as pl
import pytest

from device.contract import wire
from device.contract.wire import Encoded
from device.outbox import Outbox
from ingest.contract.lake import Lake
from ingest.seal import seal
from ingest.worker import Worker
from tests.faults.journal import prepare_outbox, read_journal
from tests.faults.oracle import judge
from tests.ingest.drive import START_MS, Drive

NOW_MS = START_MS + 1_000_000


class Road:
    """A drive in an outbox with a journal, and a worker to hand messages to."""

    def __init__(self, folder):
        self.drive = Drive("car")
        self.drive.trip()
        self.path = folder / "car.outbox"
        prepare_outbox(self.path, self.drive.stream_id)
        self.outbox = Outbox(self.path)
        self.outbox.commit(1, [Encoded(m.payload, m.hash) for m in self.drive.messages], b"")
        self.lake = Lake(folder / "lake")
        self.worker = Worker(self.lake, "w", lambda topic, payload: None)

    def send(self, *payloads):
        for payload in payloads:
            self.worker.take("ubi/v1/car/up", payload, NOW_MS)
        self.worker.flush(NOW_MS)

    def release(self, *seqs):
        self.outbox.release(self.drive.stream_id, [(seq, seq) for seq in seqs])

    def faults(self):
        self.outbox.close()
        seal(self.lake, NOW_MS + 40 * 86_400_000)
        return judge(self.lake, [read_journal(self.path)]).faults


@pytest.fixture
def road(tmp_path):
    road = Road(tmp_path)
    yield road
    road.outbox.close()


@pytest.fixture
def payloads(road):
    return [message.payload for message in road.drive.messages]


def test_all_delivered_is_no_fault_however_often_it_came(road, payloads):
    road.send(*payloads)
    road.send(*reversed(payloads))
    road.release(*range(1, len(payloads) + 1))
    assert road.faults() == {}


def test_a_message_that_waits_is_not_there_yet(road, payloads):
    road.send(*payloads[:-1])
    road.release(*range(1, len(payloads)))
    assert road.faults() == {"lost": 1, "waiting": 1}


def test_a_message_released_before_it_was_stored_is_an_early_ack(road, payloads):
    road.send(*payloads[:3], *payloads[4:])
    road.release(*range(1, len(payloads) + 1))
    assert road.faults() == {"lost": 1, "early": 1}


def test_other_bytes_under_a_seq_are_seen_and_so_is_a_message_nobody_wrote(road, payloads):
    other = Drive("car")
    other.trip(batches=3)
    road.send(*payloads, other.messages[4].payload, other.messages[-1].payload)
    road.release(*range(1, len(payloads) + 1))
    faults = road.faults()
    assert (faults["altered"], faults["strangers"]) == (1, 1)


def test_a_sealed_row_that_is_missing_or_doubled_is_seen(road, payloads):
    road.send(*payloads)
    road.release(*range(1, len(payloads) + 1))
    road.outbox.close()
    seal(road.lake, NOW_MS)
    (events,) = road.lake.sealed_files("events")
    (motion,) = road.lake.sealed_files("motion")
    pl.read_parquet(events).clear().write_parquet(events)
    rows = pl.read_parquet(motion)
    rows.vstack(rows[:2]).write_parquet(motion)
    faults = judge(road.lake, [read_journal(road.path)]).faults
    assert faults == {"missing": 1, "doubled": 4}  # two by their key, two by their number


def test_a_tombstone_that_the_outbox_wrote_is_delivered_without_its_body(road, payloads):
    stone = wire.tombstone(payloads[1])
    road.outbox.close()
    with sqlite3.connect(road.path) as db:
        db.execute("UPDATE message SET payload = ? WHERE seq = 2", (stone,))
    db.close()
    road.send(payloads[0], stone, *payloads[2:])
    with sqlite3.connect(road.path) as db:
        db.execute("DELETE FROM message")
    db.close()
    assert road.faults() == {}


def test_the_journal_outlives_the_release(road):
    road.outbox.release(road.drive.stream_id, [(1, 2)])
    road.outbox.close()
    journal = read_journal(road.path)
    assert sorted(journal.written) == list(range(1, len(road.drive.messages) + 1))
    assert journal.released == {1, 2}
    assert journal.waiting == set(range(3, len(road.drive.messages) + 1))
