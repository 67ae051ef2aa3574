"""A drive heard over pseudo-terminals, in its own time, by the device's own sources."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final, NamedTuple

from device.contract.signals import BY_NAME, Reading
from device.sources.gnss import gnss_source
from device.sources.imu import imu_source
from device.sources.obd import ObdSource
from device.sources.schedule import PERIODS_MS
from device.sources.source import Source, since_boot_ms
from replay_data.elm327 import Elm327, PlayedAdapter
from replay_data.plan import Trip
from replay_data.pseudo_terminal import NANOSECONDS_PER_MS, PlayClock
from replay_data.serial_gnss import played_gnss
from replay_data.serial_imu import played_imu

SILENT_MS: Final = 60_000
WAIT_S: Final = 0.1


class Told(NamedTuple):
    """What control unit, receiver and IMU of a drive have to say."""

    ecu: list[Reading]
    gnss: list[Reading]
    imu: list[Reading]


def by_ports(told: Told, end_ms: int, trip: Trip) -> list[Reading]:
    """Listen to the end of the drive; times are those of the drive, one for each reading of a signal.

    Raises
    ------
    ConnectionError
        No source said anything for a minute.
    """
    clock = PlayClock(rate=trip.rate)
    with ExitStack() as stack:
        sources = list(_sources(stack, told, clock, trip))
        if trip.vehicle.adapter is None:
            clock.start()
        readings: list[Reading] = []
        last: dict[str, int] = {}
        heard_ms = since_boot_ms()
        while clock.now_ms() < end_ms:
            now_ms = since_boot_ms()
            files = [fileno for source in sources if (fileno := source.fileno()) is not None]
            select.select(files, [], [], WAIT_S)
            for reading in (reading for source in sources for reading in source.take(since_boot_ms())):
                heard_ms = now_ms
                if not clock.started:
                    continue
                t_ms = round(clock.play_ms(reading.t_ms * NANOSECONDS_PER_MS))
                if t_ms > last.get(reading.signal, -1) and _is_plausible(reading):
                    last[reading.signal] = t_ms
                    readings.append(reading._replace(t_ms=t_ms))
            if now_ms - heard_ms > SILENT_MS:
                raise ConnectionError("no source gave a reading for a minute")
    return readings


def _sources(stack: ExitStack, told: Told, clock: PlayClock, trip: Trip) -> Iterator[Source]:
    """Ports and the sources that listen to them, all entered; the adapter's first request starts the clock."""
    vehicle, rate = trip.vehicle, trip.rate
    if vehicle.gnss is not None and vehicle.heard:
        started_at_ms = int(trip.started_at.timestamp()) * 1_000
        port = stack.enter_context(played_gnss(told.gnss, started_at_ms, clock)).port
        yield stack.enter_context(gnss_source(port))
    if vehicle.imu is not None:
        yield stack.enter_context(imu_source(stack.enter_context(played_imu(told.imu, clock)).port))
    if vehicle.adapter is not None:
        elm = Elm327(told.ecu)
        played = PlayedAdapter(elm, latency_ms=vehicle.adapter.latency_ms / rate, clock=clock)
        periods_ms = {name: round(period_ms / rate) for name, period_ms in PERIODS_MS.items()}
        yield stack.enter_context(ObdSource(stack.enter_context(played).port, periods_ms=periods_ms))


def _is_plausible(reading: Reading) -> bool:
    signal = BY_NAME[reading.signal]
    return reading.value is None or signal.low <= reading.value <= signal.high
