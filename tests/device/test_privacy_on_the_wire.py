"""What the agent and its uplink really published, read back at a real broker: nothing beyond the settings."""

from __future__ import annotations

import base64
import hashlib
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from device.agent import Agent, AgentSettings
from device.contract import bodies, wire
from device.contract import wire_pb2 as pb
from device.contract.broker import parse_broker
from device.contract.signals import Reading
from device.outbox import Outbox
from device.privacy import TABLE, Privacy
from device.uplink import Uplink
from tests.device.agents import SIGNER, STREAM, clock, drive
from tests.device.any_body import MESSAGES, present, taken

VIN = "WVWZZZ1JZXW386752"
SECONDS = 1_200
STRICT = AgentSettings("car", batch_ms=60_000)
SETTINGS = {
    Privacy(): STRICT,
    Privacy("coarse", "off"): replace(STRICT, location="coarse"),
    Privacy("full", "full"): replace(STRICT, location="full", motion=True),
}
WITHIN_S = 30.0
SAMPLES = 25  # positions that are searched for, spread over the drive


class Published(NamedTuple):
    """A message as the broker gave it."""

    topic: str
    payload: bytes


def place(t_ms: int) -> tuple[float, float]:
    """Where the car is: to the east along a curve, never twice at one place."""
    return 48.137_154 + 0.000_037 * t_ms / 1_000, 11.576_124 + 0.000_113 * t_ms / 1_000


def readings() -> list[Reading]:
    """A drive with a GNSS receiver that tells all it can."""
    told = drive(SECONDS)
    for t_ms in range(0, SECONDS * 1_000, 1_000):
        latitude, longitude = place(t_ms)
        told += [
            Reading(t_ms, "latitude_deg", latitude),
            Reading(t_ms, "longitude_deg", longitude),
            Reading(t_ms, "altitude_m", 519.3),
            Reading(t_ms, "gnss_fix", 1.0),
        ]
    return sorted(told, key=lambda reading: reading.t_ms)


