"""Speed and course from positions, for tracks whose logger kept neither.

Displacement over a window of at least WINDOW_MS centred on each fix, straight from its first to its last. Against the
receiver's own speed at 1 Hz a window of 2, 4 and 6 s is off by 2.9, 2.6, 2.5 km/h RMS (drive-plotr, 23,187 fixes) and
3.0, 2.6, 2.7 (ndsbr, 8,237), its slope over 2 s by 0.038, 0.027, 0.027 g and 0.049, 0.034, 0.035 g.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

EARTH_RADIUS_M: Final = 6_371_008.8  # mean, IUGG
WINDOW_MS: Final = 3_000  # 4 s at 1 Hz
# Fixes further apart do not tell the way between them: a bend, a stop, a tunnel.
GAP_MS: Final = 5_000
# No car: the receiver jumped.
JUMP_MPS: Final = 100.0
# Over less than this a receiver's own noise points anywhere.
COURSE_LEAST_M: Final = 5.0


class Fix(NamedTuple):
    """A position: time in ms, degrees."""

    t_ms: int
    latitude_deg: float
    longitude_deg: float


class Moved(NamedTuple):
    """How a fix was passed: km/h, and degrees clockwise from north or None where that cannot be told."""

    t_ms: int
    speed_kmh: float
    course_deg: float | None


def moved(fixes: Sequence[Fix]) -> Iterator[Moved]:
    """Yield speed and course at each fix that has neighbours; times must rise. Gaps and jumps are not crossed."""
    first, last = 0, -1
    for here, fix in enumerate(fixes):
        if here > last:
            first, last = here, _end_of_piece(fixes, here)
        before = after = here
        while before > first and fix.t_ms - fixes[before].t_ms < WINDOW_MS / 2:
            before -= 1
        while after < last and fixes[after].t_ms - fix.t_ms < WINDOW_MS / 2:
            after += 1
        over_ms = fixes[after].t_ms - fixes[before].t_ms
        if over_ms > 0:
            way_m = distance_m(fixes[before], fixes[after])
            course = course_deg(fixes[before], fixes[after]) if way_m >= COURSE_LEAST_M else None
            yield Moved(fix.t_ms, way_m / over_ms * 3_600, course)


def _end_of_piece(fixes: Sequence[Fix], here: int) -> int:
    while here + 1 < len(fixes):
        step_ms = fixes[here + 1].t_ms - fixes[here].t_ms
        if step_ms > GAP_MS or distance_m(fixes[here], fixes[here + 1]) > JUMP_MPS * step_ms / 1_000:
            break
        here += 1
    return here


def distance_m(a: Fix, b: Fix) -> float:
    """Great-circle distance in metres (haversine)."""
    phi_a, phi_b = math.radians(a.latitude_deg), math.radians(b.latitude_deg)
    half_phi, half_lambda = (phi_b - phi_a) / 2, math.radians(b.longitude_deg - a.longitude_deg) / 2
    h = math.sin(half_phi) ** 2 + math.cos(phi_a) * math.cos(phi_b) * math.sin(half_lambda) ** 2
    return 2 * EARTH_RADIUS_M * math.asin(math.sqrt(min(1.0, h)))


def course_deg(a: Fix, b: Fix) -> float:
    """Initial bearing from a to b, degrees clockwise from north."""
    phi_a, phi_b = math.radians(a.latitude_deg), math.radians(b.latitude_deg)
    turn = math.radians(b.longitude_deg - a.longitude_deg)
    east = math.sin(turn) * math.cos(phi_b)
    north = math.cos(phi_a) * math.sin(phi_b) - math.sin(phi_a) * math.cos(phi_b) * math.cos(turn)
    return math.degrees(math.atan2(east, north)) % 360
