"""Where UTC comes from. Inside the device all times are monotonic; UTC is only told, never computed with."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from device.contract import wire_pb2 as pb

BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")
TIMESYNC_FILE: Final = Path("/run/systemd/timesync/synchronized")  # made by systemd-timesyncd once NTP has answered


class Clock(Protocol):
    """What the agent needs to know of time beyond the monotonic times of its readings."""

    @property
    def boot_id(self) -> bytes:
        """Up to 16 bytes; monotonic times of two boots do not compare."""

    @property
    def quality(self) -> int:
        """Number of the wire's ClockQuality."""

    def utc_ms(self, mono_ms: int) -> int:
        """UTC of a monotonic time, as the device believes it now."""

    def utc_offset_min(self, utc_ms: int) -> int | None:
        """Local time minus UTC, None when not known."""


class SystemClock:
    """The computer's own clock. Monotonic time counts from boot and goes on in sleep.

    Parameters
    ----------
    zone : ZoneInfo
        Zone of the car, from the device configuration: never the computer's.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self.boot_id = uuid.UUID(BOOT_ID_FILE.read_text(encoding="ascii").strip()).bytes

    def mono_ms(self) -> int:
        """Time since boot."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    @property
    def quality(self) -> int:
        """NTP once systemd-timesyncd has synchronised; a clock set otherwise is not known to be right."""
        return pb.CLOCK_NTP if TIMESYNC_FILE.exists() else pb.CLOCK_UNKNOWN

    def utc_ms(self, mono_ms: int) -> int:
        """UTC of a monotonic time, by the clock as it is set now."""
        return time.time_ns() // 1_000_000 - (self.mono_ms() - mono_ms)

    def utc_offset_min(self, utc_ms: int) -> int | None:
        """Offset of the configured zone at that time."""
        offset = datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone(self._zone).utcoffset()
        return None if offset is None else round(offset.total_seconds() / 60)


class RecordedClock:
    """The clock of a recording: the same times whenever it is played.

    Parameters
    ----------
    started_at_ms : int or None
        UTC at the recording's zero. None = not known: times count from 1970 and the quality says so.
    utc_offset_min : int or None
    boot_id : bytes
        One recording is one boot.
    """

    def __init__(self, started_at_ms: int | None, utc_offset_min: int | None, boot_id: bytes) -> None:
        self._started_at_ms = started_at_ms or 0
        self._utc_offset_min = utc_offset_min
        self.boot_id = boot_id
        self.quality: int = pb.CLOCK_UNKNOWN if started_at_ms is None else pb.CLOCK_RECORDED

    def utc_ms(self, mono_ms: int) -> int:
        """UTC of a time of the recording."""
        return self._started_at_ms + mono_ms

    def utc_offset_min(self, utc_ms: int) -> int | None:  # noqa: ARG002 - one offset for the whole recording
        """Offset that the recording tells."""
        return self._utc_offset_min
