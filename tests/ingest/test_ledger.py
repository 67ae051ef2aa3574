"""Verdicts of the ledger on what one message does not show: signatures, clocks, lateness."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.contract import topics, wire
from device.contract import wire_pb2 as pb
from device.contract.signing import Signer
from device.contract.topics import ack
from ingest import checkpoints
from ingest.contract.lake import Lake
from ingest.query import status
from ingest.seal import seal
from ingest.worker import Worker
from tests.ingest.drive import START_MS, Drive, Sent

DAY_MS = 86_400_000
OWN, OTHER = (Signer.from_seed(bytes([number]) * 32) for number in (1, 2))


def store(lake, messages, received_ms=START_MS, step_ms=0):
    worker = Worker(lake, f"w{received_ms}", lambda topic, payload: None)
    for number, message in enumerate(messages):
        worker.take(message.topic, message.payload, received_ms + number * step_ms)
    worker.flush(received_ms)
    return lake


def sign(message, signer):
    envelope = pb.Envelope.FromString(message.payload)
    envelope.signature = signer.sign(message.hash)
    return message._replace(payload=envelope.SerializeToString())


def keys_of(device_id, at_ms):
    return (OWN.public_key,) if device_id == "car" else ()


def verdict(lake, **options):
    seal(lake, START_MS, **options)
    return lake.scan("trips").select("signature", "chain_ok").collect().row(0)


@pytest.mark.parametrize(
    ("device", "signer", "keys", "said"),
    [
        ("car", OWN, keys_of, "verified"),
        ("car", OTHER, keys_of, "bad"),
        ("car", None, keys_of, "none"),
        ("bus", OWN, keys_of, "unverified"),
        ("car", OWN, None, "unverified"),
    ],
)
def test_the_last_checkpoint_of_a_trip_is_verified(tmp_path, device, signer, keys, said):
    messages = Drive(device).trip()
    if signer is not None:
        messages[-1] = sign(messages[-1], signer)
    assert verdict(store(Lake(tmp_path), messages), keys_of=keys) == (said, True)


def test_one_signature_speaks_for_all_messages_before_it(tmp_path, monkeypatch):
    asked = []
    real = checkpoints.signing.verify
    monkeypatch.setattr(checkpoints.signing, "verify", lambda *told: (asked.append(told), real(*told))[1])
    messages = [sign(message, OWN) for message in Drive("car").trip(batches=5)]
    assert verdict(store(Lake(tmp_path), messages), keys_of=keys_of) == ("verified", True)
    assert len(asked) == 1


def test_a_changed_message_under_a_good_signature_shows_in_the_chain(tmp_path):
    messages, forged = Drive("car").trip(), Drive("car")
    forged.start(odometer_m=0)
    messages[-1] = sign(messages[-1], OWN)
    lake = store(Lake(tmp_path), [forged.messages[0], *messages[1:]])
    assert verdict(lake, keys_of=keys_of) == ("verified", False)


def test_keys_that_become_known_later_verify_when_sealed_afresh(tmp_path):
    messages = Drive("car").trip()
    messages[-1] = sign(messages[-1], OWN)
    lake = store(Lake(tmp_path), messages)
    assert verdict(lake) == ("unverified", True)
    assert verdict(lake, keys_of=keys_of) == ("unverified", True)
    assert verdict(lake, keys_of=keys_of, afresh=True) == ("verified", True)


def test_a_key_counts_in_its_own_time_by_our_clock(tmp_path):
    messages = Drive("car", start_ms=0).trip()
    messages[-1] = sign(messages[-1], OWN)
    asked = []
    verdict(store(Lake(tmp_path), messages), keys_of=lambda device, at_ms: asked.append((device, at_ms)) or ())
    assert asked == [("car", START_MS)]


def timed(drive, quality, error_ms):
    """The drive's messages again, by a clock of this quality that is off by so much."""
    told, before = [], b""
    for message in drive.messages:
        opened = wire.decode(message.payload)
        body = opened.body
        if hasattr(body, "started_at_ms"):
            body = replace(body, started_at_ms=body.started_at_ms + error_ms, recording="")
        queued_ms = opened.header.queued_at_ms + error_ms
        header = replace(opened.header, clock_quality=quality, queued_at_ms=queued_ms, prev_hash=before)
        encoded = wire.encode(header, body)
        before = encoded.hash
        told.append(Sent(topics.up(drive.device_id), encoded.payload, message.seq, encoded.hash))
    return told


