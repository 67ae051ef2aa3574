"""Brokers that misbehave, die and come back; disks and acks likewise. The caller never waits and never hears of it."""

from __future__ import annotations

import random
import resource
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from device.contract import topics
from device.contract import wire_pb2 as pb
from device.contract.broker import BrokerAddress, parse_broker
from device.outbox import Outbox
from device.uplink import NO_ACK, READY_WITHIN_MS, RECONNECT_MAX_MS, RESEND_MS, SUSPECT_MS, Uplink
from device.uplink_connection import INBOX_SIZE, Heard
from tests.device.queued import event, impact, motion, queue, trip_end
from tests.device.scripted_broker import (
    CONNACK,
    CONNECT,
    PUBLISH,
    SUBACK,
    SUBSCRIBE,
    Answer,
    ScriptedBroker,
    connack,
    packet,
    publish,
    suback,
)
from tests.insurer import Insurer, ack, until

STREAM = bytes(range(16))
HOUR_MS = 3_600_000


@pytest.fixture
def outbox(tmp_path):
    with Outbox(tmp_path / "outbox", STREAM) as outbox:
        yield outbox


def uplink_to(port: int, outbox: Outbox, **options: Any) -> Uplink:
    uplink = Uplink("car", BrokerAddress("127.0.0.1", port, tls=False), draw=lambda: 0.0, **options)
    uplink.add(outbox)
    return uplink


def polite(kind: int, content: bytes) -> list[bytes]:
    """What a broker says to a client that may do everything."""
    if kind == CONNECT:
        return [connack()]
    return [suback(content)] if kind == SUBSCRIBE else []


def mute(_kind: int, _content: bytes) -> list[bytes]:
    return []


def deaf_to_subscriptions(kind: int, content: bytes) -> list[bytes]:
    return [] if kind == SUBSCRIBE else polite(kind, content)


@pytest.mark.parametrize("answer", [mute, deaf_to_subscriptions])
def test_a_broker_that_stops_answering_before_we_are_ready_is_left_and_tried_again(outbox, answer):
    with ScriptedBroker(answer) as broker:
        uplink = uplink_to(broker.port, outbox)
        until(lambda: len(broker.heard) == (1 if answer is mute else 2), lambda: uplink.step(0))
        uplink.step(READY_WITHIN_MS - 1)
        assert uplink.counters["stuck"] == 0
        uplink.step(READY_WITHIN_MS)
        assert (uplink.counters["stuck"], uplink.last_error, uplink.is_ready) == (1, "no answer within 30 s", False)
        broker.answer = polite
        until(lambda: uplink.is_ready, lambda: uplink.step(2 * READY_WITHIN_MS, 0.01))
        assert broker.connections == 2
        uplink.stop()


def test_a_late_answer_to_an_abandoned_connection_is_no_second_connection(outbox):
    """Two connections of one device would throw each other out at the broker, for ever."""
    late = threading.Event()

    def slow(kind: int, content: bytes) -> list[bytes]:
        if kind == CONNECT and broker.connections == 1:
            late.wait(20)
        return polite(kind, content)

    with ScriptedBroker(slow) as broker:
        uplink = uplink_to(broker.port, outbox)
        until(lambda: broker.heard == [CONNECT], lambda: uplink.step(0))
        uplink.step(READY_WITHIN_MS)
        until(lambda: uplink.is_ready, lambda: uplink.step(2 * READY_WITHIN_MS, 0.01))
        late.set()
        uplink.step(2 * READY_WITHIN_MS, 0.1)
        assert uplink.is_ready
        assert broker.heard.count(SUBSCRIBE) == 1
        uplink.stop()


