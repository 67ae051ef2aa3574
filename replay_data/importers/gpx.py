"""GPX 1.1 and 1.0 track: positions with times; speed where the logger kept it, else from the positions.

Track points only (`trk/trkseg/trkpt`): a route or waypoints are plans. Speed and course are not part of GPX 1.1; they
come as extensions, always in m/s and degrees: `gpxtpx:speed`, `gpxtpx:course` (Garmin TrackPointExtension v2),
`osmand:speed`, or as plain `speed` and `course`, as GPX 1.0 had them. Names are taken without their namespace. Times
are UTC by the standard; one with another offset tells the local time. Source: topografix.com/GPX/1/1/gpx.xsd, Garmin's
TrackPointExtensionv2.xsd, OsmAnd's notes on its GPX files.

Read as a stream. A document type, the door of entity bombs, is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from xml.parsers import expat

from device.contract.errors import RecordingError
from device.contract.recording import RecordingHead
from device.contract.signals import BY_NAME, Reading
from replay_data.importers.clock import Clock, iso_ms
from replay_data.importers.positions import Fix, moved
from replay_data.importers.readings import collected, in_order, number_reading, reading_of, require_speed
from replay_data.importers.units import SAME, Unit

NAME: Final = "gpx"
TITLE: Final = "GPX track"
CHUNK_BYTES: Final = 65_536
MAX_TEXT: Final = 64  # of a value; longer is none of ours
FIELDS: Final = {
    "ele": ("altitude_m", SAME),
    "speed": ("gnss_speed_kmh", Unit(3.6)),
    "course": ("gnss_course_deg", SAME),
    "hdop": ("gnss_hdop", SAME),
    "sat": ("gnss_satellites", SAME),
}
# GPX's words to GGA's fix quality; 2d and 3d are both a fix.
FIX: Final = {"none": "0", "2d": "1", "3d": "1", "dgps": "2", "pps": "3"}


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    start = first_bytes.removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith((b"<?xml", b"<gpx")) and b"<gpx" in first_bytes


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a track. Raises RecordingError where that is not possible."""
    points = _Points(path)
    readings = collected(path, points.readings())
    points.require_times()
    repairs = points.clock.repairs
    from_positions = not any(r.signal == "gnss_speed_kmh" and r.value is not None for r in readings)
    if from_positions:
        readings = [r for r in readings if r.signal not in {"gnss_speed_kmh", "gnss_course_deg"}]
        readings += _from_positions(readings, repairs)
    require_speed(path, readings, repairs)
    ordered = in_order(readings, repairs)
    head = RecordingHead(
        source=NAME,
        original=path.name.encode("utf-8", "replace").decode(),
        started_at_ms=points.clock.first_ms,
        utc_offset_min=points.offset_min,
        repairs=dict(repairs),
        notes={"speed": "from positions"} if from_positions else {},
    )
    return head, ordered


def _from_positions(readings: list[Reading], repairs: Counter[str]) -> Iterator[Reading]:
    at = {(r.t_ms, r.signal): r.value for r in readings if r.value is not None}
    times = sorted({t_ms for t_ms, signal in at if signal == "latitude_deg" and (t_ms, "longitude_deg") in at})
    fixes = [Fix(t_ms, at[t_ms, "latitude_deg"], at[t_ms, "longitude_deg"]) for t_ms in times]
    for t_ms, speed_kmh, course_deg in moved(fixes):
        yield number_reading(t_ms, BY_NAME["gnss_speed_kmh"], speed_kmh, repairs)
        if course_deg is not None:
            yield number_reading(t_ms, BY_NAME["gnss_course_deg"], course_deg, repairs)


class _Points:
    """Track points of a file, as they are met.

    Attributes
    ----------
    clock : Clock
    offset_min : int or None
        Local time minus UTC of the first point, minutes, where it tells another zone than UTC.
    """

    def __init__(self, path: Path) -> None:
        self.clock = Clock(iso_ms)
        self.offset_min: int | None = None
        self._path = path
        self._met = 0
        self._fields: dict[str, str] | None = None  # of the point that is being read
        self._text: list[str] | None = None  # of the element that is being read
        self._done: list[dict[str, str]] = []

    def readings(self) -> Iterator[Reading]:
        """Yield the readings of each point in file order."""
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._add
        parser.StartDoctypeDeclHandler = self._refuse_doctype
        with self._path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield from self._taken(parser, chunk, is_last=False)
            yield from self._taken(parser, b"", is_last=True)

    def require_times(self) -> None:
        """Raise RecordingError where no point was of use."""
        if self.clock.first_ms is None:
            plan = "a planned route is no trip" if self._met else "export the track, not its waypoints"
            raise RecordingError(str(self._path), f"{self._met} track points, none with a time; {plan}")

    def _taken(self, parser: expat.XMLParserType, chunk: bytes, *, is_last: bool) -> Iterator[Reading]:
        try:
            parser.Parse(chunk, is_last)
        except (LookupError, ValueError) as error:
            raise RecordingError(str(self._path), f"is XML in an encoding that cannot be read: {error}") from None
        except expat.ExpatError as error:
            if self.clock.first_ms is None and not self._done:
                fault = f"is no XML: {expat.ErrorString(error.code)}"
                raise RecordingError(str(self._path), fault, line=error.lineno) from None
            self.clock.repairs["cut_off"] += 1  # a logger that lost its power; what came before is whole
            self._fields = self._text = None
        done, self._done = self._done, []
        for fields in done:
            yield from self._point(fields)

    def _point(self, fields: dict[str, str]) -> Iterator[Reading]:
        self._met += 1
        try:
            t_ms = self.clock.read(fields.get("time", ""))
        except ValueError:
            self.clock.repairs["points_without_time"] += 1
            return
        if self.clock.first_ms is not None and t_ms == 0:
            self.offset_min = self.offset_min or _offset_min(fields["time"])
        for name, signal in (("lat", "latitude_deg"), ("lon", "longitude_deg")):
            yield reading_of(t_ms, BY_NAME[signal], fields.get(name, ""), self.clock.repairs)
        if fields.get("fix") in FIX:
            yield reading_of(t_ms, BY_NAME["gnss_fix"], FIX[fields["fix"]], self.clock.repairs)
        for name, (signal, unit) in FIELDS.items():
            if name in fields:
                yield reading_of(t_ms, BY_NAME[signal], fields[name], self.clock.repairs, unit)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(" ")[2]
        if local == "trkpt":
            self._fields = {key: value[:MAX_TEXT] for key, value in attributes.items() if key in {"lat", "lon"}}
        self._text = [] if self._fields is not None and (local in FIELDS or local in {"time", "fix"}) else None

    def _add(self, text: str) -> None:
        if self._text is not None and sum(map(len, self._text)) < MAX_TEXT:
            self._text.append(text)

    def _end(self, name: str) -> None:
        local = name.rpartition(" ")[2]
        if self._fields is None:
            return
        if self._text is not None:
            self._fields.setdefault(local, "".join(self._text).strip()[:MAX_TEXT])
            self._text = None
        if local == "trkpt":
            self._done.append(self._fields)
            self._fields = None

    def _refuse_doctype(self, *_: object) -> None:
        raise RecordingError(str(self._path), "has a document type, which no GPX has; export it again")


def _offset_min(time: str) -> int | None:
    """Offset that a time tells; Z may be any zone."""
    offset = datetime.fromisoformat(time).utcoffset()
    return offset // timedelta(minutes=1) if offset else None