@pytest.mark.parametrize(
    ("error_ms", "suspect", "off_ms"),
    [
        (-START_MS, True, 0),  # 1970
        (73 * 365 * DAY_MS, True, 0),  # 2099
        (-7_000, False, -7_000),  # a few seconds are the device's to say
        (0, False, 0),
    ],
)
def test_a_clock_that_cannot_be_right_is_flagged_and_corrected(tmp_path, error_ms, suspect, off_ms):
    drive = Drive("car")
    drive.trip()
    lake = store(Lake(tmp_path), timed(drive, pb.CLOCK_UNKNOWN, error_ms), START_MS + 1_000, step_ms=1_000)
    seal(lake, START_MS + DAY_MS)
    trip = lake.scan("trips").collect().row(0, named=True)
    assert trip["clock_suspect"] is suspect
    assert trip["device_start_ms"] == START_MS + error_ms
    assert trip["start_ms"] == START_MS + off_ms
    assert status(lake)[0]["clock_offset_s"] == round(error_ms / 1_000)
    assert status(lake)[0]["late_max_s"] is None


HOUR_MS = 3_600_000


def sealed_trip(root, messages, *received_ms):
    """The trip of messages that were received at these times."""
    lake, worker = Lake(root), Worker(Lake(root), "w", lambda topic, payload: None)
    for message, at_ms in zip(messages, received_ms, strict=True):
        worker.take(message.topic, message.payload, at_ms)
    worker.flush(max(received_ms))
    seal(lake, max(received_ms) + DAY_MS)
    return lake.scan("trips").collect().row(0, named=True)


def live(drive, late_ms=1_000):
    """When messages come that are sent at once, by a clock of ours that is right."""
    return [drive.start_ms + 1_000 * message.seq + late_ms for message in drive.messages]


@pytest.mark.parametrize("quality", [pb.CLOCK_UNKNOWN, pb.CLOCK_NTP, pb.CLOCK_GNSS])
@pytest.mark.parametrize("ahead_ms", [20 * 60_000, 3 * HOUR_MS, 12 * HOUR_MS])
def test_messages_that_come_before_they_were_queued_are_a_wrong_clock_and_correct_it(tmp_path, quality, ahead_ms):
    drive = Drive("car")
    drive.trip()
    trip = sealed_trip(tmp_path, timed(drive, quality, ahead_ms), *live(drive))
    assert (trip["clock_suspect"], trip["start_ms"]) == (True, START_MS + 1_000)
    assert trip["device_start_ms"] == START_MS + ahead_ms


def test_a_recording_that_is_played_may_be_of_any_time(tmp_path):
    drive = Drive("car")
    drive.trip()
    trip = sealed_trip(tmp_path, timed(drive, pb.CLOCK_RECORDED, 3 * HOUR_MS), *live(drive))
    assert (trip["clock_suspect"], trip["start_ms"]) == (False, START_MS + 3 * HOUR_MS)


@given(
    quality=st.sampled_from([pb.CLOCK_UNKNOWN, pb.CLOCK_NTP, pb.CLOCK_GNSS]),
    off_ms=st.integers(-60_000, 60_000),
    ours_ms=st.lists(st.integers(-60_000, 60_000), min_size=6, max_size=6),
    waited_ms=st.lists(st.integers(0, 60 * DAY_MS), min_size=6, max_size=6),
)
@settings(max_examples=15, deadline=None)
def test_a_clock_within_a_minute_is_never_suspect_however_late_its_messages_come(quality, off_ms, ours_ms, waited_ms):
    """Nor if the clocks of our workers are each within a minute."""
    drive = Drive("car")
    drive.trip()
    came = [at + ours + waited for at, ours, waited in zip(live(drive), ours_ms, waited_ms, strict=True)]
    with TemporaryDirectory() as name:
        trip = sealed_trip(Path(name), timed(drive, quality, off_ms), *came)
    assert (trip["clock_suspect"], trip["start_ms"]) == (False, START_MS + off_ms)


