"""Where UTC comes from. Inside the device all times are monotonic; UTC is only told, never computed with.

GNSS readings -> CarClock <- the computer's clock (NTP, or not known to be right), or a recording's
                    ^-- the insurer's time in its acks: it can contradict NTP, never GNSS, and sets nothing
"""

from __future__ import annotations

import ctypes
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol
from zoneinfo import ZoneInfo

from device.contract import wire_pb2 as pb
from device.contract.signals import Reading
from device.contract.wire import CLOCK_TOLERANCE_MS

BOOT_ID_FILE: Final = Path("/proc/sys/kernel/random/boot_id")
STA_UNSYNC: Final = 0x40  # status bit of adjtimex(2): the kernel's clock is not disciplined
TIMEX_BYTES: Final = 512  # more than struct timex has on any machine
TIMEX_STATUS_LONGS: Final = 5  # modes (padded), offset, freq, maxerror, esterror: then comes status

# A GNSS time counts once this many in a row agree: one garbled sentence, or a receiver without almanac, moves nothing.
GNSS_AGREE_MS: Final = 500
GNSS_CONFIRM: Final = 3
# After this long without GNSS a clock that NTP keeps is the better one: a crystal of 50 ppm is then 4 s off.
GNSS_FRESH_MS: Final = 86_400_000

# An ack that was longer on its way says too little of the time.
ANSWER_MAX_MS: Final = 120_000

KNOWN: Final = frozenset({pb.CLOCK_NTP, pb.CLOCK_GNSS, pb.CLOCK_RECORDED})


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


class CarClock:
    """UTC as the car knows it: by GNSS where it was heard in this boot, else by the clock it was given.

    UTC by GNSS is monotonic time plus one number that changes only when three readings in a row say so: it never
    jitters, and a step of the computer's clock does not touch it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_ms: int | None = None  # UTC minus monotonic time, by GNSS
        self._heard_ms = 0  # last reading that agreed
        self._doubt: tuple[int, int] = (0, 0)  # another difference, and how often it was heard in a row
        self._insurer: tuple[int, int] | None = None  # UTC minus monotonic time lies within, by the insurer's clock

    def hear(self, reading: Reading) -> None:
        """Take a `gnss_utc_s` reading."""
        if reading.value is None:
            return
        ahead_ms = round(reading.value * 1_000) - reading.t_ms
        if self._ahead_ms is not None and abs(ahead_ms - self._ahead_ms) <= GNSS_AGREE_MS:
            self._heard_ms, self._doubt = reading.t_ms, (0, 0)
            return
        other_ms, times = self._doubt
        if times and abs(ahead_ms - other_ms) <= GNSS_AGREE_MS:
            self._doubt = (max(ahead_ms, other_ms), times + 1)  # a sentence comes late, never early
        else:
            self._doubt = (ahead_ms, 1)
        if self._doubt[1] >= GNSS_CONFIRM:
            self._ahead_ms, self._heard_ms, self._doubt = self._doubt[0], reading.t_ms, (0, 0)

    def hear_insurer(self, utc_ms: int, before_ms: int, after_ms: int) -> None:
        """Take the time that an ack tells.

        Cristian's method: the insurer's clock showed `utc_ms` at some moment between two of our monotonic times, so UTC
        minus monotonic time is known to within the way there and back. Nobody signs an ack: a false one can make
        us doubt a clock until the next one, and no more.
        """
        if after_ms - before_ms <= ANSWER_MAX_MS:
            self._insurer = (utc_ms - after_ms, utc_ms - before_ms)

    def quality(self, mono_ms: int) -> int:
        """Number of the wire's ClockQuality at a monotonic time."""
        if not self._by_gnss(mono_ms):
            return self._given(mono_ms)
        # GNSS inside a recording tells when it was recorded: whoever compares it with today must not correct it.
        return pb.CLOCK_RECORDED if isinstance(self._clock, RecordedClock) else pb.CLOCK_GNSS

    def is_known(self, mono_ms: int) -> bool:
        """Whether UTC is known at all."""
        return self.quality(mono_ms) in KNOWN

    def utc_ms(self, mono_ms: int) -> int:
        """UTC of a monotonic time."""
        if self._by_gnss(mono_ms) and self._ahead_ms is not None:
            return mono_ms + self._ahead_ms
        return self._clock.utc_ms(mono_ms)

    def _by_gnss(self, mono_ms: int) -> bool:
        if self._ahead_ms is None:
            return False
        return mono_ms - self._heard_ms <= GNSS_FRESH_MS or self._given(mono_ms) not in KNOWN

    def _given(self, mono_ms: int) -> int:
        """Quality of the computer's clock: what it claims, unless the insurer's last ack says otherwise."""
        claimed = self._clock.quality
        if claimed != pb.CLOCK_NTP or self._insurer is None:
            return claimed
        least_ms, most_ms = self._insurer
        ahead_ms = self._clock.utc_ms(mono_ms) - mono_ms
        agrees = least_ms - CLOCK_TOLERANCE_MS <= ahead_ms <= most_ms + CLOCK_TOLERANCE_MS
        return claimed if agrees else pb.CLOCK_CONTRADICTED

    def to_state(self) -> list[Any]:
        """JSON form; it holds within one boot."""
        return [self._ahead_ms, self._heard_ms, list(self._doubt), self._insurer]

    def restore(self, state: list[Any]) -> None:
        """Go on where `to_state` was taken."""
        self._ahead_ms, self._heard_ms, self._doubt = state[0], state[1], (state[2][0], state[2][1])
        insurer = state[3] if len(state) > 3 else None  # an earlier release had no more
        self._insurer = None if insurer is None else (insurer[0], insurer[1])


