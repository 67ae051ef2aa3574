"""The polling process: python-OBD's adapter layer, one request at a time, one line of JSON on stdout for each reply.

    python -m device.sources.obd_poll '{"port": "/dev/ttyUSB0", "baudrate": null, "protocol": null, "periods_ms": {}}'

A process of its own, because a call into python-OBD need not return: its reads of a silent adapter repeat for ever, so
`device.sources.obd` watches the lines and kills the process when they stop. It uses python-OBD's `ELM327` and not its
`OBD`: `OBD` asks for service 06 while it connects, and pads a short reply with zeros before anyone can see its length.

Lines: {"adapter": ..., "protocol": ..., "pids": [...]} once connected, then for each reply
[ns since boot, signal, value, refusal], where value or refusal is null; or {"failed": reason} and the end.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from obd.elm327 import ELM327
from obd.protocols import ECU
from obd.utils import OBDStatus

from device.sources.j1979 import BITMAPS, PIDS, REPLY, SERVICE, Refusal, parse_bitmap, parse_reply
from device.sources.schedule import Schedule

READ_TIMEOUT_S: Final = 1.0  # of python-OBD's search for a baud rate
# A value that took longer than this to come was read from the bus an unknown time ago.
LATE_NS: Final = 1_000_000_000
# All that is ever sent to a car: current data and vehicle information, nothing that writes, clears or controls.
SERVICES_ALLOWED: Final = frozenset({0x01, 0x09})


class Answer(NamedTuple):
    """One reply as bytes from its service byte on (empty if there was none), and how many frames it came in."""

    reply: bytes
    frames: int


class Adapter:
    """An adapter with a car behind it. Raises ConnectionError, with the reason, where there is none."""

    def __init__(self, port: str, baudrate: int | None, protocol: str | None) -> None:
        if port.startswith("/") and not Path(port).exists():
            raise ConnectionError("there is no such port; is the adapter plugged in?")
        errors = _LastError()
        logging.getLogger("obd").addHandler(errors)
        self._elm = ELM327(port, baudrate, protocol, timeout=READ_TIMEOUT_S)
        logging.getLogger("obd").removeHandler(errors)
        if self._elm.status() != OBDStatus.CAR_CONNECTED:
            raise ConnectionError(errors.text or self._elm.status())
        self.protocol: str = self._elm.protocol_name()
        self._frames: dict[int, int] = {}

    def request(self, service: int, pid: int) -> Answer:
        """Ask one PID and return the engine's reply.

        The number of frames to expect is sent along once it is known, so that the adapter need not wait for more.
        """
        if service not in SERVICES_ALLOWED:
            raise ValueError(f"service {service:02X} is not on the list of requests that only listen")
        expected = f"{self._frames[pid]:X}" if pid in self._frames else ""
        messages = self._elm.send_and_parse(f"{service:02X}{pid:02X}{expected}".encode())
        if self._elm.status() == OBDStatus.NOT_CONNECTED:
            raise ConnectionError("the port has gone")
        answers = [m for m in messages if m.ecu == ECU.ENGINE and m.parsed()]
        if not answers:
            return Answer(b"", 0)
        answer = Answer(bytes(answers[0].data), sum(len(m.frames) for m in messages if m.parsed()))
        if answer.reply[:2] == bytes([service + REPLY, pid]) and answer.frames < 0x10:
            self._frames[pid] = answer.frames
        return answer

    def identity(self) -> str:
        """Return what the adapter says it is, such as `ELM327 v1.5`; clones claim versions that never were."""
        return " ".join(message.raw() for message in self._elm.send_and_parse(b"ATI"))

    def supported_pids(self) -> list[int]:
        """Return the service 01 PIDs that the engine's control unit says it answers."""
        pids: set[int] = set()
        for base in BITMAPS:
            if base and base not in pids:
                break
            found = parse_bitmap(base, self.request(SERVICE, base).reply)
            pids |= set() if isinstance(found, Refusal) else found
        return sorted(pids.difference(BITMAPS))


def poll(adapter: Adapter, periods_ms: dict[str, int]) -> NoReturn:
    """Ask what the car supports, then poll it for ever, a line for each reply."""
    pids = adapter.supported_pids()
    signals = [name for name, pid in PIDS.items() if pid in pids]
    if not signals:
        raise ConnectionError("the car names no supported PID")
    _say({"adapter": adapter.identity(), "protocol": adapter.protocol, "pids": pids})
    schedule = Schedule(signals, periods_ms)
    while True:
        asked_ns = _now_ns()
        signal = schedule.pick(asked_ns / 1e6)
        if signal is None:
            time.sleep(max(schedule.wait_ms(asked_ns / 1e6), 0.5) / 1e3)
            continue
        result = parse_reply(signal, adapter.request(SERVICE, PIDS[signal]).reply)
        now_ns = _now_ns()
        if now_ns - asked_ns > LATE_NS:
            result = Refusal.LATE
        if isinstance(result, Refusal):
            _say([now_ns, signal, None, result.value])
        else:
            _say([now_ns, signal, result, None])


def main(argv: list[str]) -> int:
    """Poll the adapter that the JSON argument describes until the parent goes away or the adapter does."""
    options: dict[str, Any] = json.loads(argv[0])
    logging.getLogger("obd").handlers.clear()  # its own handler would write to stderr what we tell in one line
    threading.Thread(target=_leave_with_parent, name="leave-with-parent", daemon=True).start()
    try:
        poll(Adapter(options["port"], options["baudrate"], options["protocol"]), options["periods_ms"])
    except ConnectionError as error:
        _say({"failed": str(error)})
    return 1


class _LastError(logging.Handler):
    """Remembers the last error that python-OBD logged: it reports a failed connection nowhere else."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def _leave_with_parent() -> None:
    """Hold no port after the parent has died: its end of stdin is closed then, whatever this process is stuck in."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _now_ns() -> int:
    """Time since boot that goes on in sleep, the monotonic clock of `device.clock`."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _say(line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
