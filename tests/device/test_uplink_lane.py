"""What is sent when: order, window, silence. Virtual time, a real outbox, no network."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.outbox import Outbox
from device.uplink_lane import PROBE_ROWS, RESEND_MAX_MS, WINDOW_ROWS, Lane
from tests.device.queued import event, health, impact, motion, queue, track, trip_end

RESEND_MS = 60_000
HOUR_MS = 3_600_000


@pytest.fixture
def outbox(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        yield outbox


@pytest.fixture
def lane(outbox):
    return Lane(outbox, RESEND_MS)


def send(lane: Lane, now_ms: int) -> list[int]:
    """Send what is due."""
    seqs = lane.due(now_ms)
    for seq in seqs:
        lane.sent(seq, now_ms)
    return seqs


def ack(lane: Lane, now_ms: int, *seqs: int) -> None:
    lane.outbox.release(lane.outbox.stream_id, [(seq, seq) for seq in seqs])
    lane.acked([(seq, seq) for seq in seqs], now_ms)


def sent_within(lane: Lane, begin_ms: int, end_ms: int, step_ms: int = 1_000) -> list[int]:
    return [seq for now_ms in range(begin_ms, end_ms, step_ms) for seq in send(lane, now_ms)]


def test_an_accident_goes_first_then_what_prices_then_track_then_motion(outbox, lane):
    queue(outbox, motion(), track(), event(), health(), trip_end(), motion(), impact())
    assert send(lane, 0) == [7, 3, 4, 5, 2, 1, 6]
    assert send(lane, 1) == []


def test_after_an_outage_every_trip_is_told_before_the_first_batch_of_motion(outbox, lane):
    """A window of 500 holds two weeks of trips; in order of seq it would hold the motion of two days."""
    for _ in range(100):
        queue(outbox, *[motion(1)] * 20, event(), trip_end())
    first = send(lane, 0)
    assert len(first) == WINDOW_ROWS
    assert [seq % 22 for seq in first[:200]] == [21, 0] * 100


def test_the_window_bounds_what_is_on_the_road_but_not_an_accident(outbox, lane):
    queue(outbox, *[event()] * (WINDOW_ROWS + 20))
    assert len(send(lane, 0)) == WINDOW_ROWS
    queue(outbox, motion(), impact(), impact())
    assert send(lane, 1) == [WINDOW_ROWS + 22, WINDOW_ROWS + 23]
    assert send(lane, 2) == []
    ack(lane, 3, *range(1, 11))
    assert len(send(lane, 3)) == 10 - 2


def test_a_silent_insurer_is_asked_with_few_rows_ever_more_rarely_and_found_again(outbox, lane):
    queue(outbox, *[event()] * 2_000)
    assert len(send(lane, 0)) == WINDOW_ROWS
    asked = {now_ms: send(lane, now_ms) for now_ms in range(1_000, 10 * HOUR_MS, 1_000)}
    asked = {now_ms: seqs for now_ms, seqs in asked.items() if seqs}
    assert {len(seqs) for seqs in asked.values()} == {PROBE_ROWS}
    at_s = [now_ms // 1_000 for now_ms in asked]
    assert at_s[:6] == [60, 180, 420, 900, 1_500, 2_100]
    assert max(later - earlier for earlier, later in pairwise(at_s)) == 600
    assert sum(map(len, asked.values())) == 310  # in ten hours
    ack(lane, 10 * HOUR_MS, *asked[at_s[-1] * 1_000])
    rounds = 0
    while outbox.waiting():
        now_ms = 10 * HOUR_MS + rounds
        seqs = send(lane, now_ms)
        assert seqs
        ack(lane, now_ms, *seqs)
        rounds += 1
    assert rounds < 16


def test_rows_that_never_get_an_ack_hold_up_nothing(outbox, lane):
    """As many as the window of a silence holds, and a few more."""
    poison = set(range(1, 31))
    queue(outbox, *[event()] * 30)
    sent = []
    for now_ms in range(0, 24 * HOUR_MS, 10_000):
        if now_ms % HOUR_MS == 0:
            queue(outbox, *[motion(1)] * 60)
        seqs = send(lane, now_ms)
        sent += seqs
        ack(lane, now_ms, *(seq for seq in seqs if seq not in poison))
    assert outbox.waiting() == len(poison)
    for seq in poison:
        assert 5 <= sent.count(seq) <= 40


def test_a_connection_that_brings_no_ack_before_it_breaks_narrows_the_next(outbox, lane):
    """A tunnel every minute must not cost a whole window every minute."""
    queue(outbox, *[event()] * 1_000)
    lane.reconnected()
    assert len(send(lane, 0)) == WINDOW_ROWS
    for minute in range(1, 5):
        lane.reconnected()
        assert len(sent_within(lane, minute * 60_000, minute * 60_000 + 50_000)) == PROBE_ROWS


def test_a_connection_that_brought_acks_goes_on_as_wide_and_sends_again_what_it_owed(outbox, lane):
    queue(outbox, *[event()] * 100)
    send(lane, 0)
    ack(lane, 1, *range(1, 51))
    lane.reconnected()
    assert send(lane, 2) == list(range(51, 101))


def test_hours_of_parking_are_no_silence(outbox, lane):
    queue(outbox, event())
    send(lane, 0)
    ack(lane, 100, 1)
    queue(outbox, event(), event())
    assert send(lane, 5 * HOUR_MS) == [2, 3]
    assert send(lane, 5 * HOUR_MS + RESEND_MS - 1) == []
    assert lane.silences == 0
    assert send(lane, 5 * HOUR_MS + RESEND_MS) == [2, 3]
    assert lane.silences == 1


def test_a_row_lost_on_the_way_is_sent_again_while_others_are_acked(outbox, lane):
    queue(outbox, event(), event())
    send(lane, 0)
    for now_ms in range(1_000, 400_000, 1_000):
        queue(outbox, event())
        seqs = send(lane, now_ms)
        ack(lane, now_ms, *(seq for seq in seqs if seq != 1))
        assert (1 in seqs) == (now_ms in (60_000, 180_000))
    assert lane.silences == 0


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["queue", "send", "ack", "lose", "reconnect"]), st.integers(1, 40))))
def test_whatever_happens_everything_is_sent_until_it_is_acked(tmp_path_factory, steps):
    with Outbox(tmp_path_factory.mktemp("lane") / "a") as outbox:
        lane, now_ms = Lane(outbox, RESEND_MS), 0
        on_the_way: list[int] = []
        for what, number in steps:
            now_ms += 1_000 * number
            if what == "queue":
                queue(outbox, *[event()] * number)
            elif what == "send":
                on_the_way += send(lane, now_ms)
            elif what == "ack":
                ack(lane, now_ms, *on_the_way[:number])
                on_the_way = on_the_way[number:]
            elif what == "lose":
                on_the_way = on_the_way[number:]
            else:
                lane.reconnected()
        for _ in range(100):
            now_ms += RESEND_MAX_MS
            ack(lane, now_ms, *send(lane, now_ms))
        assert outbox.waiting() == 0
        assert (lane._sent, lane._road) == ({}, set())


def test_an_ack_is_younger_than_the_first_sending_of_any_of_its_rows(outbox, lane):
    """Of a row that was sent twice either sending may be the one that is acked."""
    queue(outbox, event(), event(), event())
    assert send(lane, 1_000) == [1, 2, 3]
    queue(outbox, event())
    assert send(lane, 5_000) == [4]
    lane.reconnected()
    assert send(lane, 9_000) == [1, 2, 3, 4]
    assert lane.acked([(1, 2)], 9_500) == 1_000
    assert lane.acked([(1, 4)], 9_600) == 5_000
    assert lane.acked([(1, 4)], 9_700) is None  # an old ack again: when it was made is not known


def test_when_a_row_of_an_earlier_start_was_first_sent_is_not_known(outbox):
    """An ack of its first sending may have been held up until after the restart."""
    queue(outbox, event(), event())
    restarted = Lane(outbox, RESEND_MS)
    queue(outbox, event())
    assert send(restarted, 1_000) == [1, 2, 3]
    assert restarted.acked([(1, 2)], 1_500) is None
    assert restarted.acked([(3, 3)], 1_500) == 1_000


@pytest.mark.parametrize("seed", range(6))
def test_no_ack_was_made_before_the_time_told_for_it_whatever_is_held_up_doubled_or_restarted(outbox, seed):
    chance, now_ms, told = random.Random(seed), 0, 0
    lane, road, acks = Lane(outbox, RESEND_MS), [], []
    for _ in range(300):
        now_ms += chance.choice([100, 1_000, 5_000, 60_000])
        if chance.random() < 0.2:
            queue(outbox, event())
        if chance.random() < 0.03:
            lane = Lane(outbox, RESEND_MS)  # another process
        if chance.random() < 0.05:
            lane.reconnected()
        for due_ms, made_ms, seqs in [ack for ack in acks if ack[0] <= now_ms]:
            acks.remove((due_ms, made_ms, seqs))
            outbox.release(outbox.stream_id, [(seq, seq) for seq in seqs])
            sent_ms = lane.acked([(seq, seq) for seq in seqs], now_ms)
            assert sent_ms is None or sent_ms <= made_ms
            told += sent_ms is not None
            if chance.random() < 0.2:
                acks.append((now_ms + chance.randrange(600_000), made_ms, seqs))
        road += [(now_ms + chance.choice([10, 300_000]), seq) for seq in send(lane, now_ms) if chance.random() < 0.7]
        if come := [seq for due_ms, seq in road if due_ms <= now_ms]:
            road = [sent for sent in road if sent[0] > now_ms]
            acks.append((now_ms + chance.choice([10, 2_000, 90_000, 900_000]), now_ms, come))
    assert told > 10
