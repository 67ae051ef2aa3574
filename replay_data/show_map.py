"""The track of a trip as a map without tiles, as SVG text."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from device.contract import bodies
from replay_data import view as seen
from replay_data.driven import Trip
from replay_data.show_svg import picture, told
from replay_data.view import Point

MAP_POINTS: Final = 2_000  # a longer track is thinned to about this many
FRESH_MS: Final = 10_000  # between two positions further apart in time nothing is drawn
SPEED_CLASSES_KMH: Final = (30, 60, 90, 130)  # upper ends; the last class is open
START_PX, END_PX = 12.5, 9.5  # radii: both are seen around a pin of 8, and around each other
PIN_PX: Final = 17.0  # between two pins at least
PIN_RINGS: Final = 5

Pixel = tuple[float, float]


def route(trip: Trip, track: Sequence[Point], width: int, height: int) -> str:
    """The track of a trip as a map: coloured by speed, events by their numbers, with a scale. Empty without one."""
    start_ms = trip.start.start_mono_ms
    points = [point for point in track if start_ms <= point.t_ms <= start_ms + seen.duration_ms(trip)]
    thinned = max(1, len(points) // MAP_POINTS)
    points = points[::thinned]
    if len(points) < 2:
        return ""
    project = _Projection(points, width, height)
    speed = [sample.speed_dkmh for sample in trip.samples]
    lines: dict[int, list[str]] = {}
    for before, after in pairwise(points):
        if after.t_ms - before.t_ms <= FRESH_MS * thinned:
            sample = min((after.t_ms - start_ms) // trip.start.period_ms, len(speed) - 1)
            line = f"M{project(before)}L{project(after)}"
            lines.setdefault(_speed_class(speed[max(sample, 0)]), []).append(line)
    parts = [f'<path class="track" d="{"".join(part for k in lines for part in lines[k])}"/>']
    parts += [f'<path class="v{k}" d="{"".join(lines[k])}"/>' for k in sorted(lines)]
    for point, name, radius in ((points[0], "start", START_PX), (points[-1], "end", END_PX)):
        x, y = project(point).split()
        parts.append(f'<circle class="{name}" cx="{x}" cy="{y}" r="{radius}"><title>{name}</title></circle>')
    parts += [*_pins(trip, points, project), *project.scale()]
    return picture("Map of the track", width, height, parts)


def _pins(trip: Trip, points: Sequence[Point], project: _Projection) -> Iterator[str]:
    """Events by their numbers; what has no room where it was stands beside it, and a line leads there."""
    pins: list[tuple[int, bodies.Event, Pixel]] = []
    for number, (event, place) in enumerate(zip(trip.events, seen.places(trip, points), strict=True), start=1):
        if place is not None and not seen.is_background(event):
            x, y = map(float, project(Point(0, place.lat_deg, place.lon_deg)).split())
            spot = _beside((x, y), [taken for *_, taken in pins], project)
            pins.append((number, event, spot))
            if spot != (x, y):
                yield f'<path class="lead" d="M{x:.1f} {y:.1f}L{spot[0]:.1f} {spot[1]:.1f}"/>'
    for number, event, (x, y) in pins:
        yield (
            f'<g class="pin level{event.level}"><title>{html.escape(told(number, event))}</title>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="8"/>'
            f'<text x="{x:.1f}" y="{y + 3.5:.1f}" text-anchor="middle">{number}</text></g>'
        )


def _beside(place: Pixel, taken: Sequence[Pixel], project: _Projection) -> Pixel:
    """Nearest free spot for a pin: where the event was, else on rings around it; there after all if all are taken."""
    x, y = place
    for ring in range(PIN_RINGS):
        spots = max(1, 8 * ring)
        for k in range(spots):
            angle = math.tau * k / spots
            spot = x + ring * PIN_PX * math.cos(angle), y - ring * PIN_PX * math.sin(angle)
            if project.shows(spot) and all(math.dist(spot, other) >= PIN_PX for other in taken):
                return spot
    return place


class _Projection:
    """Degrees to pixels, equal in both directions at the middle of the track: right to 0.1 % over 100 km."""

    def __init__(self, points: Sequence[Point], width: int, height: int) -> None:
        self._width, self._height = width, height
        north, south = max(p.lat_deg for p in points), min(p.lat_deg for p in points)
        east, west = max(p.lon_deg for p in points), min(p.lon_deg for p in points)
        self._lat, self._lon = (north + south) / 2, (east + west) / 2
        self._shrink = math.cos(math.radians(self._lat))
        span_x, span_y = (east - west) * self._shrink, north - south
        margin = 24
        self._px_per_deg = min((width - 2 * margin) / max(span_x, 1e-5), (height - 2 * margin) / max(span_y, 1e-5))

    def __call__(self, point: Point) -> str:
        x = self._width / 2 + (point.lon_deg - self._lon) * self._shrink * self._px_per_deg
        y = self._height / 2 - (point.lat_deg - self._lat) * self._px_per_deg
        return f"{x:.1f} {y:.1f}"

    def shows(self, spot: Pixel) -> bool:
        """Tell whether a pin there is within the picture."""
        x, y = spot
        return PIN_PX <= x <= self._width - PIN_PX and PIN_PX <= y <= self._height - PIN_PX

    def scale(self) -> list[str]:
        """A bar of a round length at the lower left."""
        most_m = self._width / 4 / self._px_per_deg * seen.M_PER_DEG
        power = 10 ** math.floor(math.log10(most_m))
        length_m = next(k * power for k in (5, 2, 1) if k * power <= most_m)
        width, y = length_m / seen.M_PER_DEG * self._px_per_deg, self._height - 12
        name = f"{length_m / 1_000:g} km" if length_m >= 1_000 else f"{length_m:g} m"
        return [
            f'<path class="scale" d="M12 {y - 5}V{y}H{12 + width:.1f}V{y - 5}"/>',
            f'<text class="tick" x="{18 + width:.1f}" y="{y}">{name}</text>',
        ]


def _speed_class(speed_dkmh: int | None) -> int:
    """Number of the class of a speed from 1 on; 0 where it is not known."""
    return 0 if speed_dkmh is None else 1 + sum(speed_dkmh / 10 >= end for end in SPEED_CLASSES_KMH)
