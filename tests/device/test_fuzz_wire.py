"""A campaign of mutated messages over `wire.decode`: any bytes get a Message or a Reject, never an exception.

A third of the inputs are mutated as sent: mostly garbage, or a header or a compression that does not fit. A third are
bodies whose bytes are mutated inside of an envelope that fits, and a third bodies that say what nobody would say.

    make campaign ARGS='-k fuzz_wire'                  10 million, 20 chunks
    make campaign ARGS='-k "fuzz_wire and chunk-7"'    one chunk again; its seed is its number
"""

from __future__ import annotations

import random
from functools import cache
from typing import Any

import pytest
import zstandard

from device.contract import packing, wire
from device.contract import wire_pb2 as pb
from device.contract.wire import Message, Reason, Reject
from tests.device.any_body import golden
from tests.device.mutations import campaign, mutated, reshaped

CHUNKS, PER_CHUNK = 20, 500_000
SHORT = 15_000
MESSAGES: dict[int, Any] = {
    pb.BODY_TRIP_START: pb.TripStart,
    pb.BODY_EVENT: pb.Event,
    pb.BODY_MOTION: pb.Motion,
    pb.BODY_TRIP_END: pb.TripEnd,
    pb.BODY_HEALTH: pb.Health,
    pb.BODY_TRACK: pb.Track,
    pb.BODY_IMPACT: pb.Impact,
}
ALL = {"taken", "tombstone", *map(str, (Reason.GARBAGE, Reason.BAD_HEADER, Reason.BAD_BODY, Reason.ABSURD_VALUE))}


@cache
def corpus() -> tuple[tuple[bytes, ...], tuple[tuple[pb.Header, bytes], ...]]:
    """Payloads as sent, and their headers and bodies."""
    payloads = tuple(golden().values())
    heads = [pb.Header.FromString(pb.Envelope.FromString(payload).header) for payload in payloads]
    whole = [(h, wire.body_bytes(p)) for h, p in zip(heads, payloads, strict=True) if pb.Envelope.FromString(p).body]
    return payloads, tuple(whole)


def make(draw: random.Random) -> bytes:
    payloads, whole = corpus()
    way = draw.randrange(3)
    if way == 0:
        return mutated(draw, draw.choice(payloads), payloads)
    header, body = draw.choice(whole)
    if way == 1:
        raw = mutated(draw, body, [other for _, other in whole])
    else:
        message = MESSAGES[header.body_kind].FromString(body)
        reshaped(draw, message)
        raw = message.SerializeToString()
    head = pb.Header()
    head.CopyFrom(header)
    head.body_size, head.body_codec = len(raw), pb.CODEC_RAW
    if draw.random() < 0.1:
        reshaped(draw, head)
    sent = raw
    if draw.random() < 0.2:
        head.body_codec, sent = pb.CODEC_ZSTD, zstandard.compress(raw, 1)
    return pb.Envelope(header=head.SerializeToString(), body=sent).SerializeToString()


def judge(payload: bytes) -> str:
    answer = wire.decode(payload, "golden")
    if isinstance(answer, Reject):
        assert "\n" not in answer.detail
        return str(answer.reason)
    assert isinstance(answer, Message)
    if answer.body is None:
        return "tombstone"
    raw = packing.to_bytes(answer.body)  # what is taken can be said again, and means the same
    assert packing.from_bytes(packing.kind_of(answer.body), raw) == answer.body
    return "taken"


def test_mutated_messages_get_an_answer_and_what_is_taken_can_be_sent():
    seed = random.randrange(2**32)
    assert set(campaign(seed, SHORT, make, judge)) >= ALL, seed


def test_a_seed_makes_the_same_inputs_again():
    assert [make(random.Random(7)) for _ in range(3)] == [make(random.Random(7)) for _ in range(3)]


@pytest.mark.long
@pytest.mark.parametrize("chunk", range(CHUNKS), ids=lambda number: f"chunk-{number}")
def test_a_campaign_of_mutated_messages(chunk):
    assert set(campaign(chunk, PER_CHUNK, make, judge)) >= ALL
