from __future__ import annotations

import random

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from device.contract import bodies, packing, topics, wire
from device.contract import wire_pb2 as pb
from device.contract.bodies import BOUNDS, FIELD_BOUNDS
from device.contract.motion import COLUMNS
from ingest import judge as judging
from ingest.batches import prove_motion, unpack_motion
from ingest.judge import OF_A_TRIP, Sound, judge
from tests.device.any_body import any_body
from tests.ingest.drive import START_MS, Drive

HEADER = wire.Header("car", bytes(16), 7, bytes(32), b"boot", START_MS, 5_000, 2)


def slow(device, payload):
    """What the judge must say, by the decoder that reads one message at a time."""
    if device is None:
        return wire.Reject(wire.Reason.WRONG_DEVICE, "the topic names no device")
    message = wire.decode(payload, device)
    if isinstance(message, wire.Reject):
        return message
    start = isinstance(message.body, bodies.TripStart)
    trip_seq = message.body.trip_seq or None if isinstance(message.body, OF_A_TRIP) else None
    return Sound(
        message.header,
        message.hash,
        message.body is None,
        message.header.seq if start else trip_seq,
        message.body.started_at_ms if start else None,
        None if isinstance(message.body, bodies.Motion) else message.body,
    )


def agree(payloads, device="car"):
    batch = [(device, payload) for payload in payloads]
    expected, shown = [slow(*row) for row in batch], {}
    told = judge(batch, lambda verdict, _: shown.update({verdict[1:3]: verdict} if isinstance(verdict, Sound) else {}))
    assert told == [v._replace(body=None) if isinstance(v, Sound) else v for v in expected]
    assert all(shown[verdict[1:3]] == verdict for verdict in expected if isinstance(verdict, Sound))


def sealed_in(raw, kind=pb.BODY_MOTION):
    """A message around the bytes of a body, whatever they are."""
    header = pb.Header(
        schema_version=1, device_id="car", stream_id=bytes(16), seq=1, body_kind=kind, body_size=len(raw)
    )
    return pb.Envelope(header=header.SerializeToString(), body=raw).SerializeToString()


def motion(count=6, **columns):
    body = pb.Motion(trip_seq=3, first_t_ms=60_000, count=count, quality=pb.Column(deltas=[0] * count))
    for name, (deltas, runs) in columns.items():
        getattr(body, name).CopyFrom(pb.Column(deltas=deltas, runs=runs))
    return body


def column(name, count):
    """Deltas and runs of a column as a car could send them, and now and then as none should."""
    low, high = BOUNDS[name]
    values = st.lists(st.integers(low - 1, high + 1) | st.integers(low, high), min_size=count, max_size=count)
    deltas = values.map(lambda v: [b - a for a, b in zip([0, *v], v, strict=False)])
    runs = st.lists(st.integers(0, count), max_size=5)
    return st.tuples(deltas | st.lists(st.integers(-(2**31), 2**31 - 1), max_size=count), st.just([]) | runs)


@st.composite
def motions(draw):
    count = draw(st.integers(1, 12))
    names = draw(st.sets(st.sampled_from(COLUMNS)))
    body = motion(count, **{name: draw(column(name, count)) for name in sorted(names)})
    for name in draw(st.sets(st.sampled_from(("trip_seq", "first_t_ms", "count")))):
        low, high = FIELD_BOUNDS[name]
        setattr(body, name, draw(st.sampled_from((0, low, high, high + 1)) | st.integers(0, 2**20)))
    return body.SerializeToString(deterministic=True)


@given(st.lists(motions(), max_size=8), st.sampled_from([1, 60, judging.HELD_BYTES]))
def test_motion_judged_in_bulk_is_judged_as_one_by_one(raws, held_bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "HELD_BYTES", held_bytes)
        agree([sealed_in(raw) for raw in raws])


