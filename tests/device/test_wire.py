from __future__ import annotations

import hashlib
import json
import random
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from device.contract import bodies, signing, wire
from device.contract import wire_pb2 as pb
from device.contract.errors import ContractError
from device.contract.motion import COLUMNS
from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS, TripSummary
from device.contract.wire import Header, Message, Reason, Reject
from tests.golden import wire_v1

GOLDEN = Path(wire_v1.__file__).with_name("wire")
STREAM = bytes(range(16))
FIRST = Header("car", STREAM, 1, b"", b"boot", 1_700_000_000_000, 5_000, 1)

counts = st.integers(0, 2**53 - 1)
texts = st.text(max_size=256)
times = st.integers(0, bodies.MAX_TRIP_MS)
enums = st.integers(0, 4)
trip_starts = st.builds(
    bodies.TripStart,
    period_ms=st.integers(10, 60_000),
    started_at_ms=st.integers(-(2**53), 2**53),
    utc_offset_min=st.none() | st.integers(-960, 960),
    rules_version=st.integers(0, 2**31 - 1),
    sensor_grade=enums,
    recording=texts,
    vehicle=texts,
    adapter=texts,
    odometer_m=st.none() | counts,
    distance_since_clear_m=st.none() | counts,
    vin_hash=st.binary(max_size=32),
    start_mono_ms=counts,
    recorded_file=texts,
)
events = st.builds(
    lambda at, **rest: bodies.Event(**dict(zip(("onset_ms", "peak_ms", "end_ms"), sorted(at), strict=True)), **rest),
    st.tuples(times, times, times),
    trip_seq=st.integers(1, 2**53),
    kind=st.integers(0, 255),
    level=st.integers(0, 7),
    duration_ms=times,
    peak=st.integers(0, 32_000),
    onset_speed_dkmh=st.none() | st.integers(0, 4_000),
    delta_v_dkmh=st.none() | st.integers(-4_000, 4_000),
    rules_version=st.integers(0, 2**31 - 1),
    sensor_grade=enums,
)
summaries = st.builds(
    TripSummary,
    **dict.fromkeys(SCALAR_FIELDS, counts) | {"duration_ms": times},
    **dict.fromkeys(
        HISTOGRAM_FIELDS, st.dictionaries(st.integers(0, 2**31 - 1), st.integers(1, 2**53 - 1), max_size=20)
    ),
)
trip_ends = st.builds(
    bodies.TripEnd,
    trip_seq=st.integers(1, 2**53),
    reason=st.integers(0, 3),
    summary=summaries,
    odometer_m=st.none() | counts,
    distance_since_clear_m=st.none() | counts,
)
healths = st.builds(bodies.Health, st.dictionaries(texts, counts, max_size=20))


@st.composite
def motions(draw: st.DrawFn) -> bodies.Motion:
    count = draw(st.integers(1, 80))
    columns = {}
    for name in COLUMNS:
        low, high = bodies.BOUNDS[name]
        values = st.integers(low, high)
        cells = values if name == "quality" else st.none() | values
        columns[name] = draw(st.lists(cells, min_size=count, max_size=count) | st.just([draw(cells)] * count))
    return bodies.Motion(draw(st.integers(1, 2**53)), draw(times), count, columns)


any_body = st.one_of(trip_starts, events, motions(), trip_ends, healths)


def taken(payload: bytes) -> Message:
    message = wire.decode(payload)
    assert isinstance(message, Message), message
    return message


def refused(payload: bytes, topic_device: str | None = None) -> Reject:
    reject = wire.decode(payload, topic_device)
    assert isinstance(reject, Reject), reject
    return reject


def golden() -> dict[str, bytes]:
    return {file.stem: bytes.fromhex(file.read_text()) for file in sorted(GOLDEN.glob("v*/*.hex"))}


def enveloped(body: bytes = b"", **fields: Any) -> bytes:
    """A payload with these header fields and this body, as a foreign writer may make it."""
    usual: dict[str, Any] = {
        "schema_version": 1,
        "device_id": "car",
        "stream_id": STREAM,
        "seq": 1,
        "body_kind": pb.BODY_HEALTH,
        "body_size": len(body),
    }
    header = pb.Header(**(usual | fields)).SerializeToString()
    return pb.Envelope(header=header, body=body).SerializeToString()


