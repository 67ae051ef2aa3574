"""IKHYD log lines (`I know how you drive`, Iowa City): a phone's clock in ms, what it is, the value.

    1558467126220;010D;0.0
    1558467126464;gps;41.658035:-91.534262:0.66642624:1558467127000:251.4:3.3:0.10603278

Service and PID in hexadecimal with the value in its unit; of the receiver latitude, longitude, metres since the fix
before, UTC in ms, altitude in m, accuracy in m, speed in m/s. (That the third is a distance and the seventh a speed was
found by computing the distances: they agree within 0.02 mm.)
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from device.contract.errors import RecordingError
from device.contract.recording import RecordingHead
from device.contract.signals import BY_NAME, SIGNALS, Reading
from replay_data.importers.clock import Clock, utc_offset_min
from replay_data.importers.readings import collected, in_order, reading_of, require_speed
from replay_data.importers.units import SAME, Unit

NAME: Final = "ikhyd"
TITLE: Final = "IKHYD log"
ZONE: Final = "America/Chicago"
MAX_LINE: Final = 1_024
MAX_DAMAGED_SHARE: Final = 0.01
LINE: Final = re.compile(rb"(?P<ms>[0-3]\d{12});(?:01(?P<pid>[0-9A-Fa-f]{2})|gps);(?P<value>[-+\d.eE:]*)\s*")
SIGNAL_OF_PID: Final = {signal.pid: signal for signal in SIGNALS if signal.pid is not None}
GPS: Final = (
    ("latitude_deg", SAME),
    ("longitude_deg", SAME),
    None,
    None,
    ("altitude_m", SAME),
    None,
    ("gnss_speed_kmh", Unit(3.6)),
)


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    lines = first_bytes.split(b"\n")[:10]
    return sum(bool(LINE.fullmatch(line)) for line in lines) >= max(1, len(lines) // 2)


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a log. Raises RecordingError where that is not possible."""
    clock = Clock(int)
    readings = collected(path, _readings(path, clock))
    require_speed(path, readings, clock.repairs)
    ordered = in_order(readings, clock.repairs)
    head = RecordingHead(
        source=NAME,
        original=path.name.encode("utf-8", "replace").decode(),
        started_at_ms=clock.first_ms,
        utc_offset_min=utc_offset_min(clock.first_ms or 0, ZONE),
        repairs=dict(clock.repairs),
        notes={"zone": ZONE},
    )
    return head, ordered


def _readings(path: Path, clock: Clock) -> Iterator[Reading]:
    whole, damaged, first = 0, 0, (0, b"")
    with path.open("rb") as file:
        for line, text in enumerate(iter(lambda: file.readline(MAX_LINE), b""), start=1):
            found = LINE.fullmatch(text)
            if found is None:
                if text.strip():
                    damaged += 1
                    first = first if first[0] else (line, text[:60].strip())
                continue
            whole += 1
            t_ms, value = clock.read(found["ms"].decode()), found["value"].decode()
            if found["pid"] is None:
                yield from _fix(t_ms, value.split(":"), clock.repairs)
            elif (signal := SIGNAL_OF_PID.get(int(found["pid"], 16))) is not None:
                yield reading_of(t_ms, signal, value, clock.repairs)
    if damaged > max(1, MAX_DAMAGED_SHARE * (whole + damaged)):
        share = f"({damaged} of {whole + damaged} lines are damaged)"
        raise RecordingError(str(path), f"{first[1].decode(errors='replace')!r} is no log line {share}", line=first[0])
    if damaged:
        clock.repairs["damaged_rows"] += damaged


def _fix(t_ms: int, fields: list[str], repairs: Counter[str]) -> Iterator[Reading]:
    if len(fields) != len(GPS):
        repairs["damaged_rows"] += 1
        return
    for known, field in zip(GPS, fields, strict=True):
        if known is not None:
            name, unit = known
            yield reading_of(t_ms, BY_NAME[name], field, repairs, unit)