def test_one_message_alone_may_have_met_a_worker_whose_clock_is_wrong(tmp_path):
    drive = Drive("car")
    drive.trip()
    came = live(drive)
    came[2] -= 3 * HOUR_MS
    assert sealed_trip(tmp_path / "one", timed(drive, pb.CLOCK_NTP, 0), *came)["clock_suspect"] is False
    came[3] -= 3 * HOUR_MS
    assert sealed_trip(tmp_path / "two", timed(drive, pb.CLOCK_NTP, 0), *came)["clock_suspect"] is True


def test_a_slow_clock_looks_like_a_dead_zone_until_the_device_says_that_it_is_contradicted(tmp_path):
    drive = Drive("car")
    drive.trip()
    slow = timed(drive, pb.CLOCK_NTP, -3 * HOUR_MS)
    assert sealed_trip(tmp_path / "silent", slow, *live(drive))["clock_suspect"] is False
    doubted = timed(drive, pb.CLOCK_CONTRADICTED, -3 * HOUR_MS)
    trip = sealed_trip(tmp_path / "told", [*slow[:3], *doubted[3:]], *live(drive))
    assert (trip["clock_suspect"], trip["clock_quality"]) == (True, pb.CLOCK_NTP)
    assert trip["start_ms"] == START_MS - 3 * HOUR_MS  # flagged, not moved: how long it waited in the car is not known


@pytest.mark.parametrize(("before", "suspect"), [(pb.CLOCK_NTP, True), (pb.CLOCK_UNKNOWN, False)])
def test_a_clock_that_is_set_after_it_claimed_to_be_right_was_wrong(tmp_path, before, suspect):
    drive = Drive("car")
    drive.trip()
    set_later = [*timed(drive, before, -HOUR_MS)[:3], *timed(drive, pb.CLOCK_GNSS, 0)[3:]]
    assert sealed_trip(tmp_path, set_later, *live(drive))["clock_suspect"] is suspect


def test_lateness_is_the_longest_way_by_a_clock_that_was_set(tmp_path):
    drive = Drive("car")
    drive.trip()
    messages = timed(drive, pb.CLOCK_NTP, 0)
    lake = store(Lake(tmp_path), messages[:4], START_MS + 5_000)
    store(lake, messages[4:], START_MS + 3 * DAY_MS)
    assert status(lake)[0]["late_max_s"] == round((3 * DAY_MS - 5_000) / 1_000)
    seal(lake, START_MS + 3 * DAY_MS)
    row = status(lake)[0]
    assert (row["late_max_s"], row["clock_offset_s"]) == (round((3 * DAY_MS - 5_000) / 1_000), -1)


def test_recordings_have_neither_clock_nor_lateness(tmp_path):
    lake = store(Lake(tmp_path), Drive("car").trip())
    row = status(lake)[0]
    assert (row["late_max_s"], row["clock_offset_s"]) == (None, None)


def test_what_waits_is_told_until_its_trip_is_whole(tmp_path):
    messages = Drive("car").trip()
    lake = store(Lake(tmp_path), messages[:4])
    assert [status(lake)[0][name] for name in ("messages", "waiting", "trips")] == [4, 4, 0]
    seal(lake, START_MS)
    assert [status(lake)[0][name] for name in ("messages", "waiting", "trips")] == [4, 4, 0]
    store(lake, messages[4:], START_MS + 1)
    seal(lake, START_MS)
    assert [status(lake)[0][name] for name in ("messages", "waiting", "trips")] == [6, 0, 1]


def test_an_oversized_payload_with_a_header_in_front_is_refused_by_its_seq(tmp_path):
    drive, acks = Drive("car"), []
    message = drive.start()
    worker = Worker(Lake(tmp_path), "w", lambda topic, payload: acks.append((topic, pb.Ack.FromString(payload))))
    worker.take(message.topic, message.payload + b"\x3a\xff\xff\x1f" + bytes(wire.MAX_PAYLOAD_BYTES), START_MS)
    worker.take(message.topic, bytes(wire.MAX_PAYLOAD_BYTES + 1), START_MS)
    worker.take(topics.up("bus"), message.payload + bytes(wire.MAX_PAYLOAD_BYTES), START_MS)
    worker.flush(START_MS)
    assert worker.counters["rejected_oversized"] == 3
    ((topic, told),) = acks
    assert topic == ack("car")
    assert [(span.first, span.last) for span in told.rejected] == [(1, 1)]
