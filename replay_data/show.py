"""Draws a recording in the terminal: speed, acceleration and events over time, as the device path found them.

Curves are drawn in braille characters, two by four dots each; where the terminal cannot show them, in ASCII.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from device.contract import bodies
from replay_data import view as seen
from replay_data.driven import Trip
from replay_data.view import Span, View

MARGIN: Final = 14  # of labels
LEAST_WIDTH, MOST_WIDTH = 40, 160
SPEED_ROWS, ACCEL_ROWS = 7, 6
EVENTS_SHOWN: Final = 30
BRAILLE: Final = 0x2800
# Bit of each dot of a braille character, by row and column.
DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
COLOURS: Final = {1: "33", 2: "31"}  # by level: yellow, red


@dataclass(frozen=True, slots=True)
class Paper:
    """What is drawn on.

    Attributes
    ----------
    width : int
        Characters of a line.
    colour : bool
    unicode : bool
    """

    width: int = 80
    colour: bool = False
    unicode: bool = True

    @property
    def columns(self) -> int:
        """Characters of a curve."""
        return max(LEAST_WIDTH, min(self.width, MOST_WIDTH)) - MARGIN

    def wrapped(self, text: str) -> list[str]:
        """Text in lines that fit."""
        return textwrap.wrap(text, max(LEAST_WIDTH, self.width), subsequent_indent="  ")

    def painted(self, text: str, level: int) -> str:
        """Text in the colour of an event's level."""
        return f"\x1b[{COLOURS[level]}m{text}\x1b[0m" if self.colour and level in COLOURS else text


def draw(view: View, paper: Paper) -> str:
    """Draw a recording; lines without a newline at the end."""
    recording = view.recording
    lines = [recording.file, *paper.wrapped(f"{recording.format}, device {recording.device_id}")]
    if not view.trips:
        known = ", ".join(sorted({reading.signal for reading in recording.readings})) or "an empty recording"
        lines += paper.wrapped(f"no trip: the device path saw no driving in {known}")
    for number, trip in enumerate(view.trips, start=1):
        lines += ["", *_trip(number, trip, paper)]
    return "\n".join(line.rstrip() for line in lines)


def _trip(number: int, trip: Trip, paper: Paper) -> list[str]:
    lines = paper.wrapped(seen.heading(number, trip))
    if facts := seen.facts(trip):
        told = f"top {facts['top speed']}, standing {facts['standing']}, not observed {facts['not observed']}"
        lines += paper.wrapped(told)
    if not trip.samples:
        return [*lines, "  no motion"]
    speed = _spans(trip, "speed_dkmh", 10, paper)
    top = max((span.high for span in speed if span is not None), default=0.0)
    lines += _curve("km/h", speed, 0.0, max(top, 10.0), SPEED_ROWS, paper)
    for name, column in (("m/s² ahead", "accel_lon_cmps2"), ("m/s² left", "accel_lat_cmps2")):
        spans = _spans(trip, column, 100, paper)
        reach = max((max(-span.low, span.high) for span in spans if span is not None), default=None)
        if reach is not None:
            lines += _curve(name, spans, -max(reach, 1.0), max(reach, 1.0), ACCEL_ROWS, paper)
    return [*lines, *_marks(trip, paper), *_time_axis(trip, paper), *_table(trip.events, paper)]


def _spans(trip: Trip, column: str, steps: int, paper: Paper) -> list[Span | None]:
    dots = 2 * paper.columns
    spans = seen.columns(trip, column, steps, dots)
    return seen.stretched(spans, seen.duration_ms(trip) / dots, trip.start.period_ms)


def _curve(name: str, spans: Sequence[Span | None], low: float, high: float, rows: int, paper: Paper) -> list[str]:
    """Bars from the least to the greatest value of each column of dots, with the scale at the left."""
    height = 4 * rows
    cells = [[0] * (len(spans) // 2) for _ in range(rows)]

    def dot(value: float) -> int:
        return min(height - 1, max(0, round((high - value) / (high - low) * (height - 1))))

    before: Span | None = None
    for at, span in enumerate(spans):
        if span is not None:
            first, last = dot(span.high), dot(span.low)
            if before is not None:  # joined to what stands before, so that a curve is one
                first, last = min(first, dot(before.low)), max(last, dot(before.high))
            for y in range(first, last + 1):
                cells[y // 4][at // 2] |= DOTS[y % 4][at % 2]
        before = span
    scale = {0: f"{high:+.1f}" if low < 0 else f"{high:.0f}", rows - 1: f"{low:+.1f}" if low < 0 else f"{low:.0f}"}
    if low < 0:
        scale[rows // 2] = "0"
    edge = "┤" if paper.unicode else "|"
    lines = [name if paper.unicode else name.replace("²", "2")]
    for row, bits in enumerate(cells):
        drawn = "".join(chr(BRAILLE + bit) if paper.unicode else " *"[bit > 0] for bit in bits)
        lines.append(f"{scale.get(row, ''):>{MARGIN - 2}} {edge}{drawn.replace(chr(BRAILLE), ' ')}")
    return lines


def _marks(trip: Trip, paper: Paper) -> list[str]:
    """A line for each kind of event: its level where it happened, a line where it lasted."""
    lines = []
    whole_ms, line = seen.duration_ms(trip), "─" if paper.unicode else "-"
    for kind, name in seen.LABELS.items():
        events = [event for event in trip.events if event.kind == kind]
        if events:
            cells = [" "] * paper.columns
            for event in events:
                first, peak, last = (
                    min(t_ms * paper.columns // whole_ms, paper.columns - 1)
                    for t_ms in (event.onset_ms, event.peak_ms, event.end_ms)
                )
                for at in range(first, last + 1):
                    cells[at] = line if cells[at] == " " else cells[at]
                cells[peak] = paper.painted(str(event.level), event.level)
            lines.append(f"{name:>{MARGIN - 2}}  {''.join(cells)}")
    return lines


def _time_axis(trip: Trip, paper: Paper) -> list[str]:
    whole_ms = seen.duration_ms(trip)
    step = seen.tick_minutes(whole_ms, paper.columns // 8)
    cells = [" "] * (paper.columns + 6)
    for minute in range(0, whole_ms // 60_000 + 1, step):
        at = minute * 60_000 * paper.columns // whole_ms
        told = f"{minute}"
        if at + len(told) <= paper.columns:
            cells[at : at + len(told)] = told
    return [f"{'min':>{MARGIN - 2}}  {''.join(cells)}"]


def _table(events: Sequence[bodies.Event], paper: Paper) -> list[str]:
    """Events as a table, the first of them where there are many."""
    if not events:
        return ["  no event"]
    lines = [f"  {'at':>8}  {'event':<13}{'level':<7}{'peak':<12}{'lasted':<9}speed"]
    for event in events[:EVENTS_SHOWN]:
        peak = seen.strength(event) if paper.unicode else seen.strength(event).replace("²", "2")
        text = (
            f"  {seen.clock(event.onset_ms):>8}  {seen.label(event):<13}{event.level:<7}{peak:<12}"
            f"{f'{event.duration_ms / 1_000:.1f} s':<9}{seen.speeds(event)}"
        )
        lines.append(paper.painted(text, event.level))
    if len(events) > EVENTS_SHOWN:
        lines.append(f"  and {len(events) - EVENTS_SHOWN} more; --html FILE shows all")
    return lines