def then(*said: bytes) -> Answer:
    """A broker that is polite until we are ready, and then says this."""
    return lambda kind, content: [*polite(kind, content), *(said if kind == SUBSCRIBE else ())]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda kind, _: [connack(5)] if kind == CONNECT else [], "refused: Not authorized"),
        (lambda kind, content: [connack()] if kind == CONNECT else [suback(content, 0x80, 1)], "may not read"),
        (lambda kind, content: [connack()] if kind == CONNECT else [packet(SUBACK, content[:2])], "may not read"),
        (lambda _kind, _content: [b"HTTP/1.1 400 Bad Request\r\n\r\n"], "no answer within 30 s"),
        (lambda _kind, _content: [b"\x20\xff\xff\xff\xff\xff"], "disconnected"),
        (lambda _kind, _content: [packet(CONNACK, b"")], "disconnected"),
        (then(b"\xf0\x00"), ""),
        (then(packet(SUBACK, b"")), ""),
        (then(packet(PUBLISH, b"\x00\x05ab")), ""),
        (then(packet(PUBLISH, b"\x00\x01\xffpayload")), ""),
        (then(packet(PUBLISH, b"", flags=6)), ""),
    ],
)
def test_a_broker_that_refuses_or_talks_nonsense_is_tried_again(outbox, answer, why):
    with ScriptedBroker(answer) as broker:
        uplink = uplink_to(broker.port, outbox)
        until(lambda: broker.heard, lambda: uplink.step(0, 0.01))
        uplink.step(0, 0.2)
        until(lambda: uplink.counters["failures"], lambda: uplink.step(READY_WITHIN_MS, 0.01))
        assert why in uplink.last_error
        broker.answer = polite
        until(lambda: uplink.is_ready, lambda: uplink.step(READY_WITHIN_MS + RECONNECT_MAX_MS, 0.01))
        uplink.stop()


def test_a_broker_may_refuse_the_configuration_alone(outbox):
    with ScriptedBroker(
        lambda kind, content: [suback(content, 1, 0x80)] if kind == SUBSCRIBE else polite(kind, content)
    ) as broker:
        uplink = uplink_to(broker.port, outbox)
        until(lambda: uplink.is_ready, lambda: uplink.step(0, 0.01))
        uplink.stop()


def test_what_comes_on_the_configuration_topic_is_handed_on(outbox):
    config = topics.config("car")
    taken: list[bytes] = []
    with ScriptedBroker(then(publish(config, b"signed"), publish(config, bytes(70_000)))) as broker:
        uplink = uplink_to(broker.port, outbox, on_config=taken.append)
        until(lambda: taken and uplink.counters["dropped"], lambda: uplink.step(0, 0.01))
        assert taken == [b"signed"]
        assert uplink.counters["dropped"] == 1
        uplink.stop()


def test_a_flood_of_acks_takes_a_bounded_share_of_each_step_and_of_memory(outbox):
    queue(outbox, *[event()] * 10)
    large = pb.Ack(stream_id=STREAM, stored=[pb.Range(first=n, last=n) for n in range(100, 5_000)]).SerializeToString()
    flood: list[bytes] = [publish(topics.ack("car"), large)] * (INBOX_SIZE + 500)
    sent = threading.Event()

    def answer(kind: int, content: bytes) -> list[bytes]:
        if kind == PUBLISH and not sent.is_set():
            sent.set()
            return flood
        return polite(kind, content)

    with ScriptedBroker(answer) as broker:
        uplink = uplink_to(broker.port, outbox)
        until(
            lambda: sent.is_set() and uplink._inbox.qsize() == INBOX_SIZE,
            lambda: None if sent.is_set() else uplink.step(0, 0.01),
        )
        connection = uplink._connection
        assert connection is not None
        until(lambda: connection.dropped >= 100)
        before = uplink._inbox.qsize()
        uplink.step(0)
        assert before - uplink._inbox.qsize() < 20
        assert uplink.counters["dropped"] >= 100
        assert outbox.waiting() == 10
        uplink.stop()


