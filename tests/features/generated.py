"""Many trips of motion from a seed, to compare implementations on: cheaper than drawing each with hypothesis."""

from __future__ import annotations

import random
from collections.abc import Sequence

from device.contract.motion import MotionSample
from tests.features.trips import ACCELS, LIMITS, SPEEDS, Trip

Values = list[int | None]
PEAKS = [None, 0, 999, 1_000, 2_449, 2_450, 3_000]
QUALITIES = [0, 0, 1, 2, 3, 4, 8, 16, 18, 28, 255]
OFFSETS = [None, 0, 60, -210, 345, 840, -720]
GAPS = [1, 2, 3, 9, 10, 11, 7_200]


def trip(chance: random.Random, key: int) -> Trip:
    """A trip with every trap: nulls, gaps, values at thresholds, a single sample, swings open at its end."""
    period_ms = chance.choice([500, 500, 100])
    rows = chance.choice([1, 2, 3, chance.randrange(4, 60), chance.randrange(60, 300)])
    plausible = chance.random() < 0.5
    speed, accel = _drive(chance, rows, period_ms) if plausible else (_sticky(chance, SPEEDS, rows), [])
    columns = {
        "speed_dkmh": speed,
        "accel_lon_cmps2": accel or _sticky(chance, ACCELS, rows),
        "accel_lat_cmps2": _sticky(chance, ACCELS, rows) if chance.random() < 0.6 else [None] * rows,
        "accel_peak_cmps2": _sticky(chance, PEAKS, rows) if chance.random() < 0.4 else [None] * rows,
        "engine": _sticky(chance, [None, 0, 1, 1], rows),
        "limit_kmh": _sticky(chance, LIMITS, rows) if chance.random() < 0.6 else [None] * rows,
        "quality": _sticky(chance, QUALITIES, rows),
    }
    t_ms, samples = 0, []
    for row in range(rows):
        if chance.random() < 0.02:
            t_ms += chance.choice(GAPS) * period_ms
        samples.append(MotionSample(t_ms, **{name: values[row] for name, values in columns.items()}))  # type: ignore[arg-type]
        t_ms += period_ms
    start_ms = chance.randrange(1_700_000_000_000, 1_700_700_000_000)
    return Trip(key, start_ms, chance.choice(OFFSETS), samples, period_ms, chance.choice([1, 2, 3, 3]))


def _sticky(chance: random.Random, values: Sequence[int | None], rows: int) -> Values:
    """Values that stay for some samples."""
    out: Values = []
    while len(out) < rows:
        out += [chance.choice(values)] * chance.randrange(1, 10)
    return out[:rows]


def _drive(chance: random.Random, rows: int, period_ms: int) -> tuple[Values, Values]:
    """Speed that follows from acceleration; both are now and then not known."""
    speed, accel = chance.uniform(0, 140), 0.0
    speeds: Values = []
    accels: Values = []
    for _ in range(rows):
        accel = max(-8.0, min(5.0, 0.8 * accel + chance.gauss(0, 1.2)))
        speed = max(0.0, min(250.0, speed + accel * 3.6 * period_ms / 1000))
        known = chance.random() > 0.03
        speeds.append(round(speed * 10) if known else None)
        accels.append(round(accel * 100) if known or chance.random() < 0.3 else None)
    return speeds, accels
