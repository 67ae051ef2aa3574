"""NMEA 0183 to readings: sentences found in a stream of bytes, checked, decoded by pynmeagps.

A receiver tells the same thing in several sentences; each signal is taken from the best of them that comes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time
from functools import reduce
from operator import xor
from typing import Any, Final

from pynmeagps import NMEAReader
from pynmeagps.exceptions import NMEAMessageError, NMEAParseError, NMEATypeError

from device.contract.signals import BY_NAME, Reading

MAX_SENTENCE: Final = 256  # the standard's 82 are passed by receivers with more decimals
SENTENCE: Final = re.compile(rb"\$([A-Z]{2}([A-Z]{3}),[ -)+-~]*)\*([0-9A-Fa-f]{2})")
KMH_PER_KNOT: Final = 1.852
# A sentence stands in for a better one that has not come for so long.
OWNED_MS: Final = 3_000
# GGA's fix quality of the mode letter of RMC (NMEA 4.11): autonomous, differential, precise, RTK, float, estimated.
FIX_OF_MODE: Final = {"A": 1, "D": 2, "P": 3, "R": 4, "F": 5, "E": 6, "M": 7, "S": 8}

Found = Iterator[tuple[str, Any]]  # signal and value; what is no number was not told


def _rmc(message: Any) -> Found:
    """Recommended minimum: all at once, only with a fix."""
    valid = message.status == "A" and getattr(message, "posMode", "A") != "N"
    yield "gnss_fix", FIX_OF_MODE.get(getattr(message, "posMode", "A"), 1) if valid else 0
    if valid:
        yield from _position(message)
        yield "gnss_speed_kmh", _scaled(message.spd, KMH_PER_KNOT)
        yield "gnss_course_deg", message.cog
        yield "gnss_utc_s", _utc_s(message.date, message.time)


def _gga(message: Any) -> Found:
    yield "gnss_fix", message.quality
    if message.quality:
        yield from _position(message)
        yield "altitude_m", message.alt
        yield "gnss_hdop", message.HDOP
        yield "gnss_satellites", message.numSV


def _gsa(message: Any) -> Found:
    yield "gnss_fix", int(message.navMode in {2, 3})
    if message.navMode in {2, 3}:
        yield "gnss_hdop", message.HDOP


def _vtg(message: Any) -> Found:
    if getattr(message, "posMode", "A") != "N":
        yield "gnss_speed_kmh", message.sogk if _is_number(message.sogk) else _scaled(message.sogn, KMH_PER_KNOT)
        yield "gnss_course_deg", message.cogt


def _gll(message: Any) -> Found:
    if message.status == "A":
        yield from _position(message)


def _zda(message: Any) -> Found:
    if all(_is_number(part) for part in (message.year, message.month, message.day)):
        yield "gnss_utc_s", _utc_s(date(message.year, message.month, message.day), message.time)


def _position(message: Any) -> Found:
    yield "latitude_deg", message.lat
    yield "longitude_deg", message.lon


# The best source of each signal first.
SENTENCES: Final[dict[str, Callable[[Any], Found]]] = {
    "GGA": _gga,
    "RMC": _rmc,
    "GSA": _gsa,
    "VTG": _vtg,
    "GLL": _gll,
    "ZDA": _zda,
}
RANK: Final = {name: rank for rank, name in enumerate(SENTENCES)}


class NmeaParser:
    """A `device.sources.serial_source.Parser`. Readings have the time at which their sentence was whole."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.frames = 0
        self._rest = b""
        self._in_step = False  # a sentence begun before we listened is no fault
        self._owners: dict[str, tuple[int, int]] = {}  # of each signal: rank of its sentence, and when it came

    def feed(self, data: bytes, now_ms: int) -> list[Reading]:
        """Take bytes as they came until `now_ms`; return their readings."""
        readings: list[Reading] = []
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line, now_ms, readings)
        if len(self._rest) > MAX_SENTENCE:
            self._refuse("syntax")
            self._rest = b""
        return readings

    def reset(self) -> None:
        """Forget a sentence begun."""
        self._rest = b""
        self._in_step = False

    def _line(self, line: bytes, now_ms: int, readings: list[Reading]) -> None:
        begin = max(line.rfind(b"$"), 0)  # noise, or a sentence that another one cut off, may stand before
        text = line[begin:].rstrip(b"\r")
        found = SENTENCE.fullmatch(text)
        if found is None or len(text) > MAX_SENTENCE:
            if text and not text.startswith(b"!"):  # a ship's transponder may share the wire
                self._refuse("syntax")
            return
        body, kind, told = found[1], found[2].decode(), int(found[3], 16)
        if reduce(xor, body) != told:
            self._refuse("checksum")
            return
        self.frames += 1
        self._in_step = True
        if kind in SENTENCES:
            self._decode(kind, text, now_ms, readings)

    def _decode(self, kind: str, sentence: bytes, now_ms: int, readings: list[Reading]) -> None:
        try:
            offered = list(SENTENCES[kind](NMEAReader.parse(sentence + b"\r\n")))
        except (NMEAMessageError, NMEAParseError, NMEATypeError, AttributeError, ValueError, OverflowError):
            self._refuse("fields")  # a field missing, or not what it should be
            return
        for name, value in offered:
            rank, since_ms = self._owners.get(name, (RANK[kind], now_ms))
            if not _is_number(value) or (rank < RANK[kind] and now_ms - since_ms < OWNED_MS):
                continue
            self._owners[name] = (RANK[kind], now_ms)
            if BY_NAME[name].low <= value <= BY_NAME[name].high:
                readings.append(Reading(now_ms, name, float(value)))
            else:
                self._refuse("range")

    def _refuse(self, reason: str) -> None:
        if self._in_step:
            self.counters[f"gnss_refused_{reason}"] += 1


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _scaled(value: Any, factor: float) -> float | None:
    return value * factor if _is_number(value) else None


def _utc_s(day: Any, at: Any) -> float | None:
    if not isinstance(day, date) or not isinstance(at, time):
        return None
    return datetime.combine(day, at, UTC).timestamp()
