"""A serial port that is played: a pseudo-terminal, what answers on it or talks on it, and the clock of the playing.

PlayClock: recorded time, shared by all ports of one car
PlayedPort: open, unplug; PlayedAdapter (elm327.py) answers, PlayedSensor talks
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import time
import tty
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Final, Self

NANOSECONDS_PER_MS: Final = 1_000_000
READ_BYTES: Final = 4_096


class PlayClock:
    """Recorded time. It stands at its beginning until it is started, so that nobody misses the start of a drive.

    Parameters
    ----------
    start_ms : int
        Time in the recording at which playing begins.
    rate : float
        Recorded seconds per second.
    """

    def __init__(self, start_ms: int = 0, rate: float = 1.0) -> None:
        self._start_ms = start_ms
        self._rate = rate
        self._started_ns: int | None = None

    @property
    def started(self) -> bool:
        """Whether recorded time goes on."""
        return self._started_ns is not None

    def start(self) -> None:
        """Let recorded time go on; again is no change."""
        if self._started_ns is None:
            self._started_ns = _now_ns()

    def play_ms(self, since_boot_ns: int) -> float:
        """Return the time in the recording at a time since boot, the clock of live sources."""
        if self._started_ns is None:
            return self._start_ms
        return self._start_ms + (since_boot_ns - self._started_ns) / NANOSECONDS_PER_MS * self._rate

    def now_ms(self) -> float:
        """Return the time in the recording now."""
        return self.play_ms(_now_ns())

    def wait_s(self, until_ms: float) -> float:
        """Return how long it is until a time in the recording, in seconds of the wall; 0 if it has passed."""
        return max(0.0, (until_ms - self.now_ms()) / self._rate / 1_000)


class PlayedPort:
    """A pseudo-terminal with something behind it, as a context manager; `port` is the name that a client opens."""

    def __init__(self, name: str, clock: PlayClock | None = None) -> None:
        self.clock = clock or PlayClock()
        self.port = ""
        self._quit = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    def __enter__(self) -> Self:
        self._fd, self._client_fd = pty.openpty()  # the client's end is held open: a client may come back
        tty.setraw(self._client_fd)
        os.set_blocking(self._fd, False)
        self.port = os.ttyname(self._client_fd)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._quit.is_set():
            self.unplug()

    def unplug(self) -> None:
        """Take it away: the port vanishes."""
        self._quit.set()
        self._thread.join()
        os.close(self._client_fd)
        os.close(self._fd)

    def _serve(self) -> None:
        """Play until `_quit`."""
        raise NotImplementedError

    def _read(self, wait_s: float) -> bytes:
        if not select.select([self._fd], [], [], wait_s)[0]:
            return b""
        return os.read(self._fd, READ_BYTES)

    def _write(self, data: bytes) -> None:
        """Send; what a client does not fetch is lost, as on a wire."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._fd, data)


class PlayedSensor(PlayedPort):
    """A sensor that talks by itself.

    Parameters
    ----------
    name : str
    frames : iterable of (int, bytes)
        Time in the recording, and what is sent then; rising.
    idle : bytes
        Sent every `idle_ms` of the wall until the clock starts: a sensor without a fix or at rest is not silent.
    idle_ms : int
    clock : PlayClock, optional
        Shared with the adapter, which starts it; a clock of its own is started at once.
    """

    def __init__(
        self,
        name: str,
        frames: Iterable[tuple[int, bytes]],
        *,
        idle: bytes = b"",
        idle_ms: int = 1_000,
        clock: PlayClock | None = None,
    ) -> None:
        super().__init__(name, clock)
        self._frames: Iterator[tuple[int, bytes]] = iter(frames)
        self._idle, self._idle_s = idle, idle_ms / 1_000
        if clock is None:
            self.clock.start()

    def _serve(self) -> None:
        while not self.clock.started and not self._quit.is_set():
            self._write(self._idle)
            self._quit.wait(self._idle_s)
        begun_ms = self.clock.now_ms()
        for t_ms, data in self._frames:
            if self._quit.is_set():
                return
            if t_ms < begun_ms:
                continue
            if wait_s := self.clock.wait_s(t_ms):
                self._quit.wait(wait_s)
            self._write(self._changed(data))

    def _changed(self, data: bytes) -> bytes:
        """What is sent instead of `data`: a fault, in a class of a test."""
        return data


def _now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
