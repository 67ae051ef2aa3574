"""The polling process: asks the adapter one PID after the other and says each reply on stdout (`obd_lines`).

    python -m device.sources.obd_poll '{"port": "/dev/ttyUSB0", "baudrate": null, "protocol": null, "periods_ms": {}}'

A process of its own, because a call into python-OBD need not return: `device.sources.obd` watches the lines and kills
the process when they stop. With "voltage_ms" it asks the adapter for the voltage alone, and the car for nothing.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NoReturn

from device.contract.signals import Reading
from device.sources import voltage
from device.sources.freshness import WITNESS, Freshness
from device.sources.j1979 import PIDS, SERVICE, Refusal, parse_reply
from device.sources.obd_lines import Connected, Failed, Line, Reply, Stage, make_line
from device.sources.protocol_watched import watch
from device.sources.schedule import Schedule
from device.sources.source import NANOSECONDS_PER_MS
from device.sources.vin import PID as VIN_PID
from device.sources.vin import SERVICE as VIN_SERVICE
from device.sources.vin import parse_vin

if TYPE_CHECKING:
    from device.sources.obd_adapter import Adapter

# A value that took longer than this to come was read from the bus an unknown time ago.
LATE_NS: Final = 1_000_000_000
ALIVE_NS: Final = 500_000_000  # between two signs of life while connecting
SEARCHING: Final = (b"SEARCHING", b"BUS INIT")  # the adapter says so, and is silent for seconds


class Greeting:
    """Says that the adapter lives, byte by byte, until the car is connected."""

    def __init__(self) -> None:
        self._stage = "start"
        self._tail = b""  # since the last prompt
        self._said_ns = 0
        self._searching = False

    def at(self, stage: str) -> None:
        """Begin something: "open", "connect", "fingerprint", "vin"."""
        self._stage = stage
        self._say()

    def heard(self, data: bytes) -> None:
        """Take what came from the adapter."""
        self._tail = (self._tail + data).rpartition(b">")[2][-64:]
        searching = any(word in self._tail for word in SEARCHING)
        if searching != self._searching or _now_ns() - self._said_ns >= ALIVE_NS:
            self._searching = searching
            self._say()

    def _say(self) -> None:
        self._said_ns = _now_ns()
        _say(Stage(self._stage, self._searching))


def connect(options: dict[str, Any]) -> tuple[Adapter, list[str]]:
    """Connect, say what is there, and return the adapter and the signals of the car."""
    from device.sources.obd_adapter import Adapter  # noqa: PLC0415 - heavy, and the voltage alone does without

    skip = options.get("skip", [])
    greeting = Greeting()
    watch.opened, watch.heard = lambda: greeting.at("connect"), greeting.heard
    greeting.at("open")
    adapter = Adapter(options["port"], options["baudrate"], options["protocol"])
    pids = adapter.supported_pids()
    signals = [name for name, pid in PIDS.items() if pid in pids]
    if not signals:
        raise ConnectionError("the car names no supported PID")
    vin: str | Refusal = Refusal.NO_DATA
    if "vin" not in skip:
        greeting.at("vin")
        vin = parse_vin(adapter.request(VIN_SERVICE, VIN_PID).reply)
    greeting.at("fingerprint")
    found = adapter.fingerprint() if "fingerprint" not in skip else None
    watch.heard = lambda _: None
    _say(
        Connected(
            adapter=str(found) if found else "not asked",
            protocol=adapter.protocol,
            pids=tuple(pids),
            is_clone=found is None or found.is_clone,
            vin=None if isinstance(vin, Refusal) else vin,
            baudrate=adapter.baudrate,
        )
    )
    return adapter, signals


def poll(adapter: Adapter, signals: list[str], periods_ms: dict[str, int]) -> NoReturn:
    """Ask for ever, a line for each reply."""
    schedule, freshness = Schedule(signals, periods_ms), Freshness()
    voltage_due_ms = 0.0
    while True:
        now_ms = _now_ns() / NANOSECONDS_PER_MS
        if now_ms >= voltage_due_ms:
            volts = adapter.voltage()
            if volts is not None:
                _say(Reply(Reading(int(now_ms), voltage.SIGNAL, volts), None))
            voltage_due_ms = now_ms + voltage.PERIOD_MS if volts is not None else float("inf")
        signal = WITNESS if freshness.wants_witness(now_ms) else schedule.pick(now_ms)
        if signal is None:
            time.sleep(max(schedule.wait_ms(now_ms), 0.5) / 1e3)
            continue
        _ask(adapter, signal, freshness)


def _ask(adapter: Adapter, signal: str, freshness: Freshness) -> None:
    asked_ns = _now_ns()
    answer = adapter.request(SERVICE, PIDS[signal])
    result = answer.refusal or parse_reply(signal, answer.reply)
    now_ns = _now_ns()
    now_ms = now_ns // NANOSECONDS_PER_MS
    if now_ns - asked_ns > LATE_NS:
        result = Refusal.LATE
    if isinstance(result, Refusal):
        _say(Reply(Reading(now_ms, signal, None), result.value))
        return
    freshness.saw(signal, answer.reply, result, now_ms)
    if freshness.is_stale(now_ms):
        _say(Failed("the adapter repeats old values", stale=True))
        sys.exit(1)
    _say(Reply(Reading(now_ms, signal, result), None))


def main(argv: list[str]) -> int:
    """Poll the adapter that the JSON argument describes until the parent goes away or the adapter does."""
    options: dict[str, Any] = json.loads(argv[0])
    threading.Thread(target=_leave_with_parent, name="leave-with-parent", daemon=True).start()
    try:
        if options.get("voltage_ms"):
            voltage.measure(options, _say)
        adapter, signals = connect(options)
        poll(adapter, signals, options["periods_ms"])
    except OSError as error:
        _say(Failed(error.strerror or str(error), stale=False))
    return 1


def _leave_with_parent() -> None:
    """Hold no port after the parent has died: its end of stdin is closed then, whatever this process is stuck in."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _now_ns() -> int:
    """Time since boot that goes on in sleep, the monotonic clock of `device.clock`."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _say(line: Line) -> None:
    try:
        sys.stdout.write(make_line(line))
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(1)  # the parent has died


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
