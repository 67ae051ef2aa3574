"""Time inside the agent is monotonic: no clock, however wrong, changes an event, a duration or an order."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from device.agent import Agent
from device.contract import bodies
from device.contract import wire_pb2 as pb
from device.contract.signals import Reading
from device.outbox import Outbox
from tests.device.agents import FULL, MONDAY_MS, SIGNER, STREAM, decoded, drive, payloads

DAY_MS = 86_400_000
WRONG_BY_MS = (0, 1, DAY_MS, -DAY_MS, 25 * 365 * DAY_MS, -25 * 365 * DAY_MS, 3_600_000, -1_000)
SECONDS = 600


class WildClock:
    """A clock that jumps whenever it likes, runs backwards in between, and says of itself whatever it likes."""

    boot_id = b"boot"

    def __init__(self, seed: int, jumps_per_ask: float) -> None:
        self._draw = random.Random(seed)
        self._jumps_per_ask = jumps_per_ask
        self._wrong_by_ms = self._draw.choice(WRONG_BY_MS)
        self._backwards = self._draw.random() < 0.3

    @property
    def quality(self) -> int:
        return self._draw.choice([pb.CLOCK_UNKNOWN, pb.CLOCK_NTP, pb.CLOCK_GNSS])

    def utc_ms(self, mono_ms: int) -> int:
        if self._draw.random() < self._jumps_per_ask:
            self._wrong_by_ms = self._draw.choice(WRONG_BY_MS)
        return MONDAY_MS + self._wrong_by_ms + (-mono_ms if self._backwards else mono_ms)

    def utc_offset_min(self, utc_ms: int) -> int | None:
        return self._draw.choice([None, 60, -720])


class RightClock(WildClock):
    quality = pb.CLOCK_NTP

    def utc_ms(self, mono_ms: int) -> int:
        return MONDAY_MS + mono_ms

    def utc_offset_min(self, utc_ms: int) -> int | None:
        return 60


def with_gnss(readings: list[Reading], seed: int) -> list[Reading]:
    """The same with a receiver's UTC now and then, which is as wrong as it likes."""
    draw, told = random.Random(seed), []
    for reading in readings:
        told.append(reading)
        if draw.random() < 0.2:
            wrong_ms = draw.choice(WRONG_BY_MS) if draw.random() < 0.3 else 0
            told.append(Reading(reading.t_ms, "gnss_utc_s", (MONDAY_MS + reading.t_ms + wrong_ms) / 1_000))
    return told


def told(path: Any, readings: list[Reading], clock: Any) -> tuple[list[bodies.Body], list[int]]:
    """Bodies without what tells UTC, and the monotonic times of their messages."""
    with Outbox(path, STREAM) as outbox:
        agent = Agent(replace(FULL, commit_ms=1_000_000), outbox, SIGNER.sign, clock)
        for reading in readings:
            agent.push(reading)
        for now_ms in range(readings[-1].t_ms, readings[-1].t_ms + 200_000, 5_000):
            agent.advance(now_ms)
        messages = decoded(payloads(outbox))
    return [timeless(message.body) for message in messages if message.body], [
        message.header.mono_ms for message in messages
    ]


def timeless(body: bodies.Body) -> bodies.Body:
    if isinstance(body, bodies.TripStart):
        return replace(body, started_at_ms=0, utc_offset_min=None)
    if isinstance(body, bodies.TripEnd):
        return replace(body, summary=replace(body.summary, distance_by_hour_mm={}))
    return body


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.05, 1.0]))
def test_a_clock_as_wrong_as_it_likes_changes_no_event_no_duration_and_no_order(tmp_path_factory, seed, jumps):
    folder = tmp_path_factory.mktemp("time")
    readings = with_gnss(drive(SECONDS, seed % 7), seed)
    right = told(folder / "right", readings, RightClock(0, 0))
    wild = told(folder / "wild", readings, WildClock(seed, jumps))
    assert wild == right
    assert any(isinstance(body, bodies.Event) for body in right[0])
    assert right[1] == sorted(right[1])


def test_a_clock_set_in_mid_trip_changes_only_what_is_told_of_utc(tmp_path):
    class Set(RightClock):
        def utc_ms(self, mono_ms: int) -> int:
            return mono_ms if mono_ms < 400_000 else super().utc_ms(mono_ms)

    readings = drive(SECONDS)
    assert told(tmp_path / "set", readings, Set(0, 0)) == told(tmp_path / "right", readings, RightClock(0, 0))
    with Outbox(tmp_path / "set", STREAM) as outbox:
        queued = [message.header.queued_at_ms for message in decoded(payloads(outbox))]
    assert min(queued) < MONDAY_MS < max(queued)


def test_local_time_is_not_known_where_the_clock_is_not(tmp_path):
    class Unknown(RightClock):
        quality = pb.CLOCK_UNKNOWN

    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = Agent(FULL, outbox, SIGNER.sign, Unknown(0, 0))
        for reading in drive(60):
            agent.push(reading)
        agent.finish()
        taken = [message.body for message in decoded(payloads(outbox))]
    (start,) = [body for body in taken if isinstance(body, bodies.TripStart)]
    (end,) = [body for body in taken if isinstance(body, bodies.TripEnd)]
    assert start.utc_offset_min is None
    assert end.summary.distance_by_hour_mm == {}
    assert end.summary.distance_mm > 0
