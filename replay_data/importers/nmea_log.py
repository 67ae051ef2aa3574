"""NMEA 0183 log: the sentences of a GNSS receiver, one a line, decoded as the device decodes them.

A log has no times of arrival, so each epoch comes at the UTC time its sentences tell (GGA, RMC, GLL, ZDA); sentences
without one (GSA, VTG) belong to the epoch they stand in. The date is of the first RMC or ZDA. Whatever stands before
the `$` of a line, such as a logger's own stamp, is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from device.contract.errors import RecordingError
from device.contract.recording import RecordingHead
from device.contract.signals import BY_NAME, Reading
from device.sources.nmea import NmeaParser
from replay_data.importers.clock import DayClock
from replay_data.importers.readings import collected, in_order, number_reading, require_speed

NAME: Final = "nmea"
TITLE: Final = "NMEA 0183 log"
MAX_LINE: Final = 1_024
LEAST_SHARE: Final = 0.5
SENTENCE: Final = re.compile(rb"\$[A-Z]{2}(RMC|GGA|GLL|VTG|GSA|GSV|ZDA),")
# hhmmss.sss of the sentences that tell it, as field of the sentence's own.
TIME: Final = re.compile(rb"\$[A-Z]{2}(?:(?:RMC|GGA|ZDA),|GLL,[^,]*,[^,]*,[^,]*,[^,]*,)(\d\d)(\d\d)(\d\d(?:\.\d+)?),")


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    lines = first_bytes.split(b"\n")[:200]
    return sum(bool(SENTENCE.search(line)) for line in lines) >= max(1, LEAST_SHARE * sum(map(bool, lines)))


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a log. Raises RecordingError where that is not possible."""
    clock, parser = DayClock(), NmeaParser()
    readings = collected(path, _readings(path, clock, parser))
    repairs = clock.repairs
    repairs.update(parser.counters)
    if not parser.frames:
        raise RecordingError(str(path), "no whole sentence: all checksums fail; log the receiver at its own baud rate")
    refused = parser.counters.total()
    if refused > parser.frames:
        fault = f"{refused} damaged sentences and {parser.frames} whole ones; log the receiver at its own baud rate"
        raise RecordingError(str(path), fault)
    require_speed(path, readings, repairs)
    ordered = in_order(readings, repairs)
    utc = next(((r.t_ms, r.value) for r in ordered if r.signal == "gnss_utc_s" and r.value is not None), None)
    head = RecordingHead(
        source=NAME,
        original=path.name.encode("utf-8", "replace").decode(),
        started_at_ms=None if utc is None else round(utc[1] * 1000) - utc[0],
        repairs={name: count for name, count in repairs.items() if name != "repeated_readings"},
    )
    return head, ordered


def _readings(path: Path, clock: DayClock, parser: NmeaParser) -> Iterator[Reading]:
    t_ms: int | None = None
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE):
            if (told := TIME.search(line)) is not None:
                hours, minutes, seconds = (part.decode() for part in told.groups())
                try:
                    t_ms = clock.read(f"{hours}:{minutes}:{seconds}")
                except ValueError:
                    clock.repairs["gnss_refused_time"] += 1
                    continue
            if t_ms is not None:
                for reading in parser.feed(line.rstrip(b"\n") + b"\n", t_ms):
                    value = reading.value
                    if value is not None:
                        yield number_reading(t_ms, BY_NAME[reading.signal], value, clock.repairs)
