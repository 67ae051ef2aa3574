"""The file under the outbox: older releases, changed bytes, faults as one line each, room given back."""

from __future__ import annotations

import resource
import sqlite3
from pathlib import Path

import pytest

from device.contract.errors import DamagedError, DiskError, UbiError
from device.outbox import Outbox, Row
from device.outbox_file import APPLICATION_ID, OutboxFile
from device.outbox_ranks import Rank
from tests.device.queued import chain, event, health, impact, motion, queue, track, trip_end, verify

VERSION_1 = f"""
CREATE TABLE stream (
    stream_id BLOB NOT NULL,
    next_seq INTEGER NOT NULL,
    head BLOB NOT NULL,
    state BLOB NOT NULL,
    stored INTEGER NOT NULL,
    rejected INTEGER NOT NULL
);
CREATE TABLE message (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
"""


def write_version_1(path: Path) -> list[bytes]:
    """An outbox as the first release wrote it; the payloads in it."""
    with Outbox(path.with_name("newer"), bytes(16)) as newer:
        messages = chain(newer, [event(), motion(300), track(), motion(300, 1), trip_end(), health()])
    with sqlite3.connect(path) as database:
        database.executescript(VERSION_1)
        row = (bytes(16), 7, messages[-1].hash, b'{"next_seq":7,"head":"%s"}' % messages[-1].hash.hex().encode(), 0, 0)
        database.execute("INSERT INTO stream VALUES (?, ?, ?, ?, ?, ?)", row)
        rows = [(seq, message.payload) for seq, message in enumerate(messages, 1)]
        database.executemany("INSERT INTO message VALUES (?, ?)", rows)
    database.close()
    return [message.payload for message in messages]


def test_an_outbox_of_the_first_release_goes_on(tmp_path):
    payloads = write_version_1(tmp_path / "a")
    with Outbox(tmp_path / "a", bytes(16)) as outbox:
        assert (outbox.next_seq, outbox.waiting(), outbox.counters) == (7, 6, {})
        assert outbox.in_order(10) == [1, 5, 6, 3, 2, 4]
        payloads += queue(outbox, event(), state=b"state")
    with Outbox(tmp_path / "a") as outbox:
        verify([row.payload for row in outbox.unacked(10)])
        assert [row.payload for row in outbox.unacked(10)] == payloads
        assert outbox.state == b"state"
        assert outbox._file.number("PRAGMA auto_vacuum") == 2


def test_rows_come_in_the_order_of_sending(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        queue(outbox, motion(), track(), event(), health(), impact(), motion(), trip_end())
        assert outbox.in_order(10) == [5, 3, 4, 7, 2, 1, 6]
        assert outbox.in_order(2) == [5, 3]
        assert outbox.in_order(10, Rank.URGENT) == [5]


def test_a_message_that_the_disk_has_changed_is_not_sent_and_is_counted(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        payloads = queue(outbox, event(), motion(), trip_end())
        outbox._file.run("UPDATE message SET payload = x'00' || payload WHERE seq = 2")
        assert [outbox.payload(seq) for seq in (1, 2, 3)] == [payloads[0], None, payloads[2]]
        assert (outbox.waiting(), outbox.counters) == (2, {"damaged_messages": 1})
        queue(outbox, event())
    with Outbox(tmp_path / "a") as outbox:
        assert (outbox.waiting(), outbox.counters) == (3, {"damaged_messages": 1})


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE stream SET state = x'00'",
        "UPDATE stream SET stream_id = x'00'",
        "UPDATE stream SET next_seq = 2",
        "DELETE FROM stream",
        "DROP TABLE message",
    ],
)
def test_a_file_whose_parts_do_not_fit_is_damaged(tmp_path, change):
    with Outbox(tmp_path / "a") as outbox:
        queue(outbox, event(), event())
        outbox._file.run(change)
    with pytest.raises(DamagedError, match="a: damaged: "):
        Outbox(tmp_path / "a")


def test_a_backlog_that_was_delivered_is_given_back_to_the_disk(tmp_path):
    path = tmp_path / "a"
    with Outbox(path) as outbox:
        for seed in range(3):
            queue(outbox, *(motion(3_000, 40 * seed + n) for n in range(40)))
        waiting = outbox._file.used_bytes
        for seq in range(1, 121):
            outbox.release(outbox.stream_id, [(seq, seq)])
        assert outbox._file.used_bytes < 2**17
    assert waiting > 2**21
    assert path.stat().st_size < 2**20 + 2**18


def test_a_disk_that_takes_no_byte_more_changes_nothing_and_is_asked_again(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        queue(outbox, event(), state=b"before")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        size = (tmp_path / "a-wal").stat().st_size
        messages = chain(outbox, [motion(), event()])
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            for _ in range(3):
                with pytest.raises(DiskError, match="check the folder, its rights and the free space"):
                    outbox.commit(2, messages, b"after")
            with pytest.raises(DiskError):
                outbox.release(outbox.stream_id, [(1, 1)])
            assert (outbox.next_seq, outbox.waiting(), outbox.state) == (2, 1, b"before")
            assert outbox.payload(1) is not None
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        outbox.commit(2, messages, b"after")
    with Outbox(tmp_path / "a") as outbox:
        assert (outbox.next_seq, outbox.state) == (4, b"after")


def test_a_closed_outbox_says_so(tmp_path):
    outbox = Outbox(tmp_path / "a")
    outbox.close()
    outbox.close()
    with pytest.raises(UbiError, match="the outbox is closed"):
        outbox.unacked(1)


def test_a_cut_off_query_is_no_damage(tmp_path):
    """Rows are read whole: a reader that stops early holds nothing open."""
    with Outbox(tmp_path / "a") as outbox:
        queue(outbox, *(event(n) for n in range(100)))
        assert isinstance(outbox.unacked(1)[0], Row)
        outbox.release(outbox.stream_id, [(1, 100)])


def test_an_empty_file_becomes_an_outbox(tmp_path):
    (tmp_path / "a").touch()
    OutboxFile(tmp_path / "a").close()
    with Outbox(tmp_path / "a") as outbox:
        queue(outbox, event())
        stream_id = outbox.stream_id
    with Outbox(tmp_path / "a") as again:
        assert (again.stream_id, again.waiting()) == (stream_id, 1)


def test_a_changed_message_waits_as_long_as_the_disk_does_not_let_it_go(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        queue(outbox, event(), event())
        outbox._file.run("UPDATE message SET payload = x'00' || payload WHERE seq = 1")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "a-wal").stat().st_size, limits[1]))
        try:
            with pytest.raises(DiskError):
                outbox.payload(1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert (outbox.waiting(), outbox.in_order(10)) == (2, [1, 2])
        assert outbox.payload(1) is None
        assert (outbox.waiting(), outbox.in_order(10)) == (1, [2])
