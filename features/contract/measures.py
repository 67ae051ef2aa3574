"""Measures: integers of a window that features are ratios of. Each is a sum of driver periods or of some of their bins.

A measure of a histogram is a table of integer weights by bin; the names in `catalogue.toml` are these names and those
of `periods.SUMS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from device.contract.rules import KIND_NUMBERS
from device.contract.trip import (
    ACCEL_BINS,
    ACCEL_STEP_CMPS2,
    ACCEL_ZERO_BIN,
    DURATION_CLASSES,
    DURATION_EDGES_MS,
    LEVELS,
    ONSET_BANDS,
    PEAK_BINS,
    PEAK_STEP_CMPS2,
    SPEED_BANDS,
)
from features.contract.periods import BINS, NIGHT_FROM_HOUR, NIGHT_TO_HOUR, SUMS
from features.contract.reconcile import RECONCILED

SATURDAY: Final = 5
BRAKING: Final = ("harsh_braking",)
ACCELERATION: Final = ("harsh_acceleration",)
TURN: Final = ("harsh_turn_left", "harsh_turn_right")
MODERATE_CMPS2: Final = 200
HARD_CMPS2: Final = 300
FULL_CMPS2: Final = 600
FAST_DKMH: Final = 800
TOWN_DKMH: Final = 500


class Measure(NamedTuple):
    """Sum over a histogram's bins, each times its weight."""

    histogram: str
    weights: npt.NDArray[np.int64]  # shape (BINS[histogram],)


def _measure(histogram: str, weight: Callable[[int], int | bool]) -> Measure:
    return Measure(histogram, np.array([int(weight(key)) for key in range(BINS[histogram])], np.int64))


def _hours(weight: Callable[[int, int], bool]) -> Measure:
    """Distance in local hours; `weight` is given the day (Monday 0) and the hour."""
    return _measure("distance_by_hour_mm", lambda key: weight(*divmod(key, 24)))


def _night(hour: int) -> bool:
    return hour >= NIGHT_FROM_HOUR or hour < NIGHT_TO_HOUR


def _speeds(low_kmh: int, high_kmh: int) -> Measure:
    """Distance at mean speeds from `low_kmh` to below `high_kmh`."""
    return _measure("distance_by_speed_mm", lambda band: low_kmh <= 10 * band < high_kmh)


def _events(kinds: Iterable[str], level: int) -> Measure:
    """Events of these kinds of at least this level."""
    numbers = {KIND_NUMBERS[kind] for kind in kinds}
    return _measure("event_counts", lambda key: key // LEVELS in numbers and key % LEVELS >= level)


def _excursions(
    kinds: Iterable[str],
    peak_cmps2: int,
    *,
    from_dkmh: int = 0,
    below_dkmh: int | None = None,
    from_ms: int = 0,
) -> Measure:
    """Excursions with at least this peak and duration; with a bound of speed only those known to begin within it."""
    numbers = {KIND_NUMBERS[kind] for kind in kinds}
    anywhere = from_dkmh == 0 and below_dkmh is None
    bands = range(from_dkmh // 100, SPEED_BANDS if below_dkmh is None else below_dkmh // 100)
    least_class = sum(from_ms >= edge for edge in DURATION_EDGES_MS)

    def weight(key: int) -> bool:
        rest, band = divmod(key, ONSET_BANDS)
        rest, duration_class = divmod(rest, DURATION_CLASSES)
        kind, peak_bin = divmod(rest, PEAK_BINS)
        strong = peak_bin * PEAK_STEP_CMPS2 >= peak_cmps2
        return kind in numbers and strong and duration_class >= least_class and (anywhere or band in bands)

    return _measure("excursions", weight)


def _heatmap(low_kmh: int, high_kmh: int, weight: Callable[[int], int]) -> Measure:
    """Time at speeds from `low_kmh` to below `high_kmh`; `weight` is given the acceleration of the bin in cm/s2."""

    def of_bin(key: int) -> int:
        band, accel_bin = divmod(key, ACCEL_BINS)
        within = low_kmh <= 10 * band < high_kmh
        return weight((accel_bin - ACCEL_ZERO_BIN) * ACCEL_STEP_CMPS2) if within else 0

    return _measure("va_ms", of_bin)


TOP_KMH: Final = 10 * SPEED_BANDS
_BANDS_KMH: Final = {"creep": (10, 20), "town": (20, 50), "road": (50, 100), "motorway": (100, TOP_KMH)}

MEASURES: Final[dict[str, Measure]] = {
    "local_mm": _hours(lambda _day, _hour: True),
    "night_mm": _hours(lambda _day, hour: _night(hour)),
    "rush_hour_mm": _hours(lambda day, hour: day < SATURDAY and (7 <= hour < 9 or 16 <= hour < 19)),
    "weekend_mm": _hours(lambda day, _hour: day >= SATURDAY),
    "weekend_night_mm": _hours(
        lambda day, hour: _night(hour) and (day in {4, 5} if hour >= NIGHT_FROM_HOUR else day >= SATURDAY)
    ),
    "below_50_mm": _speeds(0, 50),
    "from_100_mm": _speeds(100, TOP_KMH),
    "from_120_mm": _speeds(120, TOP_KMH),
    "harsh_brakings": _events(BRAKING, 1),
    "severe_brakings": _events(BRAKING, 2),
    "harsh_accelerations": _events(ACCELERATION, 1),
    "severe_accelerations": _events(ACCELERATION, 2),
    "harsh_turns": _events(TURN, 1),
    "severe_turns": _events(TURN, 2),
    "impacts": _events(("impact",), 1),
    "idlings": _events(("idling",), 1),
    "moderate_brakings": _excursions(BRAKING, MODERATE_CMPS2),
    "moderate_accelerations": _excursions(ACCELERATION, MODERATE_CMPS2),
    "moderate_turns": _excursions(TURN, MODERATE_CMPS2),
    "fast_brakings": _excursions(BRAKING, MODERATE_CMPS2, from_dkmh=FAST_DKMH),
    "town_hard_brakings": _excursions(BRAKING, HARD_CMPS2, below_dkmh=TOWN_DKMH),
    "full_brakings": _excursions(BRAKING, FULL_CMPS2),
    "long_brakings": _excursions(BRAKING, MODERATE_CMPS2, from_ms=DURATION_EDGES_MS[-1]),
    **{f"{name}_ms": _heatmap(*bounds, lambda _accel: 1) for name, bounds in _BANDS_KMH.items()},
    **{f"{name}_abs_accel": _heatmap(*bounds, abs) for name, bounds in _BANDS_KMH.items()},
}

# From the first trip of the window to its end.
EXPOSURE: Final = "exposure_ms"
NAMES: Final = frozenset((*MEASURES, *SUMS, *RECONCILED, EXPOSURE))
