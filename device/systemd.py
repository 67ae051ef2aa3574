"""What systemd is told of the agent: that it is ready, that it is alive, how it does, that it stops.

Protocol: sd_notify(3), datagrams to the socket that NOTIFY_SOCKET names; silence where nobody listens. A loop that no
longer turns says nothing, and is killed and started again after WatchdogSec.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Final

ALIVE_EVERY_MS: Final = 5_000


class Systemd:
    """Tells the supervisor at `address`, by default the one that started this process."""

    def __init__(self, address: str | None = None) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "") if address is None else address
        self._told_ms: int | None = None
        self._status = ""

    def ready(self) -> None:
        """The car is listened to from here on."""
        self._tell("READY=1")

    def alive(self, now_ms: int, describe: Callable[[], str]) -> None:
        """The loop has turned: said every `ALIVE_EVERY_MS`, with what `systemctl status` shows."""
        if self._told_ms is not None and now_ms - self._told_ms < ALIVE_EVERY_MS:
            return
        self._told_ms, status = now_ms, describe()
        self._tell("WATCHDOG=1" if status == self._status else f"WATCHDOG=1\nSTATUS={status}")
        self._status = status

    def stopping(self) -> None:
        """What is held is being written."""
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(state.encode(), name)
