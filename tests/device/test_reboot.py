"""A computer that restarts in mid-trip: one trip where the time away is known and short, else two."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from device.agent import Agent
from device.contract import bodies
from device.contract import wire_pb2 as pb
from device.contract.signals import Reading
from device.outbox import Outbox
from tests.device.agents import FULL, MONDAY_MS, SIGNER, STREAM, decoded, of_kind, payloads

PATIENT = replace(FULL, patience_ms=30_000, commit_ms=3_000)
BROKEN_OFF_MS = 300_000  # when the first boot ends
RUN_TIME_EVERY_MS = 10_000


class BootClock:
    """One boot: monotonic time counts from its start, UTC is right or not known."""

    def __init__(self, name: bytes, began_ms: int, quality: int = pb.CLOCK_NTP) -> None:
        self.boot_id, self.quality = name, quality
        self._began_ms = began_ms

    def utc_ms(self, mono_ms: int) -> int:
        return (MONDAY_MS if self.quality else 0) + self._began_ms + mono_ms

    def utc_offset_min(self, utc_ms: int) -> int | None:
        return 60


def car(from_ms: int, until_ms: int, began_ms: int = 0, speed_kmh: float = 72.0) -> list[Reading]:
    """A car in motion from 0 on, heard by a boot that began at `began_ms`; it tells its engine's run time, too."""
    readings = []
    for t_ms in range(from_ms, until_ms, 500):
        readings.append(Reading(t_ms - began_ms, "speed_kmh", speed_kmh))
        readings.append(Reading(t_ms - began_ms, "rpm", 2_000.0))
        if t_ms % RUN_TIME_EVERY_MS == 0:
            readings.append(Reading(t_ms - began_ms, "run_time_s", t_ms // 1_000 + 60.0))
    return readings


def first_boot(path: Path, quality: int) -> None:
    with Outbox(path, STREAM) as outbox:
        agent = Agent(PATIENT, outbox, SIGNER.sign, BootClock(b"one", 0, quality))
        for reading in car(0, BROKEN_OFF_MS):
            agent.push(reading)
    # no commit: the power is cut


def second_boot(path: Path, quality: int, *, down_ms: int, boots_ms: int = 20_000, signals: str = "all") -> list[Any]:
    """The computer is back `down_ms` later, and hears the car `boots_ms` after that; returns all messages."""
    began_ms = BROKEN_OFF_MS + down_ms
    with Outbox(path, STREAM) as outbox:
        agent = Agent(PATIENT, outbox, SIGNER.sign, BootClock(b"two", began_ms, quality), boots_ms)
        for reading in car(began_ms + boots_ms, began_ms + boots_ms + 120_000, began_ms):
            if signals == "all" or reading.signal != "run_time_s":
                agent.push(reading)
        for now_ms in range(140_000, 400_000, 1_000):
            agent.advance(now_ms)
        return decoded(payloads(outbox))


def end_reasons(messages: list[Any]) -> list[int]:
    return [end.reason for end in of_kind(messages, bodies.TripEnd)]


@pytest.mark.parametrize(
    ("quality", "signals"), [(pb.CLOCK_NTP, "no run time"), (pb.CLOCK_UNKNOWN, "all"), (pb.CLOCK_GNSS, "all")]
)
def test_a_restart_of_a_minute_is_inside_the_trip(tmp_path, quality, signals):
    first_boot(tmp_path / "a", quality)
    messages = second_boot(tmp_path / "a", quality, down_ms=40_000, signals=signals)
    assert end_reasons(messages) == [pb.END_INACTIVE]
    (end,) = of_kind(messages, bodies.TripEnd)
    assert len(of_kind(messages, bodies.TripStart)) == 1
    assert 478_000 <= end.summary.duration_ms <= 484_000  # 300 s, a minute away, 120 s; run time is in whole seconds
    assert 58_000 <= end.summary.unobserved_ms <= 70_000
    assert end.summary.distance_mm == pytest.approx(418 * 20_000, rel=0.015)
    assert sum(health.counters.get("trips_resumed", 0) for health in of_kind(messages, bodies.Health)) == 1


def test_times_of_motion_and_chain_rise_over_the_restart(tmp_path):
    first_boot(tmp_path / "a", pb.CLOCK_NTP)
    messages = second_boot(tmp_path / "a", pb.CLOCK_NTP, down_ms=40_000)
    assert [message.header.seq for message in messages] == list(range(1, len(messages) + 1))
    assert {message.header.boot_id for message in messages} == {b"one", b"two"}
    batches = of_kind(messages, bodies.Motion)
    assert all(a.first_t_ms + a.count * 500 <= b.first_t_ms for a, b in pairwise(batches))
    utc = [message.header.queued_at_ms for message in messages]
    assert utc == sorted(utc)


@pytest.mark.parametrize("quality", [pb.CLOCK_NTP, pb.CLOCK_UNKNOWN])
def test_a_restart_of_more_than_180_s_ends_the_trip(tmp_path, quality):
    first_boot(tmp_path / "a", quality)
    messages = second_boot(tmp_path / "a", quality, down_ms=200_000)
    assert end_reasons(messages) == [pb.END_REBOOT, pb.END_INACTIVE]
    first, second = of_kind(messages, bodies.TripEnd)
    assert first.summary.distance_mm + second.summary.distance_mm == pytest.approx(416 * 20_000, rel=0.015)
    assert first.summary.unobserved_ms == second.summary.unobserved_ms == 0


def test_a_restart_of_unknown_length_ends_the_trip_after_30_s_and_loses_no_reading(tmp_path):
    first_boot(tmp_path / "a", pb.CLOCK_UNKNOWN)
    messages = second_boot(tmp_path / "a", pb.CLOCK_UNKNOWN, down_ms=40_000, signals="no run time")
    assert end_reasons(messages) == [pb.END_REBOOT, pb.END_INACTIVE]
    _, second = of_kind(messages, bodies.TripEnd)
    assert second.summary.distance_mm == pytest.approx(119 * 20_000, rel=0.01)


def test_a_second_restart_before_it_is_decided_leaves_the_trip_to_the_third(tmp_path):
    first_boot(tmp_path / "a", pb.CLOCK_NTP)
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = Agent(PATIENT, outbox, SIGNER.sign, BootClock(b"lost", BROKEN_OFF_MS + 10_000, pb.CLOCK_UNKNOWN), 5_000)
        agent.push(Reading(6_000, "speed_kmh", 72.0))
        agent.commit()
    messages = second_boot(tmp_path / "a", pb.CLOCK_NTP, down_ms=40_000)
    assert end_reasons(messages) == [pb.END_INACTIVE]


def test_a_clock_that_gnss_sets_within_30_s_resumes_the_trip(tmp_path):
    first_boot(tmp_path / "a", pb.CLOCK_NTP)
    began_ms = BROKEN_OFF_MS + 40_000
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = Agent(PATIENT, outbox, SIGNER.sign, BootClock(b"two", began_ms, pb.CLOCK_UNKNOWN), 10_000)
        for t_ms in range(11_000, 60_000, 1_000):
            agent.push(Reading(t_ms, "speed_kmh", 72.0))
            if t_ms >= 20_000:
                agent.push(Reading(t_ms, "gnss_utc_s", (MONDAY_MS + began_ms + t_ms) / 1_000))
        agent.finish()
        messages = decoded(payloads(outbox))
    assert end_reasons(messages) == [pb.END_OF_RECORDING]
    (end,) = of_kind(messages, bodies.TripEnd)
    assert end.summary.duration_ms == pytest.approx(400_000, abs=1_500)


def test_parked_over_a_restart_the_next_trip_waits_for_the_clock(tmp_path):
    with Outbox(tmp_path / "a", STREAM) as outbox:
        agent = Agent(PATIENT, outbox, SIGNER.sign, BootClock(b"one", 0))
        for t_ms in range(0, 10_000, 500):
            agent.push(Reading(t_ms, "speed_kmh", 0.0))
        agent.commit()
    with Outbox(tmp_path / "a", STREAM) as outbox:
        clock = BootClock(b"two", 90_000_000, pb.CLOCK_UNKNOWN)
        agent = Agent(PATIENT, outbox, SIGNER.sign, clock, 8_000)
        for reading in car(90_009_000, 90_090_000, 90_000_000):
            if reading.t_ms > 25_000:
                clock.quality = pb.CLOCK_NTP
            agent.push(reading)
        agent.finish()
        messages = decoded(payloads(outbox))
    (start,) = of_kind(messages, bodies.TripStart)
    assert start.started_at_ms == MONDAY_MS + 90_009_000
    assert start.utc_offset_min == 60
    assert start.start_mono_ms == 9_000
