"""Bad input to a running worker: each kind is kept with its reason, counted and acked, and disturbs nothing else."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard

from device.contract import wire
from device.contract import wire_pb2 as pb
from device.contract.wire import Reason
from ingest.contract.lake import Lake
from tests.bench.publisher import Publisher, publish_packet
from tests.ingest.acks import Acks
from tests.ingest.drive import Drive
from tests.ingest.process import Car, Ingest, wait_for

pytestmark = pytest.mark.broker
STREAM = bytes(range(16))
BOMB_BYTES = 2**28
MIB = bytes(2**20)


def payload_of(seq: int, body: bytes = b"", **fields: Any) -> bytes:
    """A message of the bad device, as a foreign writer may make it."""
    usual: dict[str, Any] = {
        "schema_version": 1,
        "device_id": "bad",
        "stream_id": STREAM,
        "seq": seq,
        "prev_hash": bytes(32),
        "body_kind": pb.BODY_HEALTH,
        "body_size": len(body),
    }
    header = pb.Header(**(usual | fields)).SerializeToString()
    return pb.Envelope(header=header, body=body).SerializeToString()


@cache
def frame_of_zeros() -> bytes:
    """256 MiB in a few kB."""
    packer = zstandard.ZstdCompressor().compressobj(size=BOMB_BYTES)
    return b"".join([packer.compress(MIB) for _ in range(BOMB_BYTES // len(MIB))]) + packer.flush()


def bomb(seq: int) -> bytes:
    """A body that says it has 100 bytes."""
    return payload_of(seq, frame_of_zeros(), body_codec=pb.CODEC_ZSTD, body_size=100)


def absurd(seq: int) -> bytes:
    """A car at 6,000 km/h."""
    body = pb.Motion(trip_seq=1, count=3, speed_dkmh=pb.Column(deltas=[60_000, 0, 0])).SerializeToString()
    return payload_of(seq, body, body_kind=pb.BODY_MOTION)


# Kind of bad input -> topic's device, payload of seq n, reason, whether the bad device is told.
BAD = {
    "garbage": ("bad", lambda seq: b"\xff" * seq, Reason.GARBAGE, False),
    "an empty payload": ("bad", lambda seq: b"", Reason.GARBAGE, False),
    "truncated": ("bad", lambda seq: payload_of(seq, b"\n\x03abc")[:-2], Reason.GARBAGE, False),
    "oversized": ("bad", lambda seq: payload_of(seq, bytes(wire.MAX_PAYLOAD_BYTES)), Reason.OVERSIZED, True),
    "a compression bomb": ("bad", bomb, Reason.BAD_BODY, True),
    "a body longer than it says": ("bad", lambda seq: payload_of(seq, b"x" * 9, body_size=8), Reason.BAD_BODY, True),
    "an unknown major version": ("bad", lambda seq: payload_of(seq, schema_version=2), Reason.UNKNOWN_VERSION, True),
    "the topic of another device": ("other", payload_of, Reason.WRONG_DEVICE, False),
    "a topic that names no device": ("b d", payload_of, Reason.WRONG_DEVICE, False),
    "a header out of bounds": ("bad", lambda seq: payload_of(seq, mono_ms=2**60), Reason.BAD_HEADER, True),
    "absurd values": ("bad", absurd, Reason.ABSURD_VALUE, True),
}


def test_every_kind_of_bad_input_is_kept_counted_and_acked_and_a_good_stream_arrives_whole(mosquitto, tmp_path):
    drive = Drive("good")
    drive.trip(batches=5)
    packets, expected, told = [], [], set()
    for seq, (device, make, reason, acked) in enumerate(BAD.values(), start=2):
        packets.append(publish_packet(f"ubi/v1/{device}/up", make(seq), seq))
        expected.append(str(reason))
        told |= {seq} if acked else set()
    with (
        Ingest(mosquitto.url, tmp_path / "lake", "--json") as ingest,
        Acks(mosquitto.port) as acks,
        Publisher(mosquitto.port, "bad") as publisher,
        Car(drive, mosquitto.url, tmp_path) as car,
    ):
        car.queue()
        for packet in packets:
            publisher.send([packet])
            car.step()
        car.deliver()
        wait_for(lambda: acks.read().rejected["bad"] >= told)
        status, out = ingest.stop()
    assert status == 0
    lake, counters = Lake(tmp_path / "lake"), json.loads(out)
    rejects = lake.scan_rejects().sort("received_at_ms", maintain_order=True).collect()
    assert sorted(rejects["reason"]) == sorted(expected)
    assert {reason: counters[f"rejected_{reason}"] for reason in set(expected)} == {
        reason: expected.count(reason) for reason in set(expected)
    }
    assert acks.rejected["bad"] == told
    assert acks.stored["bad"] == acks.rejected["other"] == acks.stored["other"] == set()
    assert max(map(len, rejects["payload"])) <= wire.MAX_PAYLOAD_BYTES
    assert sorted(lake.scan_messages().collect()["payload"]) == sorted(m.payload for m in drive.messages)
    assert acks.rejected["good"] == set()


def test_bad_input_costs_a_worker_no_memory(mosquitto, tmp_path):
    packets = [publish_packet("ubi/v1/bad/up", bomb(2), number) for number in range(50)]
    with Ingest(mosquitto.url, tmp_path / "lake", "--json") as ingest, Publisher(mosquitto.port, "bad") as publisher:
        before_kb = peak_kb(ingest)
        publisher.send(packets)
        wait_for(lambda: Lake(tmp_path / "lake").reject_files())
        assert peak_kb(ingest) - before_kb < BOMB_BYTES // 1024 // 2
        assert ingest.stop()[0] == 0


def peak_kb(ingest: Ingest) -> int:
    """Peak memory of the worker's process."""
    status = Path(f"/proc/{ingest.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