def driven(rng):
    """Motion that is sound, with columns that are whole, missing or cut by nulls, and jumps of all sizes."""
    count = rng.choice((1, 2, 7, 20))
    columns = {}
    for name in COLUMNS:
        low, high = BOUNDS[name]
        nulls = 0 if name == "quality" else rng.choice((0, 0.3, 1))
        near = rng.choice((high - low, 3))
        cells = [rng.randint(low, min(high, low + near)) for _ in range(count)]
        columns[name] = [None if rng.random() < nulls else cell for cell in cells]
    return bodies.Motion(rng.randint(1, 2**53), rng.randint(0, bodies.MAX_TRIP_MS), count, columns)


@given(st.integers(0, 2**64), st.integers(0, 6), st.lists(st.binary(max_size=9), max_size=2))
def test_motion_unpacked_in_bulk_is_the_motion_that_was_packed(seed, count, junk):
    rng = random.Random(seed)
    raws = [(packing.to_bytes(body), body) for body in (driven(rng) for _ in range(count))]
    raws += [(raw, None) for raw in junk]
    rng.shuffle(raws)
    sound, samples = unpack_motion([raw for raw, _ in raws])
    assert sound.tolist() == [body is not None for _, body in raws]
    kept = [body for _, body in raws if body is not None]
    assert samples.first_t_ms.tolist() == [body.first_t_ms for body in kept]
    assert samples.counts.tolist() == [body.count for body in kept]
    for name, (values, valid) in samples.columns.items():
        told = [value if is_valid else None for value, is_valid in zip(values.tolist(), valid.tolist(), strict=True)]
        assert told == [value for body in kept for value in body.columns[name]]


def test_compression_bombs_are_not_held_together(monkeypatch):
    held = []
    real = judging.prove_motion
    monkeypatch.setattr(judging, "prove_motion", lambda raws: (held.append(sum(map(len, raws))), real(raws))[1])
    bomb = zstandard.ZstdCompressor().compress(bytes(wire.MAX_BODY_BYTES))
    header = pb.Header(
        schema_version=1,
        device_id="car",
        stream_id=bytes(16),
        seq=1,
        body_kind=pb.BODY_MOTION,
        body_codec=pb.CODEC_ZSTD,
        body_size=wire.MAX_BODY_BYTES,
    ).SerializeToString()
    payload = pb.Envelope(header=header, body=bomb).SerializeToString()
    assert len(payload) < 500
    verdicts = judge([("car", payload)] * 20)
    assert {verdict.reason for verdict in verdicts} == {wire.Reason.BAD_BODY}
    assert max(held) <= judging.HELD_BYTES + wire.MAX_BODY_BYTES


@given(st.lists(any_body, min_size=1, max_size=6), st.randoms(use_true_random=False), st.integers(0, 8))
def test_any_body_and_its_damaged_copies_are_judged_as_one_by_one(sent, rng, flips):
    payloads = [wire.encode(HEADER, body).payload for body in sent]
    payloads += [damaged(payload, rng, flips) for payload in payloads]
    payloads += [wire.tombstone(payloads[0]), payloads[0][: rng.randrange(len(payloads[0]))]]
    rng.shuffle(payloads)
    agree(payloads)
    agree(payloads, device="bus")
    agree(payloads, device=None)


@given(st.lists(st.binary(max_size=60), max_size=8), motions(), st.randoms(use_true_random=False))
def test_damaged_motion_never_passes_for_sound(garbage, raw, rng):
    bodies_of = [damaged(raw, rng, flips) for flips in range(1, 12)]
    agree([sealed_in(body) for body in [*garbage, *bodies_of, raw]])


