"""The recording format: what goes in comes out, and damage is one clear error."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from device.contract import recording
from device.contract import wire_pb2 as pb
from device.contract.errors import ContractError, RecordingError
from device.contract.frames import FRAME_MS, MAX_FRAME_READINGS
from device.contract.recording import (
    RecordingHead,
    is_recording,
    open_recording,
    quantised,
    reading_order,
    recording_sha256,
    write_recording,
)
from device.contract.signals import BY_NAME, SIGNALS, Reading

HEAD = RecordingHead(
    source="test",
    original="drive.csv",
    vehicle="Seat Leon",
    driver="A",
    started_at_ms=1_499_231_790_444,
    utc_offset_min=120,
    repairs={"clock_steps_back": 2},
    notes={"route": "RT-S"},
)
SHORT = [
    Reading(0, "speed_kmh", 0.0),
    Reading(90, "rpm", None),
    Reading(900, "speed_kmh", 53.21),
    Reading(900, "rpm", 1345.25),
    Reading(75_000, "latitude_deg", -0.297953),
]

texts = st.text(max_size=20)
heads = st.builds(
    RecordingHead,
    source=texts,
    original=texts,
    vehicle=texts,
    driver=texts,
    started_at_ms=st.none() | st.integers(-(2**62), 2**62),
    utc_offset_min=st.none() | st.integers(-900, 900),
    repairs=st.dictionaries(texts, st.integers(0, 2**63), max_size=3),
    notes=st.dictionaries(texts, texts, max_size=3),
)


@st.composite
def reading(draw):
    signal = draw(st.sampled_from(SIGNALS))
    t_ms = draw(st.integers(0, 200_000) | st.integers(0, 2**53 - 1))
    value = draw(st.none() | st.floats(signal.low, signal.high))
    return Reading(t_ms, signal.name, value)


drives = st.lists(reading(), max_size=60, unique_by=reading_order).map(lambda drive: sorted(drive, key=reading_order))


def as_kept(drive: list[Reading]) -> list[Reading]:
    return [r if r.value is None else r._replace(value=quantised(BY_NAME[r.signal], r.value)) for r in drive]


def read_all(path: Path) -> tuple[RecordingHead, list[Reading]]:
    head, readings = open_recording(path)
    return head, list(readings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("recordings")


@given(head=heads, drive=drives)
def test_what_is_read_is_what_was_written_in_quanta(folder, head, drive):
    write_recording(folder / "a.ubirec", head, drive)
    assert read_all(folder / "a.ubirec") == (head, as_kept(drive))


@given(drive=drives)
def test_quanta_are_a_fixed_point(folder, drive):
    write_recording(folder / "a.ubirec", HEAD, drive)
    write_recording(folder / "b.ubirec", HEAD, as_kept(drive))
    assert recording_sha256(folder / "a.ubirec") == recording_sha256(folder / "b.ubirec")


def test_a_null_reading_survives_and_is_not_zero(tmp_path):
    write_recording(tmp_path / "a.ubirec", HEAD, SHORT)
    assert read_all(tmp_path / "a.ubirec") == (HEAD, SHORT)


def test_a_recording_of_nothing_is_a_recording(tmp_path):
    write_recording(tmp_path / "a.ubirec", HEAD, [])
    assert read_all(tmp_path / "a.ubirec") == (HEAD, [])


def test_the_same_drive_gives_the_same_bytes_and_its_sha256_is_that_of_the_bytes(tmp_path):
    for name in ("a.ubirec", "b.ubirec"):
        write_recording(tmp_path / name, HEAD, iter(SHORT))
    data = (tmp_path / "a.ubirec").read_bytes()
    assert data == (tmp_path / "b.ubirec").read_bytes()
    assert recording_sha256(tmp_path / "a.ubirec") == hashlib.sha256(data).hexdigest()
    assert is_recording(data[:64])
    assert not is_recording(b"Time,Engine RPM")


def test_a_refused_reading_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.ubirec"
    write_recording(path, HEAD, SHORT)
    before = path.read_bytes()
    for bad in (
        [SHORT[2], SHORT[0]],  # back in time
        [SHORT[0], SHORT[0]],  # twice
        [Reading(0, "warp_factor", 9.0)],
        [Reading(-1, "speed_kmh", 9.0)],
        [Reading(0, "speed_kmh", 401.0)],
        [Reading(0, "speed_kmh", float("nan"))],
    ):
        with pytest.raises(ContractError):
            write_recording(path, HEAD, bad)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(RecordingError, match=r"a\.ubirec: cannot be written: No such file"):
        write_recording(tmp_path / "no" / "a.ubirec", HEAD, SHORT)
    with pytest.raises(RecordingError, match="cannot be read: No such file"):
        open_recording(tmp_path / "no.ubirec")
    with pytest.raises(RecordingError, match="cannot be read: Is a directory"):
        open_recording(tmp_path)


def packed(*frames: bytes, end: bool = True) -> bytes:
    stream = b"".join(len(frame).to_bytes(4, "little") + frame for frame in frames) + (b"\0\0\0\0" if end else b"")
    return recording.MAGIC + zstandard.ZstdCompressor().compress(stream)


def head_frame(version: int = 1) -> bytes:
    return pb.RecordingFrame(head=pb.RecordingHead(format_version=version)).SerializeToString()


def block_frame(**block) -> bytes:
    return pb.RecordingFrame(blocks=[pb.SignalBlock(**block)]).SerializeToString()


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "does not begin with UBIREC1"),
        (b"Time,Engine RPM\n", "does not begin with UBIREC1"),
        (recording.MAGIC, "frame 1, unpacked byte 0: the file ends"),
        (recording.MAGIC + b"not zstd at all", "frame 1, unpacked byte 0: zstd"),
        (packed(), "no head"),
        (packed(block_frame(signal=1, times_ms=[1], values=[1])), "no head"),
        (packed(head_frame(2)), "format version 2, known is 1; update ubi"),
        (packed(head_frame(), end=False), "frame 2, unpacked byte 8: the file ends before its end mark"),
        (packed(head_frame(), head_frame()), "frame 2: a second head"),
        (packed(head_frame(), b"\xff\xff"), "frame 2, unpacked byte 8: "),
        (packed(head_frame()) + b"x", "zstd"),
        (packed(head_frame()) + packed(head_frame())[8:], "data after the end mark"),
        (packed(head_frame(), block_frame(signal=999)), "signal 999 is not known"),
        (packed(head_frame(), block_frame(signal=1, times_ms=[1], values=[])), "do not match their times"),
        (packed(head_frame(), block_frame(signal=1, times_ms=[1], nulls=[1], values=[1])), "do not match"),
        (packed(head_frame(), block_frame(signal=1, times_ms=[1, 1], nulls=[0, 0])), "do not match"),
        (packed(head_frame(), block_frame(signal=1, times_ms=[5, 0], values=[1, 1])), "do not rise"),
        (packed(head_frame(), block_frame(signal=1, times_ms=[2**63], values=[1])), "do not rise"),
        (packed(head_frame(), block_frame(signal=1, times_ms=[1], values=[50_000])), "speed_kmh 500.0 km/h is not"),
        (
            packed(head_frame(), *[block_frame(signal=1, times_ms=[t], values=[1]) for t in (9, 8)]),
            "frame 3: readings out of order",
        ),
        (
            packed(head_frame(), b"".join(block_frame(signal=1, times_ms=[t], values=[1]) for t in (8, 9))),
            "frame 2: the blocks of signals do not rise",
        ),
        (
            packed(
                head_frame(),
                block_frame(signal=1, times_ms=[1] * (MAX_FRAME_READINGS + 1), values=[0] * (MAX_FRAME_READINGS + 1)),
            ),
            "over 20000 readings",
        ),
        (
            recording.MAGIC + zstandard.ZstdCompressor().compress((2**32 - 1).to_bytes(4, "little")),
            "4294967295 bytes long, at most 1048576",
        ),
    ],
)
def test_each_kind_of_damage_is_named_with_its_place(tmp_path, data, complaint):
    path = tmp_path / "damaged.ubirec"
    path.write_bytes(data)
    with pytest.raises(RecordingError) as caught:
        read_all(path)
    assert complaint in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def sound(folder):
    path = folder / "sound.ubirec"
    drive = [Reading(90 * i, "speed_kmh", None if i % 50 == 0 else (i * 7 % 1300) / 10) for i in range(4_000)]
    write_recording(path, HEAD, drive)
    return path.read_bytes(), drive


def same_or_refused(path: Path, drive: list[Reading]) -> bool:
    try:
        _, readings = open_recording(path)
        return list(readings) == drive
    except RecordingError:
        return True


@settings(max_examples=300)
@given(data=st.data())
def test_a_changed_byte_is_noticed_or_changes_no_reading(folder, sound, data):
    good, drive = sound
    position = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[position] ^= data.draw(st.integers(1, 255))
    (folder / "changed.ubirec").write_bytes(bad)
    assert same_or_refused(folder / "changed.ubirec", drive)


@given(data=st.data())
def test_a_file_cut_short_is_never_a_shorter_drive(folder, sound, data):
    good, drive = sound
    (folder / "cut.ubirec").write_bytes(good[: data.draw(st.integers(0, len(good) - 1))])
    assert same_or_refused(folder / "cut.ubirec", drive)


@given(noise=st.binary(max_size=400), compressed=st.booleans())
def test_any_bytes_after_the_magic_are_read_or_refused(folder, noise, compressed):
    body = zstandard.ZstdCompressor().compress(noise) if compressed else noise
    (folder / "noise.ubirec").write_bytes(recording.MAGIC + body)
    assert same_or_refused(folder / "noise.ubirec", [])


@given(noise=st.binary(max_size=400))
def test_any_frame_is_read_or_refused(folder, noise):
    path = folder / "frame.ubirec"
    path.write_bytes(packed(head_frame(), noise))
    try:
        _, readings = open_recording(path)
        kept = list(readings)
    except RecordingError:
        return
    write_recording(path, HEAD, kept)  # whatever was read keeps the format's laws
    assert list(open_recording(path)[1]) == kept


def long_drive(minutes: int) -> Iterator[Reading]:
    for t_ms in range(0, minutes * 60_000, 20):
        yield Reading(t_ms, "accel_x_mps2", (t_ms * 7919 % 20_001 - 10_000) / 1_000)


def test_reading_and_writing_hold_one_frame_in_memory(tmp_path):
    path = tmp_path / "long.ubirec"
    tracemalloc.start()
    write_recording(path, HEAD, long_drive(minutes=60))
    count = sum(1 for _ in open_recording(path)[1])
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60 * 60_000 // 20
    assert peak_bytes < 12_000_000  # the whole drive takes over 20 MB as tuples


def test_a_bomb_is_refused_before_its_memory_is_taken(tmp_path):
    stream = (1_000_000).to_bytes(4, "little") + bytes(200_000_000)
    (tmp_path / "bomb.ubirec").write_bytes(recording.MAGIC + zstandard.ZstdCompressor().compress(stream))
    del stream
    tracemalloc.start()
    with pytest.raises(RecordingError):
        open_recording(tmp_path / "bomb.ubirec")
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 8_000_000


def test_a_frame_never_spans_more_than_its_minute(tmp_path):
    path = tmp_path / "a.ubirec"
    write_recording(path, HEAD, long_drive(minutes=3))
    spans = []
    for frame in list(recording._frames(str(path)))[1:]:
        times = [sum(block.times_ms) for block in frame.blocks]
        spans.append(max(times) - min(block.times_ms[0] for block in frame.blocks))
    assert len(spans) == 3
    assert max(spans) < FRAME_MS
