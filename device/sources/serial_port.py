"""A serial port that is read without waiting."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import serial

READ_BYTES: Final = 4_096
NOT_A_FILE: Final = re.compile("^[a-z]+://")  # socket://HOST:PORT


class Port(Protocol):
    """An open port. Whatever goes wrong with it is an OSError."""

    def fileno(self) -> int | None:
        """What to wait on."""

    def read(self) -> bytes:
        """Return what has come, at once; empty if nothing has."""

    def write(self, data: bytes) -> None:
        """Send."""

    def set_baudrate(self, baudrate: int) -> None:
        """Listen at another speed; what came at the old one is dropped."""

    def close(self) -> None:
        """Let go of it."""


OpenPort = Callable[[str, int], Port]


def open_port(name: str, baudrate: int) -> Port:
    """Open a serial port for this process alone.

    Raises
    ------
    OSError
        There is no such port, it is in use, or the system refuses the speed.
    """
    return _SerialPort(name, baudrate, serial.Serial)


def open_port_or_socket(name: str, baudrate: int) -> Port:
    """Open a serial port, or the socket of a Wi-Fi adapter (socket://HOST:PORT), which may take 5 s.

    Raises
    ------
    OSError
        As `open_port`, or nobody listens there.
    """
    return _SerialPort(name, baudrate, serial.serial_for_url)


def why_closed(name: str, error: OSError | None = None) -> str:
    """Why a port cannot be opened, for a person; empty where nothing speaks against it, and `error` is None.

    pyserial tells it in its own words, with the name of the port twice and without what to do.
    """
    path = Path(name)
    if name.startswith("/") or not NOT_A_FILE.search(name):
        if not path.exists():
            return "there is no such port; is it plugged in?"
        if not os.access(path, os.R_OK | os.W_OK):
            return f"this user may not use the port; {_let(path)}"
        if not path.is_char_device():
            return "this is no serial port"
    if error is None:
        return ""
    if error.errno in {errno.EBUSY, errno.EAGAIN}:
        return "another program uses the port; stop it"
    return f"the port does not open ({error.strerror or error})"


def _let(path: Path) -> str:
    try:
        group = path.group()
    except (OSError, KeyError):  # gone, or a group without a name
        group = "dialout"
    if group == "root":  # nobody's user belongs in there
        return "it belongs to root alone, where the group dialout is usual: a udev rule gives it back"
    return f"`sudo usermod -aG {group} USER` lets USER from then on"


class _SerialPort:
    def __init__(self, name: str, baudrate: int, opened: Callable[..., serial.Serial]) -> None:
        try:
            self._serial = opened(name, baudrate, timeout=0, write_timeout=1, exclusive=True)
        except ValueError as error:  # a speed this system does not know
            raise OSError(str(error)) from error
        except OSError as error:
            raise OSError(why_closed(name, error)) from error

    def fileno(self) -> int:
        return int(self._serial.fileno())

    def read(self) -> bytes:
        return bytes(self._serial.read(READ_BYTES))

    def write(self, data: bytes) -> None:
        self._serial.write(data)

    def set_baudrate(self, baudrate: int) -> None:
        try:
            self._serial.baudrate = baudrate
        except ValueError as error:
            raise OSError(str(error)) from error
        self._serial.reset_input_buffer()

    def close(self) -> None:
        self._serial.close()