@given(any_body)
def test_what_is_encoded_is_decoded(body):
    encoded = wire.encode(FIRST, body)
    message = taken(encoded.payload)
    assert message.body == body
    assert message.hash == encoded.hash
    filled = replace(message.header, body_kind=0, body_codec=0, body_size=0)
    assert filled == FIRST


@given(any_body)
def test_the_same_body_has_the_same_bytes(body):
    assert wire.encode(FIRST, body) == wire.encode(FIRST, body)


@given(
    device_id=st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"),
    stream_id=st.binary(min_size=16, max_size=16),
    seq=st.integers(2, 2**63 - 1),
    prev_hash=st.binary(min_size=32, max_size=32),
    boot_id=st.binary(max_size=16),
    queued_at_ms=st.integers(-(2**53) + 1, 2**53 - 1),
    mono_ms=st.integers(0, 2**53 - 1),
    clock_quality=st.integers(0, 3),
)
def test_every_header_comes_back(**fields):
    header = Header(**fields)
    back = taken(wire.encode(header, bodies.Health({})).payload).header
    assert replace(back, body_kind=0, body_codec=0, body_size=0) == header


@pytest.mark.parametrize("name", golden())
def test_golden_payloads_of_every_version_decode_to_what_they_said(name):
    (file,) = GOLDEN.glob(f"v*/{name}.json")
    assert wire_v1.told(golden()[name]) == json.loads(file.read_text())


def test_the_golden_payloads_are_one_chain_with_a_signed_head():
    messages = sorted((taken(p) for n, p in golden().items() if n != "motion_tombstone"), key=lambda m: m.header.seq)
    head = b""
    for index, message in enumerate(messages):
        assert (message.header.seq, message.header.prev_hash) == (index + 1, head)
        head = message.hash
    assert signing.verify(wire_v1.SIGNER.public_key, head, messages[-1].signature)
    assert not signing.verify(bytes(32), head, messages[-1].signature)
    assert not signing.verify(wire_v1.SIGNER.public_key, messages[0].hash, messages[-1].signature)


@given(any_body, st.booleans())
def test_a_tombstone_keeps_header_hash_and_signature(body, signed):
    sign = wire_v1.SIGNER.sign if signed else None
    encoded = wire.encode(FIRST, body, sign)
    whole, stone = taken(encoded.payload), taken(wire.tombstone(encoded.payload))
    assert stone.body is None
    assert (stone.header, stone.hash, stone.signature, stone.body_hash) == (
        whole.header,
        whole.hash,
        whole.signature,
        whole.body_hash,
    )
    assert wire.tombstone(wire.tombstone(encoded.payload)) == wire.tombstone(encoded.payload)


@given(st.data())
def test_a_changed_byte_is_refused_or_changes_the_hash(data):
    """What the chain covers: header and body. The rest of an envelope is the signature, which is checked against it."""
    payload = wire.encode(FIRST, data.draw(any_body)).payload
    where = data.draw(st.integers(0, len(payload) - 1))
    changed = payload[:where] + bytes([payload[where] ^ data.draw(st.integers(1, 255))]) + payload[where + 1 :]
    message, before = wire.decode(changed), taken(payload)
    if isinstance(message, Message) and message.hash == before.hash:
        assert (message.header, message.body) == (before.header, before.body)


@given(st.binary(max_size=2_000))
def test_any_bytes_get_an_answer(payload):
    assert isinstance(wire.decode(payload, "car"), Message | Reject)


@given(st.binary(max_size=500), st.integers(0, 7), st.integers(0, 2))
def test_any_body_gets_an_answer(body, kind, codec):
    assert isinstance(wire.decode(enveloped(body, body_kind=kind, body_codec=codec)), Message | Reject)