def damaged(content, rng, flips):
    broken = bytearray(content)
    for _ in range(flips if broken else 0):
        broken[rng.randrange(len(broken))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    return bytes(broken)


@pytest.mark.parametrize("name", COLUMNS)
def test_each_bound_is_kept_to_the_last_value(name):
    low, high = BOUNDS[name]
    inside = [high, low - high, high - low, low - high]
    raws = [motion(4, **{name: (inside, [])}), motion(4, **{name: ([high, 1, -1, 0], [])})]
    raws += [motion(4, **{name: ([low, -1, 1, 0], [])}), motion(4, **{name: ([high - 1, 1, 1, -2], [])})]
    proof = prove_motion([raw.SerializeToString(deterministic=True) for raw in raws])
    assert proof.sound.tolist() == [True, False, False, False]
    agree([sealed_in(raw.SerializeToString(deterministic=True)) for raw in raws])


def test_what_cars_send_is_proven_and_not_read_one_by_one(monkeypatch):
    drive = Drive("car")
    messages = [drive.start(), *[drive.motion() for _ in range(20)]]
    opened = [wire.open_message(m.payload) for m in messages[1:]]
    proof = prove_motion([message.raw for message in opened])
    assert proof.sound.all()
    assert proof.trip_seq.tolist() == [1] * 20
    monkeypatch.setattr(judging, "_read", lambda opened, raw: pytest.fail("read one by one"))
    assert all(isinstance(v, Sound) for v in judge([("car", m.payload) for m in messages[1:]]))


def test_no_bodies_and_empty_bodies_prove_nothing():
    assert prove_motion([]).sound.tolist() == []
    assert prove_motion([b"", b""]).sound.tolist() == [False, False]


@example(b"\x80" * 11)
@given(st.binary(max_size=30))
def test_numbers_that_never_end_stay_inside_the_array(tail):
    raw = motion(4).SerializeToString(deterministic=True)
    agree([sealed_in(raw + tail), sealed_in(tail), sealed_in(raw[:-1] + tail)])


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_long_numbers_are_read_as_the_decoder_reads_them(rng):
    """Varints may be longer than needed, and a column may be split in two fields: both are legal protobuf."""
    packed = b"".join(longer(2 * rng.randrange(60), rng.randrange(1, 6)) for _ in range(6))
    head = motion(6).SerializeToString(deterministic=True)
    field = bytes([4 << 3 | 2, len(packed) + 2, 2 << 3 | 2, len(packed)]) + packed
    split = bytes([4 << 3 | 2, 4, 2 << 3 | 2, 2, 0, 0]) * 3
    agree([sealed_in(head[:6] + field + head[6:]), sealed_in(field + head), sealed_in(head + split)])


def longer(value, size):
    groups = [value >> 7 * i & 127 | 128 for i in range(max(size, 2))]
    return bytes([*groups[:-1], groups[-1] & 127]) if size > 1 else bytes([value & 127])


def test_a_hook_has_the_last_word_on_everything():
    drive = Drive("car")
    payloads = [drive.start().payload, drive.motion().payload, b"garbage", wire.tombstone(drive.event().payload)]
    asked = []

    def admit(verdict, device):
        asked.append((device, verdict.header and verdict.header.seq, type(getattr(verdict, "body", None))))
        of_motion = verdict.header is not None and verdict.header.body_kind == pb.BODY_MOTION
        return wire.Reject(wire.Reason.BEYOND_CONSENT, "motion", verdict.header) if of_motion else None

    verdicts = judge([("car", payload) for payload in payloads], admit)
    nothing = type(None)
    in_bulk = ("car", 2, nothing)
    assert asked == [("car", 1, bodies.TripStart), ("car", None, nothing), ("car", 3, nothing), in_bulk]
    assert [type(v) for v in verdicts] == [Sound, wire.Reject, wire.Reject, Sound]
    assert topics.device_of(drive.messages[0].topic) == "car"


@pytest.mark.long
def test_a_million_fuzzed_motion_bodies_are_judged_as_one_by_one():
    rng = random.Random(1)
    drive = Drive("car")
    drive.start()
    raws = [wire.open_message(drive.motion(rng.randrange(1, 9)).payload).raw for _ in range(200)]
    for _ in range(100):
        agree([sealed_in(damaged(rng.choice(raws), rng, rng.randrange(4))) for _ in range(10_000)])