def test_rows_on_the_road_and_no_ack_for_long_make_the_connection_suspect(outbox):
    """A broker that forgot our subscription looks like this from the car."""
    with ScriptedBroker(polite) as broker:
        uplink = uplink_to(broker.port, outbox)
        queue(outbox, event())
        until(lambda: uplink.is_ready, lambda: uplink.step(0, 0.01))
        now_ms = 0
        while uplink.is_ready:
            now_ms += 1_000
            uplink.step(now_ms)
        assert (now_ms, uplink.last_error) == (420_000, f"no ack for 420 s{NO_ACK}")
        assert uplink.counters["silences"] == 3  # after 60, 180 and 420 s
        until(lambda: uplink.is_ready, lambda: uplink.step(now_ms + SUSPECT_MS, 0.01))
        uplink.stop()


def test_an_idle_connection_is_never_suspect(outbox):
    with ScriptedBroker(polite) as broker:
        uplink = uplink_to(broker.port, outbox)
        until(lambda: uplink.is_ready, lambda: uplink.step(0, 0.01))
        for now_ms in range(0, 48 * HOUR_MS, 60_000):
            uplink.step(now_ms)
        assert uplink.is_ready
        assert broker.connections == 1
        uplink.stop()


@pytest.mark.broker
def test_hours_without_a_broker_cost_one_attempt_a_minute_and_no_memory(mosquitto, outbox):
    mosquitto.kill9()
    uplink = uplink_to(mosquitto.port, outbox)
    uplink._draw = lambda: 1.0
    queue(outbox, *[motion(10), event(), trip_end()] * 20)
    threads = threading.active_count()
    for now_ms in range(0, 3 * HOUR_MS, 5_000):
        uplink.step(now_ms)
        if uplink._connection is not None:
            failures = uplink.counters["failures"]
            until(
                lambda failures=failures: uplink.counters["failures"] > failures,
                lambda now_ms=now_ms: uplink.step(now_ms, 0.01),
            )
    assert 170 <= uplink.counters["failures"] <= 190
    assert threading.active_count() <= threads + 1
    assert uplink._inbox.qsize() == 0
    mosquitto.start()
    with Insurer(mosquitto.port) as insurer:
        until(lambda: outbox.waiting() == 0, lambda: uplink.step(4 * HOUR_MS, 0.01))
        assert len(insurer.stream) == 60
    uplink.stop()


@pytest.mark.broker
def test_after_an_outage_accidents_come_first_then_trips_then_motion(mosquitto, outbox):
    queue(outbox, *[motion(20), motion(20), event(), trip_end()] * 30, impact(), motion(20))
    uplink = uplink_to(mosquitto.port, outbox)
    with Insurer(mosquitto.port) as insurer:
        until(lambda: outbox.waiting() == 0, lambda: uplink.step(0, 0.01))
        kinds = [type(message.body).__name__ for message in insurer.messages]
    assert kinds[0] == "Impact"
    assert set(kinds[1:61]) == {"Event", "TripEnd"}
    assert set(kinds[61:]) == {"Motion"}
    uplink.stop()


@pytest.mark.broker
@pytest.mark.timeout(120)
def test_a_broker_killed_again_and_again_loses_and_doubles_nothing(mosquitto, outbox):
    draw = random.Random(4)
    uplink = Uplink("car", parse_broker(mosquitto.url), resend_ms=2_000, draw=lambda: 0.0)
    uplink.add(outbox)
    held: dict[int, bytes] = {}
    now_ms, made = 0, []

    def step() -> None:
        nonlocal now_ms
        now_ms += 50
        uplink.step(now_ms, 0.005)

    for _ in range(8):
        made += queue(outbox, *[draw.choice([event(), motion(30), trip_end(), impact()]) for _ in range(60)])
        with Insurer(mosquitto.port) as insurer:
            enough = draw.randrange(10, 60)
            until(lambda insurer=insurer, enough=enough: len(insurer.payloads) >= enough, step)
            mosquitto.kill9()
            held |= {message.header.seq: p for message, p in zip(insurer.messages, insurer.payloads, strict=False)}
        mosquitto.start()
    with Insurer(mosquitto.port) as insurer:
        until(lambda: outbox.waiting() == 0, step)
        held |= {message.header.seq: p for message, p in zip(insurer.messages, insurer.payloads, strict=True)}
    assert [held[seq] for seq in range(1, len(made) + 1)] == made
    uplink.stop()


