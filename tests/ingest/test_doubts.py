"""A contradicted clock is told of the trips of its boot, whenever what says so comes."""

from __future__ import annotations

import random
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.contract import topics, wire
from device.contract import wire_pb2 as pb
from ingest import seal as sealing
from ingest.contract.lake import Lake
from ingest.seal import seal
from ingest.worker import Worker
from tests.ingest.drive import START_MS, Drive, Sent

HOUR_MS = 3_600_000
DAY_MS = 86_400_000
TRIPS = 4
SLOW = -3 * HOUR_MS


def told(drive, clock_of):
    """The drive's messages again: `clock_of` gives boot, error and quality of a seq."""
    sent, before = [], b""
    for message in drive.messages:
        opened = wire.decode(message.payload)
        boot, error_ms, quality = clock_of(message.seq)
        body, queued_ms = opened.body, opened.header.queued_at_ms + error_ms
        if hasattr(body, "started_at_ms"):
            body = replace(body, started_at_ms=body.started_at_ms + error_ms, recording="")
        header = replace(opened.header, boot_id=boot, clock_quality=quality, queued_at_ms=queued_ms, prev_hash=before)
        encoded = wire.encode(header, body)
        before = encoded.hash
        sent.append(Sent(topics.up(drive.device_id), encoded.payload, message.seq, encoded.hash))
    return sent


def two_boots(device):
    """Four trips, and health after each: two of a boot that is contradicted by its last message, two of the next."""
    drive = Drive(device)
    for _ in range(TRIPS):
        drive.trip(batches=1)
        drive.health()
    half = len(drive.messages) // 2

    def clock_of(seq):
        if seq > half:
            return b"two", 0, pb.CLOCK_NTP
        return b"one", SLOW, pb.CLOCK_CONTRADICTED if seq == half else pb.CLOCK_NTP

    return told(drive, clock_of)


def store(lake, number, messages, received_ms):
    worker = Worker(lake, f"w{number}", lambda topic, payload: None)
    for message in messages:
        worker.take(message.topic, message.payload, received_ms)
    worker.flush(received_ms)


def trips(lake):
    return lake.scan("trips").sort("device_id", "seq").collect()


def test_trips_that_were_driven_before_the_first_ack_are_flagged_by_what_the_device_says_after_them(tmp_path):
    lake, messages = Lake(tmp_path), two_boots("car")
    half = len(messages) // 2
    store(lake, 0, messages[: half - 1], START_MS + DAY_MS)
    seal(lake, START_MS + DAY_MS)
    assert trips(lake)["clock_suspect"].to_list() == [False, False]  # late, as a dead zone is
    store(lake, 1, messages[half - 1 :], START_MS + DAY_MS + 1)
    seal(lake, START_MS + 2 * DAY_MS)
    assert trips(lake)["clock_suspect"].to_list() == [True, True, False, False]


@pytest.mark.parametrize(("right_ms", "suspect"), [(SLOW + 60_000, True), (0, False)])
def test_only_the_clock_that_was_contradicted_is_doubted(tmp_path, right_ms, suspect):
    """In one boot the first trip ran on GNSS, which may agree with the computer's clock or not."""
    drive = Drive("car")
    drive.trip()
    drive.health()
    last = len(drive.messages)
    gnss, ntp = (b"one", right_ms, pb.CLOCK_GNSS), (b"one", SLOW, pb.CLOCK_CONTRADICTED)
    lake = Lake(tmp_path)
    store(lake, 0, told(drive, lambda seq: ntp if seq == last else gnss), START_MS + DAY_MS)
    seal(lake, START_MS + DAY_MS)
    assert trips(lake)["clock_suspect"].to_list() == [suspect]


