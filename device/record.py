"""`ubi device record`: what the sensors say, into a file that `ubi replay` plays.

Sensors.take -> Merge -> strict order -> RecordingWriter, on the disk every FLUSH_MS
"""

from __future__ import annotations

import math
import select
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from device.clock import SystemClock
from device.config import DeviceConfig
from device.contract import wire_pb2 as pb
from device.contract.errors import RecordingError, TryAgainError
from device.contract.recorder import RecordingWriter
from device.contract.recording import RecordingHead, reading_order
from device.contract.signals import Reading
from device.merge import Merge
from device.sensors import Sensors

FLUSH_MS: Final = 5_000  # what a kill or a power cut may cost
FIRST_WITHIN_MS: Final = 90_000  # an adapter that searches for its bus takes up to 60 s
STEP_MS: Final = 100

Stopping = Callable[[], bool]


def record(config: DeviceConfig, target: Path, stopping: Stopping, seconds: float | None = None) -> int:
    """Write what the sensors say to a recording until `stopping()`, or for so many seconds from the first reading on.

    Returns
    -------
    int
        How many readings were written.

    Raises
    ------
    TryAgainError
        No reading came within FIRST_WITHIN_MS, or before it was told to stop.
    RecordingError
        The file is there already, or cannot be written.
    """
    if target.exists():
        raise RecordingError(str(target), "is there already; name another file, or move it away")
    if not target.parent.is_dir():  # told now, not once the adapter has been found
        raise RecordingError(str(target.parent), "there is no such folder; make it, or name another file")
    clock, merge = SystemClock(config.zone), Merge()
    with Sensors.of(config) as sensors:
        waited = _first(sensors, merge, clock, stopping)
        first_ms = waited[0].t_ms
        until_ms = math.inf if seconds is None else first_ms + seconds * 1_000
        with RecordingWriter(target, _head(config, sensors, clock, first_ms)) as writer:
            frames = _Frames(writer, first_ms)
            frames.take(waited, clock.mono_ms())
            while not stopping() and clock.mono_ms() < until_ms:
                merge.add(_heard(sensors, clock))
                frames.take(merge.due(clock.mono_ms()), clock.mono_ms())
            frames.take([reading for reading in merge.flush() if reading.t_ms <= until_ms], clock.mono_ms())
            frames.write()
        return frames.written


class _Frames:
    """Readings in the strict order of a recording: a late one, and a signal's second in one millisecond, is dropped."""

    def __init__(self, writer: RecordingWriter, first_ms: int) -> None:
        self._writer = writer
        self.written = 0
        self._first_ms = first_ms
        self._last = (0, -1)
        self._flushed_ms: int | None = None
        self._frame: list[Reading] = []

    def take(self, readings: Sequence[Reading], now_ms: int) -> None:
        for reading in sorted((r._replace(t_ms=r.t_ms - self._first_ms) for r in readings), key=reading_order):
            order = reading_order(reading)
            if order > self._last:
                self._last = order
                self._frame.append(reading)
        if self._flushed_ms is None or now_ms - self._flushed_ms >= FLUSH_MS:
            self._flushed_ms = now_ms
            self.write()

    def write(self) -> None:
        self._writer.write(self._frame)
        self.written += len(self._frame)
        self._frame = []


def _first(sensors: Sensors, merge: Merge, clock: SystemClock, stopping: Stopping) -> list[Reading]:
    """The first readings, in order."""
    until_ms = clock.mono_ms() + FIRST_WITHIN_MS
    while not stopping() and clock.mono_ms() < until_ms:
        merge.add(_heard(sensors, clock))
        if readings := merge.due(clock.mono_ms()):
            return readings
    if readings := merge.flush():
        return readings
    raise TryAgainError(f"not one reading came: {sensors.why_silent()}; `ubi device check` says what to do")


def _heard(sensors: Sensors, clock: SystemClock) -> list[Reading]:
    select.select(sensors.filenos(), [], [], STEP_MS / 1_000)
    return list(sensors.take(clock.mono_ms()))


def _head(config: DeviceConfig, sensors: Sensors, clock: SystemClock, first_ms: int) -> RecordingHead:
    started_at_ms = clock.utc_ms(first_ms)
    return RecordingHead(
        source="+".join(sensors.names),
        vehicle=config.vehicle,
        started_at_ms=started_at_ms,
        utc_offset_min=clock.utc_offset_min(started_at_ms),
        notes={
            "adapter": sensors.obd.health.adapter or "",
            "device_id": config.device_id,
            "clock": "ntp" if clock.quality == pb.CLOCK_NTP else "not known to be right",
        },
    )