class SystemClock:
    """The computer's own clock. Monotonic time counts from boot and goes on in sleep.

    Parameters
    ----------
    zone : ZoneInfo
        Zone of the car, from the device configuration: never the computer's.
    is_synchronised : callable
        Whether NTP keeps the clock.
    """

    def __init__(self, zone: ZoneInfo, is_synchronised: Callable[[], bool] | None = None) -> None:
        self._zone = zone
        self._is_synchronised = is_synchronised or kernel_is_synchronised
        self.boot_id = uuid.UUID(BOOT_ID_FILE.read_text(encoding="ascii").strip()).bytes

    def mono_ms(self) -> int:
        """Time since boot."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000

    @property
    def quality(self) -> int:
        """NTP while the kernel's clock is disciplined; a clock set otherwise is not known to be right."""
        return pb.CLOCK_NTP if self._is_synchronised() else pb.CLOCK_UNKNOWN

    def utc_ms(self, mono_ms: int) -> int:
        """UTC of a monotonic time, by the clock as it is set now."""
        return time.time_ns() // 1_000_000 - (self.mono_ms() - mono_ms)

    def utc_offset_min(self, utc_ms: int) -> int | None:
        """Offset of the configured zone at that time."""
        return offset_min(self._zone, utc_ms)


def offset_min(zone: ZoneInfo, utc_ms: int) -> int | None:
    """Local time of a zone minus UTC at a time, minutes."""
    offset = datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone(zone).utcoffset()
    return None if offset is None else round(offset.total_seconds() / 60)


def kernel_is_synchronised() -> bool:
    """Whether the kernel's clock is disciplined, which systemd-timesyncd, chrony (rtcsync) and ntpd all tell it.

    Reading needs no privilege. The kernel takes the mark away when somebody sets the clock by hand, and when the error
    may have grown beyond 16 s since the last answer of a server (some nine hours).
    """
    timex = (ctypes.c_long * (TIMEX_BYTES // ctypes.sizeof(ctypes.c_long)))()  # modes = 0: only read
    if ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) < 0:
        return False
    status = ctypes.c_int.from_buffer(timex, TIMEX_STATUS_LONGS * ctypes.sizeof(ctypes.c_long)).value
    return not status & STA_UNSYNC


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
