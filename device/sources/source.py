"""What every live sensor looks like to the agent: something to wait for, and to take readings from."""

from __future__ import annotations

import select
import time
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol

from device.contract.signals import Reading

NANOSECONDS_PER_MS: Final = 1_000_000
WATCH_MS: Final = 1_000  # how often a source that is connected wants to be looked after at least
STALL_MS: Final = 3 * WATCH_MS  # not taken from for so long, this computer slept: that was no silence of the sensor
NEVER_MS: Final = 3_600_000  # until `wake_ms` of a source that wants nothing


class Source(Protocol):
    """One thing that gives readings. Every call returns at once; what goes wrong outside is counted, never raised.

    Times are milliseconds since boot (`since_boot_ms`), those passed in and those of readings.

    Attributes
    ----------
    name : str
        "obd", "gnss" or "imu".
    """

    name: str

    @property
    def counters(self) -> Mapping[str, int]:
        """Totals since the start; names begin with the source's name."""

    def fileno(self) -> int | None:
        """What to wait on; None while there is nothing to wait on. It may change with every `take`."""

    def take(self, now_ms: int) -> list[Reading]:
        """Return what has come, oldest first; connecting, watching and restarting happen here, as time tells."""

    def wake_ms(self, now_ms: int) -> int:
        """Return when `take` wants to be called at the latest, whatever the file descriptor says."""

    def pause(self) -> None:
        """Stop asking: the sensor is left alone until `resume`."""

    def resume(self) -> None:
        """Go on, without waiting for what is left of a back-off."""

    def close(self) -> None:
        """Stop and let go of the port."""


class Waiting:
    """Readings of one source one by one, for whoever has nothing else to wait for."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._readings: deque[Reading] = deque()

    def read(self, timeout_s: float) -> Reading | None:
        """Return the next reading, or None when none came within `timeout_s` seconds."""
        source = self._source
        until_ms = since_boot_ms() + timeout_s * 1_000
        while not self._readings:
            self._readings.extend(source.take(since_boot_ms()))
            now_ms = since_boot_ms()
            if self._readings or now_ms >= until_ms:
                break
            fileno = source.fileno()
            wait_s = max(0.0, (min(until_ms, source.wake_ms(now_ms)) - now_ms) / 1_000)
            select.select([] if fileno is None else [fileno], [], [], wait_s)
        return self._readings.popleft() if self._readings else None


def since_boot_ms() -> int:
    """Return the time since boot, which goes on in sleep: the monotonic clock of `device.clock`."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // NANOSECONDS_PER_MS
