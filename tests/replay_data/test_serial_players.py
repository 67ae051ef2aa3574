"""A recorded drive through three pseudo-terminals at once: adapter, GNSS receiver and IMU, read as in a car."""

from __future__ import annotations

import math
import select

import pytest

from device.contract.signals import Reading
from device.sources.gnss import gnss_source
from device.sources.imu import imu_source
from device.sources.obd import ObdSource
from device.sources.source import since_boot_ms
from replay_data.elm327 import Elm327, PlayedAdapter
from replay_data.pseudo_terminal import PlayClock
from replay_data.serial_gnss import played_gnss
from replay_data.serial_imu import played_imu

pytestmark = pytest.mark.timeout(60)

STARTED_AT_MS = 1_762_156_800_000
IMU_MS = 20


def drive(seconds=3_600):
    """A car that gathers speed along a meridian, with what its sensors say of it."""
    for t_ms in range(0, seconds * 1_000, IMU_MS):
        yield Reading(t_ms, "accel_x_mps2", math.sin(t_ms / 500))
        yield Reading(t_ms, "accel_y_mps2", 0.5)
        yield Reading(t_ms, "accel_z_mps2", 9.8)
        if t_ms % 200 == 0:
            yield Reading(t_ms, "speed_kmh", float(20 + t_ms // 1_000))
            yield Reading(t_ms, "rpm", 1_500.0)
        if t_ms % 1_000 == 0:
            yield Reading(t_ms, "latitude_deg", 50 + t_ms / 1e8)
            yield Reading(t_ms, "longitude_deg", 8.0)
            yield Reading(t_ms, "gnss_speed_kmh", 20.0 + t_ms // 1_000)


def listen(sources, until_ms):
    """Take from whichever speaks, one thread for all, as the agent does.

    Each reading comes with the time by which it was read: a machine that stalls in between reads more than had come.
    """
    taken = []
    while since_boot_ms() < until_ms and not enough(r for r, _ in taken):
        now_ms = since_boot_ms()
        for source in sources:
            readings = source.take(now_ms)
            read_ms = since_boot_ms()
            taken += [(reading, read_ms) for reading in readings]
        wake_ms = min(source.wake_ms(now_ms) for source in sources)
        files = [fileno for source in sources if (fileno := source.fileno()) is not None]
        select.select(files, [], [], max(0.0, (wake_ms - now_ms) / 1_000))
    return taken


def enough(readings):
    readings = list(readings)
    return {"speed_kmh", "latitude_deg"} <= {r.signal for r in readings} and sum(
        r.signal == "accel_x_mps2" and r.value > 0.5 for r in readings
    ) >= 20


def test_three_ports_are_played_on_one_clock_and_read_by_one_thread():
    readings = list(drive(60))
    clock = PlayClock()
    with (
        PlayedAdapter(Elm327(readings), clock=clock) as adapter,
        played_gnss(readings, STARTED_AT_MS, clock) as gnss,
        played_imu(readings, clock) as imu,
        ObdSource(adapter.port, protocol="6") as obd,
        gnss_source(gnss.port) as receiver,
        imu_source(imu.port) as box,
    ):
        sources = [obd, receiver, box]
        taken = listen(sources, since_boot_ms() + 40_000)
        assert enough(r for r, _ in taken), [source.counters for source in sources]
        assert clock.started
        begun_ns = since_boot_ms() * 1_000_000
        assert {name: n for source in sources for name, n in source.counters.items()} == {
            "obd_connected": 1,
            "gnss_connected": 1,
            "imu_connected": 1,
        }

        played = [(reading, clock.play_ms(read_ms * 1_000_000)) for reading, read_ms in taken]
        assert clock.play_ms(begun_ns) > 0
    # A machine may stall, so what was read may be old; it is never from the future.
    for reading, by_ms in played:
        if by_ms > 0 and reading.signal in {"speed_kmh", "gnss_speed_kmh"}:
            assert reading.value <= 20 + by_ms / 1_000 + 0.01
        elif by_ms > 0 and reading.signal == "gnss_utc_s":
            assert reading.value <= (STARTED_AT_MS + by_ms) / 1_000 + 0.01
    # Until the drive begins the receiver has no fix and the box lies still.
    standing = [reading for reading, by_ms in played if by_ms <= 0]
    assert {r.value for r in standing if r.signal == "gnss_fix"} == {0.0}
    assert {r.value for r in standing if r.signal == "accel_x_mps2"} == {0.0}
