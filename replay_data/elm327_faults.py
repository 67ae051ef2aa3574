"""An ELM327 that fails as real ones do, on command: `elm.fault = "silent"`."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Final

from device.contract.signals import Reading
from replay_data.elm327 import Elm327, asks_value

# Name -> what happens.
FAULTS: Final[dict[str, str]] = {
    "silent": "nothing is answered, no prompt comes",
    "garbage": "random bytes and no prompt, whatever is asked",
    "noise": "a clone on a bad wire: characters of replies change, vanish or come twice",
    "padded": "replies are cut after the PID and filled up with zeros",
    "foreign": "replies are those to another PID",
    "stale": "the first reply to each request comes again and again",
    "no_data": "the car does not answer: the ignition is off",
    "low_voltage": "the supply breaks down: the adapter restarts and forgets its settings",
}
NOISE: Final = 0.03  # probability for each character
GARBAGE_BYTES: Final = 40


class FaultyElm(Elm327):
    """The adapter and the car, and `fault`: a name of `FAULTS` that is on now, or None.

    Parameters
    ----------
    readings : iterable of Reading
    rng : random.Random
        Of garbage and noise.
    vin : str, optional
    """

    def __init__(self, readings: Iterable[Reading], rng: random.Random, *, vin: str | None = None) -> None:
        super().__init__(readings, vin=vin)
        self.fault: str | None = None
        self._rng = rng
        self._before: dict[str, bytes] = {}  # of "stale"

    def respond(self, command: str, now_ms: float) -> bytes:
        """Return what the adapter sends for one command line."""
        fault = self.fault
        if fault == "silent":
            return b""
        if fault == "garbage":
            return self._rng.randbytes(GARBAGE_BYTES).replace(b">", b"<")
        if fault == "low_voltage":
            self._reset()
            return b"LV RESET\r\r>"
        reply = super().respond(command, now_ms)
        if not asks_value("".join(command.upper().split())):
            return reply
        if fault == "no_data":
            return b"NO DATA\r\r>"
        if fault == "noise":
            return b"".join(self._noisy(byte) for byte in reply[:-1]) + reply[-1:]
        if fault == "padded":
            return _padded(reply)
        if fault == "foreign":
            return b"7E8 03 41 05 5A AA AA AA AA \r\r>"
        if fault == "stale":
            return self._before.setdefault(command, reply)
        self._before.clear()
        return reply

    def _noisy(self, byte: int) -> bytes:
        kind = self._rng.random() / NOISE
        if kind >= 1:
            return bytes([byte])
        return (b"", bytes([byte, byte]), self._rng.randbytes(1).replace(b">", b"<"))[int(kind * 3)]


def _padded(reply: bytes) -> bytes:
    """Cut a frame after its PID and fill it up, its length with it."""
    words = reply.split(b" ")
    if len(words) < 5 or b"DATA" in reply:
        return reply
    return b" ".join([words[0], b"02", *words[2:4], *[b"00"] * 5]) + b" \r\r>"