def test_mutated_payloads_get_an_answer():
    seed = random.randrange(2**32)
    draw, payloads = random.Random(seed), list(golden().values())
    outcomes: dict[str, int] = {}
    for _ in range(20_000):
        payload = bytearray(draw.choice(payloads))
        for _ in range(draw.randrange(1, 5)):
            where = draw.randrange(len(payload) + 1)
            match draw.randrange(4):
                case 0:
                    payload[where : where + 1] = bytes([draw.randrange(256)])
                case 1:
                    del payload[where : where + draw.randrange(1, 9)]
                case 2:
                    payload[where:where] = draw.randbytes(draw.randrange(1, 9))
                case _:
                    other = draw.choice(payloads)
                    payload[where:] = other[draw.randrange(len(other)) :]
        try:
            answer = wire.decode(bytes(payload), "golden")
        except Exception as error:
            raise AssertionError(f"seed {seed}: {payload.hex()}") from error
        assert isinstance(answer, Message | Reject)
        name = answer.reason if isinstance(answer, Reject) else "taken"
        outcomes[name] = outcomes.get(name, 0) + 1
    assert {"taken", Reason.GARBAGE, Reason.BAD_HEADER, Reason.BAD_BODY, Reason.ABSURD_VALUE} <= set(outcomes), seed


@given(st.data())
def test_mutated_bodies_get_an_answer_and_what_is_taken_is_within_its_bounds(data):
    raw = bytearray(bodies.to_bytes(data.draw(any_body)))
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(raw)))
        raw[where : where + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=4))
    for kind in (pb.BODY_TRIP_START, pb.BODY_EVENT, pb.BODY_MOTION, pb.BODY_TRIP_END, pb.BODY_HEALTH):
        answer = wire.decode(enveloped(bytes(raw), body_kind=kind))
        if isinstance(answer, Message):
            assert answer.body is not None
            assert taken(wire.encode(FIRST, answer.body).payload).body == answer.body


@pytest.mark.parametrize("claimed", [256 * 2**20, 100])
def test_a_compression_bomb_is_refused_before_memory_is_taken(claimed):
    packer = zstandard.ZstdCompressor().compressobj(size=256 * 2**20)
    bomb = b"".join([packer.compress(bytes(2**20)) for _ in range(256)]) + packer.flush()
    payload = enveloped(bomb, body_codec=pb.CODEC_ZSTD, body_size=claimed)
    assert len(payload) < wire.MAX_PAYLOAD_BYTES
    tracemalloc.start()
    reject = refused(payload)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reject.reason == (Reason.BAD_HEADER if claimed > 100 else Reason.BAD_BODY)
    assert peak < 2**20


@pytest.mark.parametrize("kept", [True, False])
def test_a_frame_that_hides_its_size_is_refused(kept):
    packer = zstandard.ZstdCompressor(write_content_size=kept).compressobj()
    frame = packer.compress(bytes(2**24)) + packer.flush()
    assert refused(enveloped(frame, body_codec=pb.CODEC_ZSTD, body_size=2**20)).reason == Reason.BAD_BODY


