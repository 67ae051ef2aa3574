"""The polling process of the adapter, started and ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Final, Protocol

READ_BYTES: Final = 65_536


class PollingProcess(Protocol):
    """A process that says what the adapter says, in the lines of `device.sources.obd_poll`."""

    def fileno(self) -> int | None:
        """What to wait on; None if there is nothing to wait on (a process that is played)."""

    def read(self) -> bytes | None:
        """Return what has come, at once: empty if nothing has, None when no more can come."""

    def kill(self) -> None:
        """End it, whatever it is stuck in."""


Spawn = Callable[[str], PollingProcess]


def spawn(options: str) -> PollingProcess:
    """Start a polling process with its JSON options; an OSError where the system starts none."""
    return _Child(options)


class _Child:
    def __init__(self, options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "device.sources.obd_poll", options],
            stdin=subprocess.PIPE,  # never written: its end tells the child that we are gone
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is for us alone
        )
        assert self._process.stdout is not None
        self._fileno = self._process.stdout.fileno()
        os.set_blocking(self._fileno, False)

    def fileno(self) -> int:
        return self._fileno

    def read(self) -> bytes | None:
        try:
            return os.read(self._fileno, READ_BYTES) or None
        except BlockingIOError:
            return b""

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
