"""What the decoder refuses: any bytes get an answer, and the answer says why."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from device.contract import bodies, packing, wire
from device.contract import wire_pb2 as pb
from device.contract.errors import ContractError
from device.contract.wire import Message, Reason, Reject
from tests.device.any_body import FIRST, any_body, taken

STREAM = bytes(range(16))


def refused(payload: bytes, topic_device: str | None = None) -> Reject:
    reject = wire.decode(payload, topic_device)
    assert isinstance(reject, Reject), reject
    return reject


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


@given(st.binary(max_size=2_000))
def test_any_bytes_get_an_answer(payload):
    assert isinstance(wire.decode(payload, "car"), Message | Reject)


@given(st.binary(max_size=500), st.integers(0, 9), st.integers(0, 2))
def test_any_body_gets_an_answer(body, kind, codec):
    assert isinstance(wire.decode(enveloped(body, body_kind=kind, body_codec=codec)), Message | Reject)


@given(st.data())
def test_mutated_bodies_get_an_answer_and_what_is_taken_is_within_its_bounds(data):
    raw = bytearray(packing.to_bytes(data.draw(any_body)))
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, len(raw)))
        raw[where : where + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=4))
    for kind in pb.BodyKind.values():
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
    frame = zstandard.ZstdCompressor().compress(packing.to_bytes(bodies.Health({"a": 1})))
    size = len(packing.to_bytes(bodies.Health({"a": 1})))
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
        packing.from_bytes(pb.BODY_MOTION, batch.SerializeToString())


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
            packing.from_bytes(pb.BODY_TRIP_END, end.SerializeToString())


QUALITY = pb.Column(deltas=[0])


@pytest.mark.parametrize(
    ("kind", "body", "fault"),
    [
        (pb.BODY_TRACK, pb.Track(trip_seq=1, period_ms=1_000, count=0), "count of 0"),
        (pb.BODY_TRACK, pb.Track(trip_seq=1, period_ms=0, count=1), "period_ms of 0"),
        (pb.BODY_TRACK, pb.Track(trip_seq=0, period_ms=1_000, count=1), "trip_seq of 0"),
        (
            pb.BODY_TRACK,
            pb.Track(trip_seq=1, period_ms=1_000, count=1, lat_e5deg=pb.Column(deltas=[9_000_001])),
            "outside -9000000 to 9000000",
        ),
        (
            pb.BODY_TRACK,
            pb.Track(trip_seq=1, period_ms=1_000, count=1, lat_e5deg=pb.Column(deltas=[1])),
            "without a longitude",
        ),
        (
            pb.BODY_TRACK,
            pb.Track(
                trip_seq=1,
                period_ms=1_000,
                count=2,
                lat_e5deg=pb.Column(runs=[1, 1], deltas=[1]),
                lon_e5deg=pb.Column(runs=[0, 1, 1], deltas=[1]),
            ),
            "without a longitude",
        ),
        (pb.BODY_IMPACT, pb.Impact(trip_seq=1, period_ms=100, peak_cmps2=32_001), "peak_cmps2 of 32001"),
        (pb.BODY_IMPACT, pb.Impact(trip_seq=2**54, period_ms=100), "trip_seq of"),
        (pb.BODY_IMPACT, pb.Impact(trip_seq=1, period_ms=100, around=pb.Motion(trip_seq=1)), "count of 0"),
        (
            pb.BODY_IMPACT,
            pb.Impact(trip_seq=1, period_ms=100, around=pb.Motion(trip_seq=2, count=1, quality=QUALITY)),
            "of another trip",
        ),
        (pb.BODY_IMPACT, pb.Impact(period_ms=100, cell=pb.Cell(lat_cdeg=9_001)), "lat_cdeg of 9001"),
        (pb.BODY_TRIP_END, pb.TripEnd(trip_seq=1, vin_hash=bytes(33)), "vin_hash is over 32 bytes"),
        (pb.BODY_TRIP_START, pb.TripStart(period_ms=500, dtc_count=256), "dtc_count of 256"),
    ],
)
def test_a_body_beyond_its_bounds_is_refused(kind, body, fault):
    reject = refused(enveloped(body.SerializeToString(), body_kind=kind))
    assert reject.reason == Reason.ABSURD_VALUE
    assert fault in reject.detail
