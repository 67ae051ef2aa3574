"""A sensor that talks by itself on a serial port: opens it, finds its speed, watches it, opens it again.

take(now_ms) -> bytes -> Parser.feed -> Reading
no valid frame for SILENT_MS, or the port is gone -> close, count, wait (back-off), open again
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from typing import Final, Protocol, Self

from device.contract.signals import Reading
from device.sources.back_off import BackOff
from device.sources.serial_port import OpenPort, Port, open_port
from device.sources.source import NEVER_MS, STALL_MS, WATCH_MS

log = logging.getLogger(__name__)

SILENT_MS: Final = 5_000  # a sensor at 1 Hz has been asleep for four of its turns
LISTEN_MS: Final = 2_200  # at each speed while searching: a receiver at 1 Hz has spoken twice


class Parser(Protocol):
    """Bytes to readings. It bounds what it holds back, and raises nothing whatever it is fed.

    Attributes
    ----------
    counters : Counter
        What it refused, by names that begin with the source's; the source counts in it, too.
    """

    counters: Counter[str]

    @property
    def frames(self) -> int:
        """Frames so far whose checksum was right."""

    def feed(self, data: bytes, now_ms: int) -> list[Reading]:
        """Take bytes as they came until `now_ms`; return their readings, oldest first."""

    def reset(self) -> None:
        """Forget a frame begun: what comes next is from another moment."""


class SerialSource:
    """A `device.sources.source.Source` that listens.

    Parameters
    ----------
    name : str
        "gnss" or "imu"; begins the names of its counters.
    port : str
    baudrates : tuple of int
        Speeds to listen at, the likeliest first; one that is known stands alone.
    parser : Parser
    open_port : callable
    rng : random.Random, optional
        Jitter of the back-off.

    Attributes
    ----------
    counters : Counter
        Totals since the start, the parser's with them.
    baudrate : int or None
        Speed at which valid frames came; None while there are none.
    last_failure : str or None
    """

    def __init__(
        self,
        name: str,
        port: str,
        baudrates: tuple[int, ...],
        parser: Parser,
        *,
        open_port: OpenPort = open_port,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self.counters = parser.counters
        self.baudrate: int | None = None
        self.last_failure: str | None = None
        self._port_name = port
        self._baudrates = baudrates
        self._parser = parser
        self._open_port = open_port
        self._back_off = BackOff(rng)
        self._port: Port | None = None
        self._paused = False
        self._trying = 0  # which of the speeds
        self._valid_ms = 0  # of the last valid frame, or of the start of listening
        self._heard = False  # any byte since then
        self._taken_ms = 0

    def fileno(self) -> int | None:
        """What to wait on; None while the port is closed."""
        return self._port.fileno() if self._port else None

    def take(self, now_ms: int) -> list[Reading]:
        """Return what has come; open, watch and reopen the port."""
        if self._paused:
            return []
        if self._port is None:
            if now_ms < self._back_off.retry_ms(now_ms):
                return []
            return self._open(now_ms)
        if now_ms - self._taken_ms > STALL_MS:
            self._valid_ms += now_ms - self._taken_ms
        self._taken_ms = now_ms
        return self._listen(self._port, now_ms)

    def wake_ms(self, now_ms: int) -> int:
        """Return the end of the back-off, or the next look at the port."""
        if self._paused:
            return now_ms + NEVER_MS
        return now_ms + WATCH_MS if self._port else self._back_off.retry_ms(now_ms)

    def pause(self) -> None:
        """Close the port."""
        self._paused = True
        self._close()

    def resume(self) -> None:
        """Open it with the next `take`."""
        if self._paused:
            self._paused = False
            self._back_off.clear()

    def close(self) -> None:
        """Let go of the port."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self, now_ms: int) -> list[Reading]:
        self._taken_ms = now_ms
        try:
            self._port = self._open_port(self._port_name, self._baudrates[self._trying])
        except OSError as error:
            self._fail(now_ms, "failed", f"{error.strerror or error}")
            return []
        self._listen_from(now_ms)
        return self._listen(self._port, now_ms)

    def _listen(self, port: Port, now_ms: int) -> list[Reading]:
        try:
            data = port.read()
            frames = self._parser.frames
            readings = self._parser.feed(data, now_ms)
            self._heard = self._heard or bool(data)
            if self._parser.frames > frames:
                self._valid(now_ms)
            elif now_ms - self._valid_ms >= self._patience_ms():
                self._give_up(port, now_ms)
        except OSError as error:
            self._fail(now_ms, "failed", f"the port has gone ({error.strerror or error})")
            return []
        return readings

    def _valid(self, now_ms: int) -> None:
        self._valid_ms, self._heard = now_ms, False
        if self.baudrate is None:
            self.baudrate = self._baudrates[self._trying]
            self._back_off.clear()
            self.counters[f"{self.name}_connected"] += 1
            log.info("%s: %s at %d baud", self._port_name, self.name, self.baudrate)

    def _patience_ms(self) -> int:
        searching = self.baudrate is None and len(self._baudrates) > 1
        return LISTEN_MS if searching and self._heard else SILENT_MS  # a wrong speed gives bytes, too

    def _give_up(self, port: Port, now_ms: int) -> None:
        """Try the next speed while searching; else close."""
        if not self._heard:
            self._trying = (self._trying + 1) % len(self._baudrates)  # silent at this speed, perhaps not at the next
            self._fail(now_ms, "silent", f"nothing for {SILENT_MS // 1_000} s")
        elif self.baudrate is None and self._trying + 1 < len(self._baudrates):
            self._trying += 1
            port.set_baudrate(self._baudrates[self._trying])
            self._listen_from(now_ms)
        else:
            self._trying = 0
            self._fail(now_ms, "garbled", "bytes, but none of its frames; check the speed")

    def _listen_from(self, now_ms: int) -> None:
        self._parser.reset()
        self._valid_ms, self._heard = now_ms, False

    def _fail(self, now_ms: int, counter: str, reason: str) -> None:
        self._close()
        self.counters[f"{self.name}_{counter}"] += 1
        self.last_failure = reason
        wait_ms = self._back_off.fail(now_ms)
        log.warning("%s: %s; next try in %.0f s", self._port_name, reason, wait_ms / 1_000)

    def _close(self) -> None:
        """Close the port; a speed that worked is the first to be tried again."""
        if self.baudrate is not None:
            self._trying, self.baudrate = self._baudrates.index(self.baudrate), None
        if self._port is not None:
            self._port.close()
            self._port = None