@pytest.fixture(params=SETTINGS, ids=lambda privacy: f"location {privacy.location}, motion {privacy.motion}")
def published(request, mosquitto, tmp_path) -> tuple[Privacy, list[Published]]:
    """Settings, and everything that was published under them on any topic."""
    came: dict[tuple[str, bytes], None] = {}
    listener = mqtt.Client(CallbackAPIVersion.VERSION2)
    listener.on_message = lambda _client, _data, message: came.setdefault((message.topic, bytes(message.payload)))
    listener.connect("127.0.0.1", mosquitto.port)
    listener.subscribe("#", qos=1)
    deadline_s = time.monotonic() + WITHIN_S
    with Outbox(tmp_path / "outbox", STREAM) as outbox:
        agent = Agent(SETTINGS[request.param], outbox, SIGNER.sign, clock())
        agent.messages.vin_hash = SIGNER.vin_hash(VIN)
        for reading in readings():
            agent.push(reading)
        agent.finish()
        uplink = Uplink("car", parse_broker(mosquitto.url))
        uplink.add(outbox)
        while sum(topic.endswith("/up") for topic, _ in came) < outbox.next_seq - 1 and time.monotonic() < deadline_s:
            uplink.step(time.monotonic_ns() // 1_000_000, 0.01)
            listener.loop(0.01)
        uplink.stop()
        assert sum(topic.endswith("/up") for topic, _ in came) == outbox.next_seq - 1
    while ("ubi/v1/car/status", b"offline") not in came and time.monotonic() < deadline_s:
        listener.loop(0.01)
    listener.disconnect()
    return request.param, [Published(*one) for one in came]


def haystack(messages: list[Published]) -> bytes:
    """All bytes in the clear: topics, payloads, headers, and bodies without their compression."""
    parts = []
    for message in messages:
        parts += [message.topic.encode(), message.payload]
        if message.topic.endswith("/up"):
            parts.append(wire.body_bytes(message.payload))
    return b"\n".join(parts)


def encodings(value: float) -> Iterator[bytes]:
    """A coordinate as somebody might write it, to 100 m or better; nothing so short that it is found by chance."""
    for digits in range(3, 8):
        yield f"{value:.{digits}f}".encode()
    minutes = value % 1 * 60
    yield f"{int(value):02d}{minutes:07.4f}".encode()  # NMEA
    for order in "<>":
        yield struct.pack(f"{order}d", value)
        yield struct.pack(f"{order}f", value)
        for scale in (10**5, 10**6, 10**7):
            yield struct.pack(f"{order}i", round(value * scale))
    for scale in (10**5, 10**6, 10**7):
        yield varint(round(value * scale))
        yield varint(round(value * scale) << 1)  # zigzag


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def vin_encodings() -> Iterator[bytes]:
    for text in (VIN, VIN.lower(), VIN[::-1]):
        plain = text.encode()
        yield from (plain, plain.hex().encode(), base64.b64encode(plain).rstrip(b"="), text.encode("utf-16-le"))
        for name in ("md5", "sha1", "sha256", "blake2b"):
            digest = hashlib.new(name, plain).digest()
            yield from (digest[:8], digest.hex().encode()[:16])
    yield VIN[-8:].encode()


def positions_found(messages: list[Published]) -> int:
    hay = haystack(messages)
    wanted = [value for n in range(SAMPLES) for value in place(n * SECONDS * 1_000 // SAMPLES // 1_000 * 1_000)]
    return sum(encoding in hay for value in wanted for encoding in encodings(value))


def test_no_byte_beyond_the_settings_leaves_the_car(published):
    privacy, messages = published
    ups = {message.payload: taken(message.payload).body for message in messages if message.topic == "ubi/v1/car/up"}
    assert {message.topic for message in messages} == {"ubi/v1/car/up", "ubi/v1/car/status"}
    assert {message.payload for message in messages if message.topic.endswith("status")} == {b"online", b"offline"}
    assert {type(body) for body in ups.values()} >= {bodies.TripStart, bodies.Event, bodies.TripEnd, bodies.Health}

    # 1. every byte is a field that the table lets leave: none is unknown, none is there twice
    may = {(row.message, name) for row in TABLE if row.when.holds(privacy) for name in row.names}
    for payload, told in ups.items():
        kind = type(told)
        envelope = pb.Envelope.FromString(payload)
        header = pb.Header.FromString(envelope.header)
        body = MESSAGES[kind].FromString(wire.body_bytes(payload))
        assert envelope.SerializeToString(deterministic=True) == payload
        assert header.SerializeToString(deterministic=True) == envelope.header
        assert body.SerializeToString(deterministic=True) == wire.body_bytes(payload)
        assert {(wire.Header, field.name) for field, _ in header.ListFields()} <= may
        if kind in (bodies.Motion, bodies.Track):
            assert (kind, "trip_seq") in may
        else:
            assert {(kind, field.name) for field, _ in body.ListFields()} <= may
        assert not set(present(body)) & {"lat_cdeg", "lat_e5deg"} or privacy.location != "off"

    # 2. and whatever the fields are called, the values are not in the bytes
    hay = haystack(messages)
    assert [encoding for encoding in vin_encodings() if encoding in hay] == []
    assert SIGNER.vin_hash(VIN) in hay
    found = positions_found(messages)
    assert found > 0 if privacy.location == "full" else found == 0


def test_the_search_would_find_what_it_searches_for():
    latitude, longitude = place(0)
    leaks = [f"{latitude:.5f}".encode(), struct.pack("<d", longitude), varint(round(latitude * 10**6) << 1)]
    for leak in leaks:
        assert positions_found([Published("ubi/v1/car/status", b"x" + leak + b"y")]) > 0
    assert any(encoding in f"<{VIN}>".encode() for encoding in vin_encodings())
    assert any(encoding in hashlib.sha256(VIN.encode()).digest() for encoding in vin_encodings())
