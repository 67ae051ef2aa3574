"""The port python-OBD talks through: what is sent must be on the allow-list, what is heard is told.

pyserial finds this file by its name: `watched://PORT` opens PORT, a device or another URL of pyserial.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import serial
from serial.urlhandler import protocol_socket

from device.sources.allowed import is_allowed

SCHEME: Final = "watched://"


MAX_TEXT: Final = 4_096


class Watch:
    """What the only port of this process has to tell.

    Attributes
    ----------
    opened : callable
        Called when the port is open.
    heard : callable
        Called with every piece that came from the adapter.
    text : bytes
        What came since the last command, the last `MAX_TEXT` of it.
    refused : bytes
        A command that was not sent.
    baudrate : int or None
    """

    def __init__(self) -> None:
        self.opened: Callable[[], None] = lambda: None
        self.heard: Callable[[bytes], None] = lambda _: None
        self.text = b""
        self.refused = b""
        self.baudrate: int | None = None


watch: Final = Watch()


class _Watched:
    baudrate: int

    def open(self) -> None:
        super().open()  # type: ignore[misc]
        watch.opened()

    def read(self, size: int = 1) -> bytes:
        data = bytes(super().read(size))  # type: ignore[misc]
        if data:
            watch.text = (watch.text + data)[-MAX_TEXT:]
            watch.heard(data)
        return data

    def write(self, data: Any, /) -> int | None:
        if not is_allowed(bytes(data)):
            watch.refused = bytes(data)
            raise PermissionError(f"{watch.refused!r} is not on the list of requests that only listen")
        watch.text, watch.baudrate = b"", self.baudrate
        return super().write(data)  # type: ignore[misc,no-any-return]


class _Serial(_Watched, serial.Serial):
    """A port of this computer, for this process alone."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings | {"exclusive": True})


class _Socket(_Watched, protocol_socket.Serial):
    """A port behind a TCP socket: adapters on Wi-Fi."""


def watched_url(port: str) -> str:
    """Return the URL that opens `port` watched."""
    package = __name__.rpartition(".")[0]
    if package not in serial.protocol_handler_packages:
        serial.protocol_handler_packages.append(package)
    return SCHEME + port


def serial_class_for_url(url: str) -> tuple[str, type]:
    """Return the port inside `url` and the class that opens it; pyserial calls this."""
    port = url[len(SCHEME) :]
    return port, _Socket if port.lower().startswith("socket://") else _Serial