@given(seed=st.integers(0, 2**32), steps=st.integers(2, 6))
@settings(max_examples=6, deadline=None)
def test_in_whatever_order_and_steps_they_come_the_same_is_sealed(tmp_path_factory, seed, steps):
    rng, root = random.Random(seed), tmp_path_factory.mktemp("lakes")
    sent = [message for device in ("car", "bus") for message in two_boots(device)]
    sent += rng.choices(sent, k=8)
    rng.shuffle(sent)
    cuts = sorted(rng.randrange(len(sent)) for _ in range(steps - 1))
    now_ms, stepwise, at_once = START_MS + DAY_MS, Lake(root / "steps"), Lake(root / "once")
    for number, (first, end) in enumerate(zip([0, *cuts], [*cuts, len(sent)], strict=True)):
        now_ms += HOUR_MS
        store(stepwise, number, sent[first:end], now_ms)
        store(at_once, number, sent[first:end], now_ms)
        seal(stepwise, now_ms)
    seal(at_once, now_ms)
    assert trips(stepwise).equals(trips(at_once))
    assert trips(at_once).select("device_id", "clock_suspect").group_by("device_id").agg(
        pl.col("clock_suspect").sum()
    ).sort("device_id").rows() == [("bus", 2), ("car", 2)]
    seal(stepwise, now_ms, afresh=True)
    assert trips(stepwise).equals(trips(at_once))


def test_a_doubt_that_is_told_again_and_again_reopens_nothing(tmp_path, monkeypatch):
    steps, real = [], sealing.advance
    monkeypatch.setattr(sealing, "advance", lambda *known, **how: steps.append(real(*known, **how)) or steps[-1])
    drive, lake = Drive("car"), Lake(tmp_path)
    drive.trip()
    for _ in range(3):
        drive.health()
    sent = told(
        drive, lambda seq: (b"one", SLOW + seq, pb.CLOCK_CONTRADICTED if seq > 6 else pb.CLOCK_NTP)
    )  # it jitters
    for number, part in enumerate((sent[:-3], sent[-3:-2], sent[-2:-1], sent[-1:])):
        store(lake, number, part, START_MS + DAY_MS + number)
        seal(lake, START_MS + DAY_MS + number)
    assert [step.reopened.height for step in steps] == [0, 1, 0, 0]


def three_trips(contradicted):
    """Trips of one boot with health after each, and what is said in some of their messages."""
    drive = Drive("car")
    for _ in range(3):
        drive.trip(batches=1)
        drive.health()
    each = len(drive.messages) // 3
    qualities = {True: pb.CLOCK_CONTRADICTED, False: pb.CLOCK_NTP}
    sent = told(drive, lambda seq: (b"one", 0, qualities[contradicted(seq, each)]))
    return [sent[first : first + each] for first in range(0, 3 * each, each)]


def test_an_hour_in_which_our_own_clock_is_wrong_does_not_flag_what_a_long_boot_drove_before_and_after(tmp_path):
    before, during, after = three_trips(lambda seq, each: each < seq <= 2 * each)
    lake = Lake(tmp_path)
    store(lake, 0, before, START_MS + 60_000)  # at once
    store(lake, 1, during, START_MS + HOUR_MS)
    store(lake, 2, after, START_MS + DAY_MS)  # out of a dead zone, by a clock that acks agree with again
    seal(lake, START_MS + DAY_MS)
    assert trips(lake)["clock_suspect"].to_list() == [False, True, False]


def test_a_doubt_that_is_told_later_reaches_what_was_driven_in_between_and_reopens_only_that(tmp_path, monkeypatch):
    steps, real = [], sealing.advance
    monkeypatch.setattr(sealing, "advance", lambda *known, **how: steps.append(real(*known, **how)) or steps[-1])
    first, second, third = three_trips(lambda seq, each: seq in (each, 3 * each))
    lake = Lake(tmp_path)
    for number, part in enumerate((first, second, third[:-1], third[-1:])):
        store(lake, number, part, START_MS + DAY_MS + number)
        seal(lake, START_MS + DAY_MS + number)
    assert [step.reopened.height for step in steps] == [0, 0, 0, 2]
    assert trips(lake)["clock_suspect"].to_list() == [True, True, True]
