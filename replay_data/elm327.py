"""An ELM327 that plays a recording: the adapter's commands and a car's replies, on a pseudo-terminal or in process.

    client -> pseudo-terminal -> Elm327.respond(command, now_ms) -> readings of the recording at now_ms

Written from the ELM327 data sheet (v1.4b) and ISO 15765-4: one control unit, 7E8, on an 11-bit 500 kbit/s bus.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from statistics import median
from typing import Final

from device.contract.signals import Reading
from device.sources import vin as vehicle
from device.sources.j1979 import BITMAPS, PIDS, SERVICE, make_bitmap, make_reply
from replay_data.pseudo_terminal import PlayClock, PlayedPort

VERSION: Final = "ELM327 v1.5"  # what most clones claim to be
GENUINE: Final = "ELM327 v1.4b"
# What a chip of that version knows beside the settings: a stored byte and the ignition input.
GENUINE_ANSWERS: Final = {"RD": "00", "IGN": "ON"}
PROTOCOL: Final = "6"  # ISO 15765-4, 11 bit, 500 kbit/s
AUTOMATIC: Final = "0"
HEADER: Final = "7E8"  # the engine's control unit
CAN_BYTES: Final = 8  # of every frame; ISO 15765-4 pads the rest
PADDING: Final = 0xAA
# A value is told for at least this long after its reading, and for twice the usual distance of its readings.
HOLD_MS: Final = 2_000
VOLTAGES: Final = ("adapter_voltage_v", "module_voltage_v")  # what the adapter measures, the better first
USUAL_V: Final = 12.6
# Settings that change nothing here: long messages, adaptive timing, formatting, memory, headers, timeouts.
SETTINGS_ACCEPTED: Final = re.compile(
    r"AL|NL|AR|AT[0-2]|CAF[01]|CFC[01]|D[01]|LP|M[01]|PC|SH[0-9A-F]{3,8}|SS|ST[0-9A-F]{2}"
)

Tamper = Callable[[bytes], bytes]


class Elm327:
    """The adapter and the car, as a function of command and time; it knows neither port nor clock.

    Parameters
    ----------
    readings : iterable of Reading
        What the car does. Its PIDs are those with at least one value.
    tamper : callable, optional
        Takes each reply to a request for a value and returns what is sent instead: a fault. Nothing is silence.
    vin : str, optional
        What the car tells when asked for it; None = it does not.
    genuine : bool
        A chip that can do what its version can, instead of a clone.
    """

    def __init__(
        self,
        readings: Iterable[Reading],
        tamper: Tamper | None = None,
        *,
        vin: str | None = None,
        genuine: bool = False,
    ) -> None:
        self._tracks = {name: _Track(rows) for name, rows in _by_signal(readings).items()}
        self._signals = {PIDS[name]: name for name in self._tracks if name in PIDS}
        self._vin = vin
        self._genuine = genuine
        self._tamper = tamper
        self._last = ""
        self._reset()

    @property
    def pids(self) -> frozenset[int]:
        """PIDs of service 01 that the car supports."""
        return frozenset(self._signals)

    def respond(self, command: str, now_ms: float) -> bytes:
        """Return what the adapter sends for one command line (without its carriage return), prompt included."""
        request = "".join(command.upper().split()) or self._last  # an empty line repeats the last one
        self._last = request
        echo = f"{command}\r" if self._echo else ""
        lines = self._at(request[2:], now_ms) if request.startswith("AT") else self._car(request, now_ms)
        end = "\r\n" if self._linefeeds else "\r"
        reply = (echo + end.join([*lines, "", ">"])).encode()
        return self._tamper(reply) if self._tamper and asks_value(request) else reply

    def _reset(self) -> None:
        self._echo = self._linefeeds = self._spaces = True
        self._headers = False
        self._protocol = AUTOMATIC
        self._found = False  # whether the bus was searched and found

    def _at(self, setting: str, now_ms: float) -> list[str]:
        if setting in {"Z", "WS", "D"}:
            self._reset()
            return ["OK"] if setting == "D" else ["", "", self._version]
        if setting in {"I", "@1", "RV", "DPN", "DP"}:
            return [self._tell(setting, now_ms)]
        if self._genuine and setting in GENUINE_ANSWERS:
            return [GENUINE_ANSWERS[setting]]
        if setting[:-1] in {"E", "L", "H", "S"} and setting[-1] in "01":
            name = {"E": "_echo", "L": "_linefeeds", "H": "_headers", "S": "_spaces"}[setting[0]]
            setattr(self, name, setting[-1] == "1")
            return ["OK"]
        if setting[:2] in {"SP", "TP"} and setting[2:]:
            self._protocol = AUTOMATIC if setting[2:] in {"0", "00"} else setting[2:]
            self._found = False
            return ["OK"]
        return ["OK"] if SETTINGS_ACCEPTED.fullmatch(setting) else ["?"]

    @property
    def _version(self) -> str:
        return GENUINE if self._genuine else VERSION

    def _tell(self, setting: str, now_ms: float) -> str:
        automatic = self._protocol.startswith(("0", "A"))
        if setting == "RV":
            tracks = [self._tracks[name] for name in VOLTAGES if name in self._tracks]
            told = [value for track in tracks if (value := track.at(now_ms)) is not None]
            return f"{told[0] if told else USUAL_V:.1f}V"
        if setting == "DPN":
            return ("A" if automatic else "") + (PROTOCOL if self._found else self._protocol[-1])
        if setting == "DP":
            return ("AUTO, " if automatic else "") + "ISO 15765-4 (CAN 11/500)"
        return self._version if setting == "I" else "OBDII to RS232 Interpreter"

    def _car(self, request: str, now_ms: float) -> list[str]:
        try:
            data = bytes.fromhex(request[: len(request) // 2 * 2])  # an odd digit is the number of replies to wait for
        except ValueError:
            return ["?"]
        if not data:
            return ["?"]
        searching = [] if self._found or not self._protocol.startswith(("0", "A")) else ["SEARCHING..."]
        if self._protocol.lstrip("A") not in {"", AUTOMATIC, PROTOCOL}:
            return ["UNABLE TO CONNECT"]
        self._found = True
        reply = self._reply(data, now_ms)
        return searching + (self._frames(reply) if reply else ["NO DATA"])

    def _reply(self, data: bytes, now_ms: float) -> bytes:
        if self._vin and data == bytes([vehicle.SERVICE, vehicle.PID]):
            return vehicle.make_vin(self._vin)
        if len(data) != 2 or data[0] != SERVICE:
            return b""  # a control unit does not answer what it does not support
        pid = data[1]
        if pid in BITMAPS:
            known = pid == 0 or any(supported > pid for supported in self._signals)
            return make_bitmap(pid, self._signals) if known else b""
        name = self._signals.get(pid)
        value = self._tracks[name].at(now_ms) if name else None
        return b"" if name is None or value is None else make_reply(name, value)

    def _frames(self, reply: bytes) -> list[str]:
        """Return the lines of a reply (ISO 15765-2): its length comes first, long ones are cut in pieces of seven."""
        separator = " " if self._spaces else ""

        def line(data: bytes, *words: str) -> str:
            return separator.join([*words, *data.hex(" ").upper().split()]) + separator

        if len(reply) < CAN_BYTES:
            return [line(_padded(bytes([len(reply), *reply])), HEADER) if self._headers else line(reply)]
        head = bytes([0x10 | len(reply) >> 8, len(reply) & 0xFF])
        pieces = [reply[:6], *(reply[at : at + 7] for at in range(6, len(reply), 7))]
        if self._headers:
            frames = [
                head + pieces[0],
                *(bytes([0x20 | n % 16]) + piece for n, piece in enumerate(pieces[1:], start=1)),
            ]
            return [line(_padded(frame), HEADER) for frame in frames]
        return [f"{len(reply):03X}", *(line(piece, f"{n % 16:X}:") for n, piece in enumerate(pieces))]


def asks_value(request: str) -> bool:
    """Tell whether a command asks the car for a value, rather than which PIDs it supports or the adapter itself."""
    service, pid = request[:2], request[2:4]
    return service == f"{SERVICE:02X}" and len(pid) == 2 and pid not in {f"{base:02X}" for base in BITMAPS}


class PlayedAdapter(PlayedPort):
    """The adapter on a pseudo-terminal, as a context manager; `port` is the name that a client opens.

    The recording plays `rate` times as fast as the wall clock from the first request for a value on, so that no
    client misses its beginning while it connects; before, the time of the recording stands still.

    Parameters
    ----------
    elm : Elm327
    start_ms : int
        Time in the recording at which playing begins.
    rate : float
        Recorded seconds per second.
    latency_ms : float
        What a real adapter, its serial port and the bus take for each request.
    clock : PlayClock, optional
        Shared with other ports of the car, instead of `start_ms` and `rate`.
    """

    def __init__(
        self,
        elm: Elm327,
        start_ms: int = 0,
        rate: float = 1.0,
        latency_ms: float = 0.0,
        clock: PlayClock | None = None,
    ) -> None:
        super().__init__("elm327", clock or PlayClock(start_ms, rate))
        self._elm = elm
        self._latency_s = latency_ms / 1_000

    def play_ms(self, since_boot_ns: int) -> float:
        """Return the time in the recording at a time since boot, the clock of live sources."""
        return self.clock.play_ms(since_boot_ns)

    def _serve(self) -> None:
        line = b""
        while not self._quit.is_set():
            *commands, line = (line + self._read(wait_s=0.1)).split(b"\r")
            for command in commands:
                self._write(self._answer(command.decode("ascii", "replace")))

    def _answer(self, command: str) -> bytes:
        if asks_value("".join(command.upper().split())):
            self.clock.start()
        if self._latency_s:
            self._quit.wait(self._latency_s)
        return self._elm.respond(command, self.clock.now_ms())


def _padded(frame: bytes) -> bytes:
    return frame.ljust(CAN_BYTES, bytes([PADDING]))


class _Track:
    """One signal's readings, to be asked by time."""

    def __init__(self, rows: list[Reading]) -> None:
        self._times_ms = [row.t_ms for row in rows]
        self._values = [row.value for row in rows]
        steps = [b - a for a, b in zip(self._times_ms, self._times_ms[1:], strict=False)]
        self._hold_ms = max(HOLD_MS, 2 * median(steps)) if steps else HOLD_MS

    def at(self, now_ms: float) -> float | None:
        """Return the latest value at `now_ms`; None where the reading is null, too old or still to come."""
        index = bisect_right(self._times_ms, now_ms) - 1
        if index < 0 or now_ms - self._times_ms[index] > self._hold_ms:
            return None
        return self._values[index]


def _by_signal(readings: Iterable[Reading]) -> dict[str, list[Reading]]:
    rows: dict[str, list[Reading]] = {}
    for reading in sorted(readings, key=lambda r: r.t_ms):
        if reading.signal in PIDS or reading.signal in VOLTAGES:
            rows.setdefault(reading.signal, []).append(reading)
    return {name: track for name, track in rows.items() if any(row.value is not None for row in track)}
