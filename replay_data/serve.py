"""The car of a recording on serial ports, so that any program can be tested with the drive.

An ELM327 adapter, a GNSS receiver (NMEA 0183) and an IMU (WT901), each on a pseudo-terminal, all on one clock. With an
adapter the drive begins with the first request for a value, when a program begins to poll; without, after a delay.
Until then the receiver has no fix and the IMU lies still.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

from device.contract.errors import UsageError
from device.sources.j1979 import PIDS
from device.sources.wt901 import AXES
from replay_data.elm327 import Elm327, PlayedAdapter
from replay_data.pseudo_terminal import PlayClock, PlayedPort
from replay_data.recording import Recording
from replay_data.serial_gnss import played_gnss
from replay_data.serial_imu import played_imu

LOOK_S: Final = 0.1
AFTER_END_MS: Final = 1_000  # so that the last reading is heard
# Port -> signals of which a recording needs one set.
NEEDED: Final[dict[str, tuple[frozenset[str], ...]]] = {
    "elm327": tuple(frozenset({name}) for name in PIDS),
    "nmea": (frozenset({"latitude_deg", "longitude_deg"}),),
    "imu": tuple(frozenset(names) for _, names in AXES.values()),
}


class Served(NamedTuple):
    """Names of the ports that clients open, the clock of the drive, and its first and last time."""

    ports: dict[str, str]
    clock: PlayClock
    start_ms: int
    end_ms: int

    @property
    def part(self) -> float:
        """How much of the drive is over, from 0 to 1."""
        return min(1.0, max(0.0, (self.clock.now_ms() - self.start_ms) / max(self.end_ms - self.start_ms, 1)))


@contextmanager
def served(recording: Recording, wanted: tuple[str, ...] = (), rate: float = 1.0) -> Iterator[Served]:
    """Open ports that play a recording, as a context; the clock is started by the adapter, or by the caller.

    Parameters
    ----------
    recording : Recording
    wanted : tuple of str
        Of NEEDED; empty: all for which the recording has readings.
    rate : float
        Recorded seconds per second.

    Raises
    ------
    UsageError
        The recording has nothing to say on a port that is wanted, or on any.
    """
    there = {reading.signal for reading in recording.readings if reading.value is not None}
    able = [port for port, sets in NEEDED.items() if any(names <= there for names in sets)]
    for port in wanted or ("a port",) * (not able):
        if port not in able:
            can = f"it has them for {', '.join(able)}" if able else "there is no port to serve it on"
            raise UsageError(f"{recording.path}: has no readings for {port}; {can}")
    readings = recording.readings
    clock = PlayClock(readings[0].t_ms, rate)
    started_at_ms = recording.head.started_at_ms or 0
    make: dict[str, Callable[[], PlayedPort]] = {
        "elm327": lambda: PlayedAdapter(Elm327(readings), clock=clock),
        "nmea": lambda: played_gnss(readings, started_at_ms, clock),
        "imu": lambda: played_imu(readings, clock),
    }
    with ExitStack() as stack:
        ports = {port: stack.enter_context(make[port]()).port for port in able if port in wanted or not wanted}
        yield Served(ports, clock, readings[0].t_ms, readings[-1].t_ms)


def wait(drive: Served, delay_s: float, watch: Callable[[float], object] = lambda _part: None) -> None:
    """Wait until the drive is over; without an adapter it begins after `delay_s`. `watch` is told the part driven."""
    pause = threading.Event()
    if "elm327" not in drive.ports:
        pause.wait(delay_s)
        drive.clock.start()
    while drive.clock.now_ms() < drive.end_ms + AFTER_END_MS:
        pause.wait(LOOK_S)
        watch(drive.part)
