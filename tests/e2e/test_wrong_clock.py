"""A clock that claims to be right, from the car over a real broker and a real worker into the sealed trip."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from device.agent import Agent
from device.contract import bodies
from device.contract import wire_pb2 as pb
from device.contract.broker import parse_broker
from device.outbox import Outbox
from device.uplink import Uplink
from ingest.contract.lake import Lake
from ingest.seal import seal
from tests.device.agents import OFF, SIGNER, STREAM, decoded, drive
from tests.ingest.process import Ingest, wait_for

HOUR_MS = 3_600_000
DRIVE_S = 300


def mono_ms() -> int:
    return time.monotonic_ns() // 1_000_000 + HOUR_MS  # a machine may be younger than the drive


def utc_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Computer:
    """Its clock says that NTP keeps it, and is off by so much."""

    off_ms: int
    boot_id: bytes = b"boot"
    quality: int = pb.CLOCK_NTP

    def utc_ms(self, mono: int) -> int:
        return utc_ms() - (mono_ms() - mono) + self.off_ms

    def utc_offset_min(self, utc: int) -> int | None:
        return 60


@pytest.mark.broker
@pytest.mark.parametrize(("off_ms", "wrong"), [(0, False), (-3 * HOUR_MS, True)])
def test_a_device_learns_from_an_ack_that_its_clock_is_wrong(mosquitto, tmp_path, off_ms, wrong):
    trip, qualities, counted = driven(mosquitto.url, tmp_path, off_ms)
    assert qualities[0] == pb.CLOCK_NTP  # before the first ack
    assert qualities[-1] == (pb.CLOCK_CONTRADICTED if wrong else pb.CLOCK_NTP)
    assert counted == (1 if wrong else 0)
    assert trip["clock_suspect"] is wrong


def driven(url: str, folder: Path, off_ms: int) -> tuple[dict[str, object], list[int], int]:
    """The sealed trip, the clock's quality in its messages, and what health counts."""
    start_ms = mono_ms() - (DRIVE_S + 1) * 1_000
    readings = drive(DRIVE_S, start_ms=start_ms)
    with Ingest(url, folder / "lake"), Outbox(folder / "outbox", STREAM) as outbox:
        agent = Agent(OFF, outbox, SIGNER.sign, Computer(off_ms), start_ms)
        uplink = Uplink("car", parse_broker(url), on_time=agent.hear_insurer)
        uplink.add(outbox)
        sent: list[bytes] = []

        def all_acked() -> bool:
            uplink.step(mono_ms(), 0.02)
            return outbox.waiting() == 0

        def deliver() -> None:
            sent.extend(row.payload for row in outbox.unacked(1_000_000))
            wait_for(all_acked)
            uplink.step(mono_ms())

        half = len(readings) // 2
        for part in (readings[:half], readings[half:]):
            for reading in part:
                agent.push(reading)
            agent.commit()
            deliver()
        agent.finish()
        deliver()
        uplink.stop()
    lake = Lake(folder / "lake")
    seal(lake, utc_ms())
    messages = decoded(sent)
    counters = [m.body.counters for m in messages if isinstance(m.body, bodies.Health)]
    counted = sum(counter.get("clock_contradicted", 0) for counter in counters)
    qualities = [message.header.clock_quality for message in messages]
    return lake.scan("trips").collect().row(0, named=True), qualities, counted
