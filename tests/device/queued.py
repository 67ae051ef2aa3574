"""Messages of every kind in a real outbox, and what must hold of a chain, for the tests of outbox and uplink."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from device.contract import bodies, wire
from device.contract.motion import COLUMNS
from device.contract.trip import TripSummary
from device.outbox import Outbox

PERIOD_MS = 100
SIGNATURE = bytes(64)


def chain(outbox: Outbox, made: Iterable[bodies.Body], *, signed: bool = False) -> list[wire.Encoded]:
    """The next messages of the outbox's chain, one for each body."""
    messages: list[wire.Encoded] = []
    for seq, body in enumerate(made, outbox.next_seq):
        prev_hash = messages[-1].hash if messages else outbox.head
        header = wire.Header("car", outbox.stream_id, seq, prev_hash, b"boot", 0, seq, 1)
        messages.append(wire.encode(header, body, (lambda _: SIGNATURE) if signed else None))
    return messages


def queue(outbox: Outbox, *made: bodies.Body, state: bytes = b"{}", signed: bool = False) -> list[bytes]:
    """Commit one message for each body; their bytes."""
    messages = chain(outbox, made, signed=signed)
    outbox.commit(outbox.next_seq, messages, state)
    return [message.payload for message in messages]


def motion(rows: int = 300, seed: int = 0) -> bodies.Motion:
    """A batch that does not compress well: about 7 bytes a row."""
    draw = random.Random(seed)
    columns: dict[str, list[int | None]] = {name: [None] * rows for name in COLUMNS}
    for name in ("speed_dkmh", "accel_lon_cmps2", "accel_lat_cmps2", "yaw_rate_ddps"):
        columns[name] = [draw.randrange(0, 1_000) for _ in range(rows)]
    columns["quality"] = [0] * rows
    return bodies.Motion(1, PERIOD_MS * rows, rows, columns)


def track(points: int = 60) -> bodies.Track:
    draw = random.Random(points)
    lat, lon = ([draw.randrange(-8_000_000, 8_000_000) for _ in range(points)] for _ in range(2))
    return bodies.Track(1, 0, 1_000, lat, lon)


def event(onset_ms: int = 1_000) -> bodies.Event:
    return bodies.Event(1, 1, 2, onset_ms, onset_ms + 500, onset_ms + 1_000, 1_500, 450, 500, -80, 1, 1)


def impact(t_ms: int = 5_000) -> bodies.Impact:
    return bodies.Impact(1, t_ms, 3_000, 500, complete=False, period_ms=PERIOD_MS, around=None, cell=None)


def trip_end() -> bodies.TripEnd:
    return bodies.TripEnd(1, 1, TripSummary(duration_ms=1_000, samples=10))


def health(**counters: int) -> bodies.Health:
    return bodies.Health(counters or {"readings": 1_000})


def decoded(payloads: Iterable[bytes]) -> list[wire.Message]:
    messages = [wire.decode(payload, "car") for payload in payloads]
    assert all(isinstance(message, wire.Message) for message in messages)
    return [message for message in messages if isinstance(message, wire.Message)]


def verify(payloads: Sequence[bytes]) -> None:
    """A whole chain: seq from 1 without holes, each prev_hash that of the message before."""
    head = b""
    for index, message in enumerate(decoded(payloads)):
        assert (message.header.seq, message.header.prev_hash) == (index + 1, head)
        head = message.hash


def verify_parts(payloads: Iterable[bytes]) -> None:
    """The same for a chain of which some messages have been acknowledged."""
    messages = {message.header.seq: message for message in decoded(payloads)}
    for seq, message in messages.items():
        before = messages.get(seq - 1)
        assert before is None or before.hash == message.header.prev_hash


def tombstones(payloads: Iterable[bytes]) -> int:
    return sum(message.body is None for message in decoded(payloads))
