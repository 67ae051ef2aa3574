"""An agent whose computer's clock is contradicted by the insurer's acks: what its messages say, and what not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.agent import Agent
from device.contract import bodies, topics
from device.contract import wire_pb2 as pb
from device.contract.broker import BrokerAddress
from device.outbox import Outbox
from device.uplink import Uplink
from device.uplink_connection import Heard
from tests.device.agents import FULL, MONDAY_MS, SIGNER, STREAM, decoded, drive, of_kind, payloads
from tests.device.queued import event, queue

HOUR_MS = 3_600_000
SHORT = replace(FULL, batch_ms=20_000)
TRIP_MS = 60_000
NEXT_MS = 600_000  # after the trip has ended


class Computer:
    """Its clock says that NTP keeps it."""

    boot_id, quality = b"boot", pb.CLOCK_NTP

    def __init__(self, off_ms: int = 0) -> None:
        self.off_ms = off_ms

    def utc_ms(self, mono_ms: int) -> int:
        return MONDAY_MS + mono_ms + self.off_ms

    def utc_offset_min(self, utc_ms: int) -> int | None:
        return 60


def acked(agent: Agent, now_ms: int, false_ms: int = 0) -> None:
    """An ack comes that was 2 s on its way; a false one tells another time."""
    agent.hear_insurer(MONDAY_MS + now_ms - 1_000 + false_ms, now_ms - 2_000, now_ms)


def two_trips(path, off_ms, acks_at_ms, false_ms=0, *, timed=True):
    """Messages of two trips; acks come at these times, and tell the insurer's or not."""
    path.unlink(missing_ok=True)
    with Outbox(path, STREAM) as outbox:
        agent, acks = Agent(SHORT, outbox, SIGNER.sign, Computer(off_ms)), sorted(acks_at_ms)
        for reading in [*drive(TRIP_MS // 1_000), *drive(TRIP_MS // 1_000, seed=2, start_ms=NEXT_MS)]:
            while acks and acks[0] <= reading.t_ms:
                agent.advance(acks[0])
                now_ms = acks.pop(0)
                if timed:
                    acked(agent, now_ms, false_ms)
            agent.push(reading)
        agent.finish()
        return decoded(payloads(outbox))


def counted(messages):
    told = [health.counters for health in of_kind(messages, bodies.Health)]
    return sum(counters.get("clock_contradicted", 0) for counters in told)


def driven(messages):
    """What a trip tells besides UTC."""
    kinds = (bodies.Event, bodies.Motion, bodies.TripEnd)
    told = [message.body for message in messages if isinstance(message.body, kinds)]
    return [replace(body, trip_seq=0) for body in told]


@pytest.mark.parametrize("off_ms", [-3 * HOUR_MS, 3 * HOUR_MS])
def test_an_ack_in_a_trip_makes_its_clock_doubtful_and_the_next_trip_has_no_local_hours(tmp_path, off_ms):
    messages = two_trips(tmp_path / "outbox", off_ms, [30_000, 45_000])
    first, second = of_kind(messages, bodies.TripStart)
    assert (first.utc_offset_min, second.utc_offset_min) == (60, None)
    qualities = [message.header.clock_quality for message in messages]
    assert qualities[0] == pb.CLOCK_NTP
    assert set(qualities[qualities.index(pb.CLOCK_CONTRADICTED) :]) == {pb.CLOCK_CONTRADICTED}
    assert counted(messages) == 1


def test_an_ack_after_a_trip_is_told_at_once(tmp_path):
    messages = two_trips(tmp_path / "outbox", -3 * HOUR_MS, [NEXT_MS - 60_000])
    ended = next(n for n, message in enumerate(messages) if isinstance(message.body, bodies.TripEnd))
    after = messages[ended + 1]
    assert after.header.clock_quality == pb.CLOCK_CONTRADICTED
    assert after.header.mono_ms == NEXT_MS - 60_000
    assert after.body.counters["clock_contradicted"] == 1


@given(acks=st.lists(st.integers(0, NEXT_MS + TRIP_MS), max_size=4), off_s=st.integers(-60, 60))
@settings(max_examples=5, deadline=None)
def test_acks_to_a_clock_within_a_minute_change_no_byte(tmp_path_factory, acks, off_s):
    path = tmp_path_factory.mktemp("outbox") / "outbox"
    silent = two_trips(path, off_s * 1_000, acks, timed=False)
    assert two_trips(path, off_s * 1_000, acks) == silent


@given(acks=st.lists(st.integers(0, NEXT_MS + TRIP_MS), max_size=4), false_ms=st.integers(-(2**62), 2**62))
@settings(max_examples=5, deadline=None)
def test_a_false_ack_moves_no_time_and_no_event_it_only_makes_clocks_doubtful(tmp_path_factory, acks, false_ms):
    path = tmp_path_factory.mktemp("outbox") / "outbox"
    right, fooled = two_trips(path, 0, acks, timed=False), two_trips(path, 0, acks, false_ms)
    starts = [of_kind(messages, bodies.TripStart) for messages in (right, fooled)]
    assert [start.started_at_ms for start in starts[0]] == [start.started_at_ms for start in starts[1]]
    assert all(message.header.queued_at_ms == MONDAY_MS + message.header.mono_ms for message in fooled)
    assert without_hours(driven(fooled)) == without_hours(driven(right))


def without_hours(told):
    return [
        replace(body, summary=replace(body.summary, distance_by_hour_mm={})) if hasattr(body, "summary") else body
        for body in told
    ]


def unconnected(folder):
    """An uplink with nobody to talk to, its outbox, and the times that it tells."""
    told = []
    outbox = Outbox(folder / "outbox", STREAM)
    uplink = Uplink("car", BrokerAddress("127.0.0.1", 1, tls=False), on_time=lambda *times: told.append(times))
    uplink.add(outbox)
    return uplink, outbox, told


def test_the_time_in_an_ack_is_told_with_a_time_that_is_surely_after_it_came(tmp_path):
    """A step that was held up for minutes finds acks that came long after it began."""
    uplink, outbox, told = unconnected(tmp_path)
    queue(outbox, event(), event())
    (lane,) = uplink._lanes.values()
    for now_ms in (1_000, 3_000):
        lane.sent(lane.due(now_ms)[0], now_ms)
    ack = pb.Ack(stream_id=outbox.stream_id, stored=[pb.Range(first=1, last=2)], acked_at_ms=1_767_225_600_000)
    uplink._heard(Heard(topics.ack("car"), ack.SerializeToString()), 4_000)
    assert told == []
    uplink._tell_time(240_000)
    uplink._heard(Heard(topics.ack("car"), ack.SerializeToString()), 241_000)  # the same again: sent when?
    uplink._tell_time(242_000)
    assert told == [(1_767_225_600_000, 3_000, 240_000)]
    outbox.close()


def test_an_ack_without_a_time_tells_none(tmp_path):
    uplink, outbox, told = unconnected(tmp_path)
    queue(outbox, event())
    (lane,) = uplink._lanes.values()
    lane.sent(1, 1_000)
    ack = pb.Ack(stream_id=outbox.stream_id, stored=[pb.Range(first=1, last=1)])
    uplink._heard(Heard(topics.ack("car"), ack.SerializeToString()), 2_000)
    uplink._tell_time(2_100)
    assert (told, outbox.waiting()) == ([], 0)
    outbox.close()
