"""The IANA time zone of a position, found inside the car: only the UTC offset leaves it.

    position readings -> ZoneFinder -> python -m device.zone (position on stdin, zone on stdout) -> name of the zone

A process of its own that ends at once, because the borders of the world's zones take 36 MB while they are looked up,
and the agent needs them once in a while. Where the library is missing the configured zone stays.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from device.contract.signals import Reading

EVERY_MS: Final = 1_800_000  # a car crosses the next border some time; a trip tells the zone it started in
RETRY_MS: Final = 21_600_000  # after no answer
PATIENCE_MS: Final = 60_000
MAX_NAME: Final = 64


class Asked(Protocol):
    """A lookup under way."""

    def answer(self) -> str | None:
        """Return the zone, empty if there is none to be had; None while it is looked up."""

    def kill(self) -> None:
        """Give up."""


Ask = Callable[[float, float], Asked]  # latitude and longitude, degrees; may raise OSError


class ZoneFinder:
    """Asks for the zone of the first position, and again from time to time.

    Parameters
    ----------
    ask : callable
        Starts a lookup.

    Attributes
    ----------
    failures : int
        Lookups without an answer.
    """

    def __init__(self, ask: Ask | None = None) -> None:
        self.failures = 0
        self._ask = ask or ask_process
        self._asked: Asked | None = None
        self._due_ms = 0
        self._until_ms = 0
        self._latitude: tuple[int, float] | None = None

    def hear(self, reading: Reading) -> None:
        """Take a reading; latitude and longitude of one fix have one time."""
        if reading.value is None or self._asked is not None or reading.t_ms < self._due_ms:
            return
        if reading.signal == "latitude_deg":
            self._latitude = (reading.t_ms, reading.value)
        elif reading.signal == "longitude_deg" and self._latitude is not None and self._latitude[0] == reading.t_ms:
            self._due_ms, self._until_ms = reading.t_ms + EVERY_MS, reading.t_ms + PATIENCE_MS
            try:
                self._asked = self._ask(self._latitude[1], reading.value)
            except OSError:  # no memory for another process, or it ended before it was asked
                self._fail(reading.t_ms)

    def take(self, now_ms: int) -> ZoneInfo | None:
        """Return the zone once it is found, else None."""
        if self._asked is None:
            return None
        name = self._asked.answer()
        if name is None and now_ms < self._until_ms:
            return None
        self._asked.kill()
        self._asked = None
        zone = _zone(name or "")
        if zone is None:
            self._fail(now_ms)
        return zone

    def _fail(self, now_ms: int) -> None:
        self.failures += 1
        self._due_ms = now_ms + RETRY_MS

    def close(self) -> None:
        """Leave no process behind."""
        if self._asked is not None:
            self._asked.kill()


def ask_process(latitude_deg: float, longitude_deg: float) -> Asked:
    """Look the zone up in a process of its own."""
    return _Process(latitude_deg, longitude_deg)


class _Process:
    def __init__(self, latitude_deg: float, longitude_deg: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "device.zone"],
            stdin=subprocess.PIPE,  # a position on the command line could be read by every user
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,  # Ctrl-C is for us alone
        )
        assert self._process.stdin is not None
        try:
            with self._process.stdin as stdin:
                stdin.write(f"{latitude_deg} {longitude_deg}\n".encode())
        except OSError:
            self.kill()
            raise

    def answer(self) -> str | None:
        if self._process.poll() is None:
            return None
        assert self._process.stdout is not None
        return os.read(self._process.stdout.fileno(), MAX_NAME).decode("ascii", "replace").strip()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def main() -> int:
    """Read a position, print its zone."""
    from tzfpy import get_tz  # noqa: PLC0415 - only this process pays for it

    latitude_deg, longitude_deg = map(float, sys.stdin.readline().split())
    sys.stdout.write(get_tz(longitude_deg, latitude_deg) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