def test_an_outbox_on_a_disk_that_takes_nothing_stops_neither_the_uplink_nor_the_caller(mosquitto, outbox, tmp_path):
    queue(outbox, *[event()] * 3)
    uplink = uplink_to(mosquitto.port, outbox)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Insurer(mosquitto.port, takes=lambda _: False) as insurer:
        until(lambda: len(insurer.payloads) == 3, lambda: uplink.step(0, 0.01))
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "outbox-wal").stat().st_size, limits[1]))
        try:
            insurer.say("car", ack(STREAM, 1, 2, 3))
            until(lambda: uplink.counters["disk_refusals"], lambda: uplink.step(0, 0.01))
            assert (outbox.waiting(), uplink.is_ready) == (3, True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        until(lambda: len(insurer.payloads) == 6, lambda: uplink.step(RESEND_MS, 0.01))
        insurer.say("car", ack(STREAM, 1, 2, 3))
        until(lambda: outbox.waiting() == 0, lambda: uplink.step(RESEND_MS, 0.01))
    uplink.stop()


def hostile_acks(draw: random.Random, count: int) -> Iterator[bytes]:
    """Noise, and acks with bytes changed, cut off, doubled or inserted."""
    for number in range(count):
        edges = [draw.randrange(2 ** draw.randrange(1, 63)) for _ in range(2 * draw.randrange(4))]
        spans = [pb.Range(first=first, last=last) for first, last in zip(edges[::2], edges[1::2], strict=True)]
        stream = STREAM if draw.random() < 0.9 else draw.randbytes(draw.randrange(20))
        valid = bytearray(pb.Ack(stream_id=stream, stored=spans[:2], rejected=spans[2:]).SerializeToString())
        if number % 4 == 0:
            yield draw.randbytes(draw.randrange(60))
            continue
        for _ in range(draw.randrange(3)):
            at = draw.randrange(len(valid) + 1)
            match draw.randrange(4):
                case 0 if at < len(valid):
                    valid[at] = draw.randrange(256)
                case 1:
                    del valid[at:]
                case 2:
                    valid[at:at] = draw.randbytes(draw.randrange(1, 12))
                case _:
                    valid += valid[:at]
        yield bytes(valid)


def suffer_acks(outbox: Outbox, seed: int, count: int) -> None:
    """Every input is an ack that deletes what it names, or is counted and deletes nothing."""
    uplink = Uplink("car", BrokerAddress("127.0.0.1", 1, tls=False))
    uplink.add(outbox)
    topics_heard = [topics.ack("car")] * 8 + [topics.ack("other"), topics.config("car"), ""]
    draw = random.Random(seed)
    for number, payload in enumerate(hostile_acks(draw, count)):
        if outbox.waiting() < 20:
            queue(outbox, *[event()] * 50)
        topic, before, bad = draw.choice(topics_heard), outbox.waiting(), uplink.counters["bad_acks"]
        uplink._heard(Heard(topic, payload), number)
        if topic != topics.ack("car") or uplink.counters["bad_acks"] > bad:
            assert outbox.waiting() == before, f"seed {seed}, input {number}: {payload.hex()}"
        else:
            pb.Ack.FromString(payload)
    assert uplink.counters["bad_acks"] > count // 5
    assert outbox.stored + outbox.rejected == outbox.next_seq - 1 - outbox.waiting() > 0


def test_hostile_acks_delete_what_they_name_or_nothing(outbox):
    suffer_acks(outbox, seed=1, count=5_000)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_million_hostile_acks(outbox):
    suffer_acks(outbox, seed=random.randrange(2**32), count=1_000_000)
