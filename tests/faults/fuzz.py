"""Fuzzed messages, a million if need be: nearly right in every way that a damaged or hostile writer may be wrong."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final

from device.contract import topics, wire
from device.contract import wire_pb2 as pb
from tests.golden import FOLDER
from tests.ingest.drive import Drive

DEVICES: Final = 20
EXTREMES: Final = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**53, 2**63 - 1)


def fuzzed(count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Topic and payload of so many messages, of devices `fuzz-0`, `fuzz-1`, ... and those of the golden payloads."""
    rng = random.Random(seed)
    originals = golden()
    for number in range(DEVICES):
        drive = Drive(f"fuzz-{number}")
        drive.trip()
        drive.health(**{f"counter_{i}": i for i in range(20)})
        originals += [(message.topic, message.payload) for message in drive.messages]
    for _ in range(count):
        topic, payload = rng.choice(originals)
        payload = rng.choices(TRICKS, WEIGHTS)[0](rng, payload, rng.choice(originals)[1])
        if rng.random() < 0.02:
            topic = topics.up(f"fuzz-{rng.randrange(DEVICES)}")
        yield topic, payload


def golden() -> list[tuple[str, bytes]]:
    """One message of every kind that there is."""
    payloads = [bytes.fromhex(file.read_text()) for file in sorted((FOLDER / "wire").rglob("*.hex"))]
    found = [(wire.decode(payload), payload) for payload in payloads]
    return [(topics.up(m.header.device_id), payload) for m, payload in found if isinstance(m, wire.Message)]


Trick = Callable[[random.Random, bytes, bytes], bytes]


def flipped(rng: random.Random, payload: bytes, _other: bytes) -> bytes:
    """Some bytes changed."""
    changed = bytearray(payload)
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def truncated(rng: random.Random, payload: bytes, _other: bytes) -> bytes:
    """The end is missing."""
    return payload[: rng.randrange(len(payload))]


def spliced(rng: random.Random, payload: bytes, other: bytes) -> bytes:
    """The beginning of one and the end of another."""
    return payload[: rng.randrange(len(payload))] + other[rng.randrange(len(other)) :]


def repeated(rng: random.Random, payload: bytes, _other: bytes) -> bytes:
    """A part comes twice; fields of protobuf may."""
    start, end = sorted(rng.randrange(len(payload)) for _ in range(2))
    return payload[:end] + payload[start:]


def rubbish(rng: random.Random, _payload: bytes, _other: bytes) -> bytes:
    """Any bytes."""
    return rng.randbytes(rng.randrange(300))


def other_body(rng: random.Random, payload: bytes, other: bytes) -> bytes:
    """A valid header, and a body that is another's or was changed before it was packed."""
    envelope, source = pb.Envelope.FromString(payload), rng.choice((payload, other))
    body = b"" if pb.Envelope.FromString(source).body_hash else wire.body_bytes(source)
    if rng.random() < 0.8:
        body = flipped(rng, body or b"\0", b"")
    return _packed(envelope, body, pb.Header.FromString(envelope.header))


def extreme(rng: random.Random, payload: bytes, _other: bytes) -> bytes:
    """One number of the header at an edge of its range."""
    envelope = pb.Envelope.FromString(payload)
    head = pb.Header.FromString(envelope.header)
    name = rng.choice(("seq", "queued_at_ms", "mono_ms", "body_size", "schema_version", "body_kind", "clock_quality"))
    try:
        setattr(head, name, rng.choice((*EXTREMES, *(-value for value in EXTREMES))))
    except ValueError:  # not a number of this field
        head.seq = rng.getrandbits(40)
    return _packed(envelope, envelope.body, head, size=head.body_size)


def truthful(_rng: random.Random, payload: bytes, _other: bytes) -> bytes:
    """Nothing wrong: it came before."""
    return payload


TRICKS: Final[tuple[Trick, ...]] = (
    flipped,
    truncated,
    spliced,
    repeated,
    rubbish,
    other_body,
    extreme,
    truthful,
)
WEIGHTS: Final = (30, 8, 8, 8, 8, 20, 13, 5)


def _packed(envelope: pb.Envelope, body: bytes, head: pb.Header, size: int | None = None) -> bytes:
    if size is None:
        head.body_codec, head.body_size = pb.CODEC_RAW, len(body)
    header = head.SerializeToString(deterministic=True)
    return pb.Envelope(header=header, body=body, signature=envelope.signature).SerializeToString()
