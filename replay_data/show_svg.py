"""Curves of a trip over time with its events, as SVG text."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from device.contract import bodies
from replay_data import view as seen
from replay_data.driven import Trip
from replay_data.view import Span

LEFT, RIGHT = 44, 10
PLOT_PX, GAP_PX, HEAD_PX, AXIS_PX = 130, 12, 20, 26
NUMBER_ROWS, NUMBER_PX = 2, 13  # above the curves, for the numbers of events; what has no room there has none
TOP_PX: Final = NUMBER_ROWS * NUMBER_PX + 4


@dataclass(frozen=True, slots=True)
class Curve:
    """A column of motion to draw."""

    name: str
    column: str
    steps: int
    signed: bool


CURVES: Final = (
    Curve("speed, km/h", "speed_dkmh", 10, signed=False),
    Curve("forward acceleration, m/s²", "accel_lon_cmps2", 100, signed=True),
    Curve("sideways acceleration, m/s² (left is up)", "accel_lat_cmps2", 100, signed=True),
)


def chart(trip: Trip, width: int) -> str:
    """Speed and acceleration over time, with numbered events."""
    plot = width - LEFT - RIGHT
    drawn: list[tuple[Curve, list[Span | None]]] = []
    for curve in CURVES:
        spans = seen.columns(trip, curve.column, curve.steps, plot)
        if any(span is not None for span in spans):
            step_ms = seen.duration_ms(trip) / plot
            drawn.append((curve, seen.stretched(spans, step_ms, trip.start.period_ms)))
    height = TOP_PX + len(drawn) * (HEAD_PX + PLOT_PX + GAP_PX) + AXIS_PX
    parts = [*_time_axis(trip, width, height)]
    for row, (curve, spans) in enumerate(drawn):
        top = TOP_PX + row * (HEAD_PX + PLOT_PX + GAP_PX) + HEAD_PX
        parts += _curve(curve, spans, top, width)
        if row == 0:
            parts += _limit(trip, spans, top, plot)
    parts += _event_marks(trip, width, height - AXIS_PX)
    return picture("Speed and acceleration over time", width, height, parts)


def _curve(curve: Curve, spans: Sequence[Span | None], top: int, width: int) -> Iterator[str]:
    low, high = _range(curve, spans)
    yield f'<text class="name" x="{LEFT}" y="{top - 6}">{curve.name}</text>'
    step = seen.tick_step((high - low) * 1.0, 5)
    tick = math.ceil(low / step) * step
    while tick <= high + 1e-9:
        y = _y(tick, low, high, top)
        yield f'<path class="{"zero" if tick == 0 and curve.signed else "grid"}" d="M{LEFT} {y}H{width - RIGHT}"/>'
        yield f'<text class="tick" x="{LEFT - 6}" y="{y + 4:g}" text-anchor="end">{tick:g}</text>'
        tick += step
    for run in _runs(spans):
        up = [f"{LEFT + x} {_y(span.high, low, high, top)}" for x, span in run]
        down = [f"{LEFT + x} {_y(span.low, low, high, top)}" for x, span in reversed(run)]
        yield f'<path class="curve" d="M{"L".join(up)}L{"L".join(down)}Z"/>'


def _range(curve: Curve, spans: Sequence[Span | None]) -> tuple[float, float]:
    highest = max(span.high for span in spans if span is not None)
    if not curve.signed:
        return 0.0, max(10.0, highest) * 1.05
    reach = max(3.0, highest, *(-span.low for span in spans if span is not None)) * 1.05
    return -reach, reach


def _runs(spans: Sequence[Span | None]) -> Iterator[list[tuple[int, Span]]]:
    run: list[tuple[int, Span]] = []
    for x, span in enumerate([*spans, None]):
        if span is not None:
            run.append((x, span))
        elif run:
            yield [*run, (run[-1][0] + 1, run[-1][1])]
            run = []


def _limit(trip: Trip, speed: Sequence[Span | None], top: int, plot: int) -> Iterator[str]:
    """The speed limit, where it is known."""
    low, high = _range(CURVES[0], speed)
    limits = seen.stretched(seen.columns(trip, "limit_kmh", 1, plot), seen.duration_ms(trip) / plot, 500)
    for run in _runs([None if span is None or span.high > high else span for span in limits]):
        line = "L".join(f"{LEFT + x} {_y(span.high, low, high, top)}" for x, span in run)
        yield f'<path class="limit" d="M{line}"/>'


def _event_marks(trip: Trip, width: int, bottom: int) -> Iterator[str]:
    whole_ms, plot = seen.duration_ms(trip), width - LEFT - RIGHT
    free = [0.0] * NUMBER_ROWS  # where the last number of each row ends
    for number, event in enumerate(trip.events, start=1):
        x, end, peak = (
            LEFT + t_ms / whole_ms * plot
            for t_ms in (event.onset_ms, event.end_ms + trip.start.period_ms, event.peak_ms + trip.start.period_ms / 2)
        )
        box = f'x="{x:.1f}" width="{max(end - x, 2):.1f}"'
        title = f"<title>{html.escape(told(number, event))}</title>"
        if seen.is_background(event):
            y = TOP_PX + HEAD_PX + PLOT_PX - 4
            yield f'<g class="event lasting level{shade(event)}">{title}<rect {box} y="{y}" height="4"/></g>'
            continue
        half = 3.5 * len(str(number)) + 1
        row = next((row for row, end in enumerate(free) if peak - half >= end), None)
        name = ""
        if row is not None:
            free[row] = peak + half
            y = (NUMBER_ROWS - row) * NUMBER_PX - 2
            name = f'<text x="{peak:.1f}" y="{y}" text-anchor="middle">{number}</text>'
        area = f'<rect {box} y="{TOP_PX}" height="{bottom - TOP_PX}"/>'
        yield f'<g class="event level{event.level}">{title}{area}{name}</g>'


def _time_axis(trip: Trip, width: int, height: int) -> Iterator[str]:
    whole_ms, plot = seen.duration_ms(trip), width - LEFT - RIGHT
    step = seen.tick_minutes(whole_ms, plot // 60)
    for minute in range(0, whole_ms // 60_000 + 1, step):
        x = LEFT + minute * 60_000 / whole_ms * plot
        yield f'<path class="grid" d="M{x:.1f} {TOP_PX + HEAD_PX}V{height - AXIS_PX}"/>'
        unit = " min" if minute == 0 else ""
        anchor = "start" if minute == 0 else "middle"
        yield f'<text class="tick" x="{x:.1f}" y="{height - 8}" text-anchor="{anchor}">{minute}{unit}</text>'


def shade(event: bodies.Event) -> int:
    """Level by which an event is coloured; idling is no danger."""
    return 0 if event.kind == seen.IDLING else event.level


def told(number: int, event: bodies.Event) -> str:
    """An event in one line."""
    parts = (f"{number}. {seen.label(event)}, level {event.level}", seen.strength(event), seen.speeds(event))
    return ", ".join(part for part in parts if part) + f", at {seen.clock(event.onset_ms)}"


def _y(value: float, low: float, high: float, top: int) -> float:
    return round(top + (high - value) / (high - low) * PLOT_PX, 1)


def picture(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    """An SVG with what a reader for the blind says of it."""
    head = f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}">'
    return f"{head}{''.join(parts)}</svg>"
