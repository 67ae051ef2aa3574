"""What systemd is told of a worker: that it is ready, that it is alive, that it stops. Silence where nobody listens.

Protocol: sd_notify(3), datagrams to the socket that NOTIFY_SOCKET names. A worker that no longer turns (a disk that
never answers) says nothing, and is killed and started again after WatchdogSec; what it held comes again.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import Final

ALIVE_EVERY_S: Final = 5.0


class Systemd:
    """Tells the supervisor at `address`, by default the one that started this process."""

    def __init__(self, address: str | None = None) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        self._told_s = float("-inf")

    def ready(self) -> None:
        """Messages can be taken now."""
        self._tell("READY=1")

    def alive(self, now_s: float) -> None:
        """The loop has turned; said every `ALIVE_EVERY_S`."""
        if now_s - self._told_s >= ALIVE_EVERY_S:
            self._told_s = now_s
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """What is held is being written."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(state.encode(), name)
