"""How long the computer was away: where on the time axis of the last boot this boot lies.

    a moment of the last boot + readings and clock of this boot -> milliseconds to add to this boot's monotonic time

By UTC where the clock was right then and is right now; else by the engine's run time, which the control unit counts on
while the computer restarts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from device.contract.signals import Reading
from device.trips import TRIP_GAP_MS

# Whole seconds, read at some time within them, on both sides.
RUN_TIME_ERROR_MS: Final = 2_000
RUN_TIME_FULL_S: Final = 65_535  # the counter of SAE J1979 stops here
# A clock by NTP or GNSS on both sides may be so far apart from itself.
UTC_ERROR_MS: Final = 1_500


class Landing(NamedTuple):
    """Where this boot lies. `resumed` is None where no trip was running, else whether it goes on."""

    offset_ms: int
    resumed: bool | None


class Resume:
    """Decides, once, where this boot lies; readings wait here meanwhile.

    Parameters
    ----------
    before : Moment
        The last of the boot before.
    in_trip : bool
        Whether a trip was running then. Then UTC and run time may tell; else readings wait for the clock alone,
        because a trip starts with the UTC that is known by then.
    started_ms, patience_ms : int
        Monotonic time of the start, and how long to wait after it.
    """

    def __init__(self, before: Moment, *, in_trip: bool, started_ms: int, patience_ms: int) -> None:
        self.waiting: list[Reading] = []
        self._before = before
        self._in_trip = in_trip
        self._until_ms = started_ms + patience_ms
        self._run_time: Reading | None = None

    def hear(self, reading: Reading) -> None:
        """Let a reading wait."""
        self.waiting.append(reading)
        if reading.signal == "run_time_s":
            self._run_time = reading

    def decide(self, now_ms: int, utc_ms: int | None) -> Landing | None:
        """Answer, or None while it is worth waiting. `utc_ms` is now, None where it is not known."""
        before = self._before
        offset_ms = None if utc_ms is None else axis_by_utc(before, now_ms, utc_ms)
        if offset_ms is None and self._run_time is not None:
            offset_ms = axis_by_run_time(before, self._run_time)
        known = offset_ms if self._in_trip else utc_ms
        if known is None and now_ms < self._until_ms:
            return None
        first_ms = self.waiting[0].t_ms if self.waiting else now_ms
        resumed = offset_ms is not None and first_ms + offset_ms - before.mono_ms <= TRIP_GAP_MS
        if offset_ms is None or (self._in_trip and not resumed):
            offset_ms = before.mono_ms + 2 * TRIP_GAP_MS - first_ms  # a gap that ends any trip
        return Landing(offset_ms, resumed if self._in_trip else None)


@dataclass(frozen=True, slots=True)
class Moment:
    """The last moment that a boot stored, told in every way there is. `mono_ms` is on the time axis of its trips."""

    mono_ms: int
    utc_ms: int | None = None  # None where the clock was not known to be right
    run_time_s: int | None = None  # as read at `run_time_ms` on the same axis
    run_time_ms: int = 0

    def to_state(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def axis_by_utc(saved: Moment, now_ms: int, utc_ms: int) -> int | None:
    """Offset from this boot's monotonic time to the axis, or None where UTC does not tell.

    Parameters
    ----------
    saved : Moment
    now_ms, utc_ms : int
        The same instant by this boot's monotonic time and by a clock that is right.
    """
    if saved.utc_ms is None:
        return None
    return _checked(saved, saved.mono_ms + (utc_ms - saved.utc_ms) - now_ms, UTC_ERROR_MS)


def axis_by_run_time(saved: Moment, reading: Reading) -> int | None:
    """The same by a `run_time_s` reading; None where it cannot be of the same run of the engine.

    A run that began after the restart has counted less than this boot is old, so it would end before the last boot
    did: that is refused. An engine that was switched off while the computer was away, and has by now run for longer
    than it had then, is taken for the same run.
    """
    if reading.value is None or saved.run_time_s is None:
        return None
    run_time_s = round(reading.value)
    if max(run_time_s, saved.run_time_s) >= RUN_TIME_FULL_S or run_time_s < saved.run_time_s:
        return None
    offset_ms = saved.run_time_ms + (run_time_s - saved.run_time_s) * 1_000 - reading.t_ms
    return _checked(saved, offset_ms, RUN_TIME_ERROR_MS)


def _checked(saved: Moment, offset_ms: int, error_ms: int) -> int | None:
    """The offset, or None if this boot would have begun before the last moment of the one before it."""
    return None if offset_ms < saved.mono_ms - error_ms else max(offset_ms, saved.mono_ms)
