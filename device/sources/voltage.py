"""The voltage at the socket, asked of the adapter alone: no control unit of the car wakes up."""

from __future__ import annotations

import re
import select
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from device.contract.signals import BY_NAME, Reading
from device.sources.j1979 import Refusal
from device.sources.obd_lines import Line, Reply, Stage
from device.sources.serial_port import open_port_or_socket
from device.sources.source import since_boot_ms

SIGNAL: Final = "adapter_voltage_v"
PERIOD_MS: Final = BY_NAME[SIGNAL].period_ms or 0
COMMAND: Final = "ATRV"
TEXT: Final = re.compile(r"\b(\d{1,2}\.\d{1,2})V?", re.IGNORECASE)
USUAL_BAUDRATE: Final = 38_400  # of an adapter that was not connected yet
ANSWER_S: Final = 1.0


def parse_voltage(text: str) -> float | None:
    """Return the voltage of an answer to ATRV, such as `12.6V`, in V; None if it tells none."""
    found = TEXT.search(text)
    value = float(found[1]) if found else None
    return value if value is None or value <= BY_NAME[SIGNAL].high else None


def measure(options: dict[str, Any], say: Callable[[Line], None]) -> NoReturn:
    """Ask every `voltage_ms` for ever, a line for each answer.

    Raises
    ------
    OSError
        The port cannot be opened or has gone.
    """
    port = open_port_or_socket(options["port"], options["baudrate"] or USUAL_BAUDRATE)
    fileno = port.fileno()
    assert fileno is not None
    say(Stage("voltage", searching=False))
    while True:
        port.read()
        port.write(f"{COMMAND}\r".encode())
        text = b""
        while b">" not in text and select.select([fileno], [], [], ANSWER_S)[0]:
            text += port.read()
        voltage = parse_voltage(text.decode("ascii", "replace"))
        say(Reply(Reading(since_boot_ms(), SIGNAL, voltage), Refusal.NO_DATA.value if voltage is None else None))
        time.sleep(options["voltage_ms"] / 1_000)
