from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.contract import wire
from device.contract.errors import ContractError, DiskError, TryAgainError, UbiError
from device.outbox import Outbox
from tests.device.queued import chain, health, queue, verify

STREAM = bytes(range(16))


def messages(outbox: Outbox, count: int) -> list[wire.Encoded]:
    """The next `count` messages of the outbox's chain."""
    return chain(outbox, [health(seq=seq) for seq in range(count)])


def put(outbox: Outbox, count: int, state: bytes = b"{}") -> None:
    queue(outbox, *(health(seq=seq) for seq in range(count)), state=state)


def seqs(outbox: Outbox) -> list[int]:
    return [row.seq for row in outbox.unacked(1_000_000)]


def test_a_stream_is_born_with_the_file_and_stays(tmp_path):
    with Outbox(tmp_path / "a") as first, Outbox(tmp_path / "b") as second:
        assert len(first.stream_id) == 16
        assert first.stream_id != second.stream_id
        born = first.stream_id
    with Outbox(tmp_path / "a") as again:
        assert again.stream_id == born
        assert (again.next_seq, again.head, again.state) == (1, b"", b"")


def test_a_given_stream_must_be_that_of_the_file(tmp_path):
    Outbox(tmp_path / "a", STREAM).close()
    Outbox(tmp_path / "a", STREAM).close()
    with pytest.raises(UbiError, match="holds stream 000102"):
        Outbox(tmp_path / "a", bytes(16))


def test_messages_head_and_state_come_back_together(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        made = messages(outbox, 3)
        outbox.commit(1, made, b"three")
        outbox.commit(4, [], b"still three")
    with Outbox(tmp_path / "a") as outbox:
        assert [row.payload for row in outbox.unacked(10)] == [message.payload for message in made]
        assert (outbox.next_seq, outbox.head, outbox.state) == (4, made[-1].hash, b"still three")
        assert outbox.payload(2) == made[1].payload


def test_a_commit_that_does_not_continue_the_stream_is_refused_and_changes_nothing(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        put(outbox, 2)
        with pytest.raises(ContractError, match="next seq is 3, not 2"):
            outbox.commit(2, [wire.Encoded(b"x", b"y")], b"wrong")
        assert (seqs(outbox), outbox.state) == ([1, 2], b"{}")


def test_rows_are_read_in_order_from_a_seq_on(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        put(outbox, 5)
        assert [row.seq for row in outbox.unacked(2, after_seq=2)] == [3, 4]
        assert outbox.unacked(2, after_seq=5) == []


def test_an_ack_deletes_its_ranges_and_counts_what_was_rejected(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        put(outbox, 9)
        assert outbox.release(outbox.stream_id, stored=[(1, 3), (5, 5)], rejected=[(7, 8)]) == (4, 2)
        assert seqs(outbox) == [4, 6, 9]
        assert outbox.release(outbox.stream_id, stored=[(1, 9)]) == (3, 0)
        assert (outbox.waiting(), outbox.payload(4)) == (0, None)
    with Outbox(tmp_path / "a") as outbox:
        assert (outbox.stored, outbox.rejected, outbox.next_seq) == (7, 2, 10)


def test_commits_are_synced_also_after_an_ack(tmp_path):
    """A power cut cannot be had in a test; what SQLite promises about one hangs on this setting, 2 = FULL."""
    with Outbox(tmp_path / "a") as outbox:
        put(outbox, 2)
        outbox.release(outbox.stream_id, stored=[(1, 1)])
        assert outbox._file.number("PRAGMA synchronous") == 2


def test_an_ack_of_another_stream_deletes_nothing(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        put(outbox, 2)
        assert outbox.release(bytes(16), stored=[(1, 2)]) == (0, 0)
        assert seqs(outbox) == [1, 2]


@pytest.mark.parametrize("span", [(0, 2**64 - 1), (2**63, 2**64 - 1), (9, 3), (100, 200), (0, 0)])
def test_absurd_ranges_delete_only_what_exists(tmp_path, span):
    with Outbox(tmp_path / "a") as outbox:
        put(outbox, 2)
        expected = [] if span == (0, 2**64 - 1) else [1, 2]
        outbox.release(outbox.stream_id, stored=[span])
        assert seqs(outbox) == expected
        put(outbox, 1)
        assert seqs(outbox)[-1] == 3


@settings(max_examples=30)
@given(st.lists(st.one_of(st.integers(0, 4), st.tuples(st.integers(0, 40), st.integers(0, 40))), max_size=30))
def test_any_order_of_commits_acks_and_restarts_loses_nothing_unacked(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("outbox") / "a"
    waiting: set[int] = set()
    next_seq = 1
    for step in steps:
        with Outbox(path) as outbox:
            if isinstance(step, int):
                put(outbox, step, b"%d" % step)
                waiting |= set(range(next_seq, next_seq + step))
                next_seq += step
            else:
                outbox.release(outbox.stream_id, stored=[step])
                waiting -= set(range(step[0], step[1] + 1))
            assert seqs(outbox) == sorted(waiting)
            assert outbox.next_seq == next_seq


def test_two_agents_cannot_fork_one_chain(tmp_path):
    with Outbox(tmp_path / "a"), pytest.raises(TryAgainError, match="in use by another process"):
        Outbox(tmp_path / "a")


def test_a_failed_commit_leaves_nothing_behind(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        put(outbox, 2, b"before")
        outbox._file.run("PRAGMA max_page_count = 12")
        with pytest.raises(DiskError, match="database or disk is full; check the folder"):
            outbox.commit(3, messages(outbox, 1), b"after" * 20_000)
        assert (seqs(outbox), outbox.waiting(), outbox.next_seq, outbox.state) == ([1, 2], 2, 3, b"before")
        outbox._file.run("PRAGMA max_page_count = 1000000")
        put(outbox, 1, b"after")
    with Outbox(tmp_path / "a") as outbox:
        verify([row.payload for row in outbox.unacked(10)])
        assert outbox.state == b"after"


def test_a_file_that_is_no_outbox_is_named_and_left_alone(tmp_path):
    (tmp_path / "text").write_text("hello" * 1000)
    with pytest.raises(UbiError, match=r"text: damaged: file is not a database; set the file aside"):
        Outbox(tmp_path / "text")
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(UbiError, match="a database, but not an outbox"):
        Outbox(tmp_path / "other")
    with pytest.raises(UbiError, match="unable to open database file"):
        Outbox(tmp_path / "missing" / "a")


def test_a_file_of_a_newer_release_is_refused(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        outbox._file.run("PRAGMA user_version = 99")
    with pytest.raises(UbiError, match="outbox version 99, this release reads 2"):
        Outbox(tmp_path / "a")
