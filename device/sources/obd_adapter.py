"""An ELM327 with a car behind it, through python-OBD's adapter layer: one request at a time.

It uses python-OBD's `ELM327` and not its `OBD`: `OBD` asks for service 06 while it connects, and pads a short reply
with zeros before anyone can see its length. Calls need not return: python-OBD reads a silent adapter for ever.
"""

from __future__ import annotations

import logging
from typing import Any, Final, NamedTuple

from obd.elm327 import ELM327
from obd.protocols import ECU
from obd.utils import OBDStatus

from device.sources.fingerprint import QUESTIONS, Fingerprint, fingerprint
from device.sources.j1979 import BITMAPS, REPLY, SERVICE, Refusal, parse_bitmap
from device.sources.protocol_watched import watch, watched_url
from device.sources.serial_port import why_closed
from device.sources.voltage import COMMAND, parse_voltage

# Of python-OBD's search for a baud rate: it waits so long at each of six, all of them in less than `obd.SILENT_MS`.
READ_TIMEOUT_S: Final = 0.7
SERVICES_ALLOWED: Final = frozenset({0x01, 0x09})  # see device.sources.allowed, which has the last word
# What python-OBD raises on lines that are nearly frames: an index beyond a short frame, a frame without a length.
TRIPPED: Final = (IndexError, ValueError, TypeError, AttributeError, KeyError)


NO_DATA: Final = (b"NO DATA", b"UNABLE TO CONNECT")  # the adapter's words for a car that does not answer


class Answer(NamedTuple):
    """One reply as bytes from its service byte on, and how many frames it came in; or why there is none."""

    reply: bytes
    frames: int
    refusal: Refusal | None = None


class Adapter:
    """An adapter with a car behind it. Raises ConnectionError, with the reason, where there is none."""

    def __init__(self, port: str, baudrate: int | None, protocol: str | None) -> None:
        if why := why_closed(port):
            raise ConnectionError(why)
        errors = _LastError()
        logging.getLogger("obd").handlers = [errors]  # its own would write to stderr what we tell in one line
        try:
            self._elm = ELM327(watched_url(port), baudrate, protocol, timeout=READ_TIMEOUT_S, check_voltage=False)
        except TRIPPED as error:
            raise ConnectionError(f"an answer no adapter gives ({error})") from error
        finally:
            logging.getLogger("obd").handlers = [logging.NullHandler()]
        if self._elm.status() != OBDStatus.CAR_CONNECTED:
            raise ConnectionError(_in_words(errors.text) or self._elm.status())
        self.protocol: str = self._elm.protocol_name()
        self._frames: dict[int, int] = {}

    def request(self, service: int, pid: int) -> Answer:
        """Ask one PID and return the engine's reply.

        The number of frames to expect is sent along once it is known, so that the adapter need not wait for more.
        """
        if service not in SERVICES_ALLOWED:
            raise ValueError(f"service {service:02X} is not on the list of requests that only listen")
        known = service == SERVICE and pid in self._frames
        expected = f"{self._frames[pid]:X}" if known else ""
        messages = self._send(f"{service:02X}{pid:02X}{expected}")
        answers = [m for m in messages if m.ecu == ECU.ENGINE and m.parsed()]
        if not answers:
            silent = any(words in watch.text for words in NO_DATA)
            return Answer(b"", 0, Refusal.NO_DATA if silent else Refusal.GARBLED)
        answer = Answer(bytes(answers[0].data), sum(len(m.frames) for m in messages if m.parsed()))
        if answer.reply[:2] == bytes([service + REPLY, pid]) and answer.frames < 0x10:
            self._frames[pid] = answer.frames
        return answer

    def fingerprint(self) -> Fingerprint:
        """Ask the adapter what it is and what it can do."""
        return fingerprint({question: self._ask(question) for question in QUESTIONS})

    def voltage(self) -> float | None:
        """Return the voltage at the socket, in V, as the adapter measures it; None if it does not tell."""
        return parse_voltage(self._ask(COMMAND))

    @property
    def baudrate(self) -> int | None:
        """Speed of the port."""
        return watch.baudrate

    def supported_pids(self) -> list[int]:
        """Return the service 01 PIDs that the engine's control unit says it answers."""
        pids: set[int] = set()
        for base in BITMAPS:
            if base and base not in pids:
                break
            found = parse_bitmap(base, self.request(SERVICE, base).reply)
            pids |= set() if isinstance(found, Refusal) else found
        return sorted(pids.difference(BITMAPS))

    def _ask(self, question: str) -> str:
        """Return the adapter's words as they came; python-OBD takes a pair of hex digits for a broken frame."""
        self._send(question)
        lines = watch.text.decode("ascii", "replace").replace(">", "").split("\r")
        return " ".join(line.strip() for line in lines if line.strip(" \n") not in {"", question})

    def _send(self, command: str) -> list[Any]:
        try:
            messages = self._elm.send_and_parse(command.encode())
        except TRIPPED:
            messages = []
        if self._elm.status() == OBDStatus.NOT_CONNECTED:
            raise ConnectionError(f"refused to send {watch.refused!r}" if watch.refused else "the port has gone")
        return list(messages or [])


def _in_words(error: str) -> str:
    """What python-OBD logged, for a person."""
    if error == "Failed to set baudrate":
        return "no ELM327 answers here, at no usual speed; is this another device's port?"
    if "lock port" in error:
        return "another program uses the port; stop it"
    return error


class _LastError(logging.Handler):
    """Remembers the last error that python-OBD logged: it reports a failed connection nowhere else."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()