def test_data_behind_a_compressed_body_is_refused():
    frame = zstandard.ZstdCompressor().compress(bodies.to_bytes(bodies.Health({"a": 1})))
    size = len(bodies.to_bytes(bodies.Health({"a": 1})))
    assert taken(enveloped(frame, body_codec=pb.CODEC_ZSTD, body_size=size)).body == bodies.Health({"a": 1})
    assert refused(enveloped(frame + b"x", body_codec=pb.CODEC_ZSTD, body_size=size)).reason == Reason.BAD_BODY


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (bytes(wire.MAX_PAYLOAD_BYTES + 1), Reason.OVERSIZED),
        (b"", Reason.GARBAGE),
        (b"hello", Reason.GARBAGE),
        (b'{"speed": 50}', Reason.GARBAGE),
        (pb.Envelope(header=b"\xff\xff").SerializeToString(), Reason.GARBAGE),
        (enveloped(device_id="a/b"), Reason.BAD_HEADER),
        (enveloped(device_id=""), Reason.BAD_HEADER),
        (enveloped(stream_id=b"short"), Reason.BAD_HEADER),
        (enveloped(seq=0), Reason.BAD_HEADER),
        (enveloped(seq=2**63), Reason.BAD_HEADER),
    ],
)
def test_what_does_not_say_which_message_it_is_has_no_header_to_ack(payload, reason):
    reject = refused(payload)
    assert (reject.reason, reject.header) == (reason, None)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (enveloped(schema_version=2), Reason.UNKNOWN_VERSION),
        (enveloped(schema_version=0), Reason.UNKNOWN_VERSION),
        (enveloped(prev_hash=bytes(32)), Reason.BAD_HEADER),
        (enveloped(boot_id=bytes(17)), Reason.BAD_HEADER),
        (enveloped(mono_ms=2**60), Reason.BAD_HEADER),
        (enveloped(body_size=2**30), Reason.BAD_HEADER),
        (enveloped(device_id="other"), Reason.WRONG_DEVICE),
        (enveloped(b"abc", body_size=4), Reason.BAD_BODY),
        (enveloped(b"abc", body_codec=7), Reason.BAD_BODY),
        (enveloped(b"abc", body_codec=pb.CODEC_ZSTD), Reason.BAD_BODY),
        (enveloped(b"\xff\xff"), Reason.BAD_BODY),
        (enveloped(body_kind=77), Reason.ABSURD_VALUE),
        (enveloped(pb.Event(trip_seq=1, onset_ms=2, peak_ms=1).SerializeToString(), body_kind=2), Reason.ABSURD_VALUE),
        (enveloped(pb.TripStart(period_ms=0).SerializeToString(), body_kind=1), Reason.ABSURD_VALUE),
    ],
)
def test_a_reject_that_says_which_message_it_was_can_be_acked(payload, reason):
    reject = refused(payload, "car")
    assert reject.reason == reason
    assert reject.header is not None
    assert (reject.header.stream_id, reject.header.seq) == (STREAM, 1)
    assert "\n" not in reject.detail


@pytest.mark.parametrize(
    ("column", "fault"),
    [
        (pb.Column(deltas=[1, 2]), "do not match its values|do not match the batch|runs"),
        (pb.Column(deltas=[1], runs=[1, 1, 1]), "runs"),
        (pb.Column(deltas=[1], runs=[1, 2**32 - 1]), "runs"),
        (pb.Column(runs=[0, 3]), "runs but no values"),
        (pb.Column(deltas=[0, 0, 5_000]), "outside 0 to 4000"),
        (pb.Column(deltas=[0, -1, 1]), "outside 0 to 4000"),
    ],
)
def test_a_column_that_does_not_add_up_is_refused(column, fault):
    batch = pb.Motion(trip_seq=1, count=3, speed_dkmh=column, quality=pb.Column(deltas=[0, 0, 0]))
    with pytest.raises(ContractError, match=fault):
        bodies.from_bytes(pb.BODY_MOTION, batch.SerializeToString())


def test_a_histogram_that_is_not_canonical_is_refused():
    for histogram in (
        pb.Hist(key_deltas=[1, 0], values=[1, 1]),
        pb.Hist(key_deltas=[1], values=[1, 1]),
        pb.Hist(key_deltas=[2**32 - 1], values=[1]),
        pb.Hist(key_deltas=[1], values=[0]),
        pb.Hist(key_deltas=[1], values=[2**60]),
    ):
        end = pb.TripEnd(trip_seq=1, summary=pb.Summary(va_ms=histogram))
        with pytest.raises(ContractError, match="va_ms"):
            bodies.from_bytes(pb.BODY_TRIP_END, end.SerializeToString())


def test_an_oversized_body_is_not_encoded():
    with pytest.raises(ContractError, match="queue smaller batches"):
        wire.encode(FIRST, bodies.Health({f"counter {n} {'x' * 200}": n for n in range(6_000)}))


def test_the_hash_is_of_the_bytes_as_sent():
    payload = wire.encode(FIRST, bodies.Health({"a": 1})).payload
    envelope = pb.Envelope.FromString(payload)
    body_hash = hashlib.sha256(envelope.body).digest()
    assert taken(payload).hash == hashlib.sha256(envelope.header + body_hash).digest()
