"""What a device would have recorded of the knots: rows of the motion grid, with noise, quantisation and gaps.

Speed is read with the noise of interpolated whole km/h; longitudinal acceleration is its central difference over 2 s,
as in the speed path of a device without IMU. Columns are those of `ingest.contract.tables.MOTION`.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.motion import ENGINE_ON, PERIOD_MS, QUALITY_COARSE
from replay_data.portfolio.drivers import Ints
from replay_data.portfolio.manoeuvres import KNOTS, Manoeuvres
from replay_data.portfolio.streams import Floats

NOISE_PERIOD: Final = 2_048  # rows after which a trip's noise repeats: 17 minutes
SPEED_NOISE_DKMH: Final = 2.5
LATERAL_NOISE_CMPS2: Final = 8.0
GAP_SHARE: Final = 0.04  # of trips lose some seconds of readings
GAP_ROWS: Final = (12, 40)

_HALF_WINDOW: Final = 2  # rows on either side of the central difference: 2 s in all
_PER_S: Final = 1000 / PERIOD_MS
_SLOPE: Final = np.float32(36 * 2 * _HALF_WINDOW / _PER_S)  # 0.1 km/h in the window that make 1 m/s2


def _noise(sd: float) -> npt.NDArray[np.float32]:
    """Table of 256 equally likely values of a normal distribution: a random byte is its index."""
    sample = np.sort(np.random.Generator(np.random.Philox(0)).standard_normal(256 * 256))
    table: npt.NDArray[np.float32] = (sd * sample.reshape(256, 256).mean(axis=1)).astype(np.float32)
    return table


_SPEED_NOISE: Final = _noise(SPEED_NOISE_DKMH)
_LATERAL_NOISE: Final = _noise(LATERAL_NOISE_CMPS2)


def motion_rows(
    trip_key: npt.NDArray[np.uint64],
    knots: Manoeuvres,
    words: npt.NDArray[np.uint16],
    gap: Floats,
    has_lateral: npt.NDArray[np.bool_],
) -> pl.DataFrame:
    """Sample trips on the motion grid.

    Parameters
    ----------
    trip_key : ndarray, shape (n_trips,)
        Rising: rows come out in the order of the trips.
    knots : Manoeuvres
        With the driver axis flattened away: arrays of shape (n_trips, K).
    words : ndarray, shape (n_trips, NOISE_PERIOD)
        Random 16-bit words.
    gap : ndarray, shape (n_trips, 3)
        Uniforms: whether, where and how long readings are lost.
    has_lateral : ndarray, shape (n_trips,)
    """
    rows = np.ceil(knots.t_s[:, -1] * _PER_S).astype(np.int64) + 1
    ends = np.cumsum(rows)
    starts = ends - rows
    total = int(ends[-1])
    # All trips on one time axis, each from the grid point of its first row on: one interpolation for the chunk, of
    # both signals at once as real and imaginary part.
    at = (knots.t_s + (starts / _PER_S)[:, None]).ravel()
    signal = np.interp(np.arange(total) / _PER_S, at, (36.0 * knots.speed_mps + 100j * knots.lateral_mps2).ravel())
    row_of_trip = np.arange(total) - np.repeat(starts, rows)
    noise = words.ravel()[np.repeat(np.arange(len(rows)) * words.shape[1], rows) + row_of_trip % NOISE_PERIOD]
    true_dkmh = signal.real
    speed = np.where(true_dkmh > 0, np.rint(np.maximum(true_dkmh + _SPEED_NOISE[noise & 0xFF], 0)), 0).astype(np.int16)
    lateral = np.rint(signal.imag + _LATERAL_NOISE[noise >> 8]).astype(np.int16)

    accel = np.zeros(total, dtype=np.int16)
    rise_dkmh = (speed[2 * _HALF_WINDOW :] - speed[: -2 * _HALF_WINDOW]).astype(np.float32)
    accel[_HALF_WINDOW:-_HALF_WINDOW] = np.floor((100 * rise_dkmh + _SLOPE / 2) / _SLOPE)  # nearest, halves up

    lost = _ranges(*_gaps(gap, rows, starts), total)
    # No slope where one end of the window is not known: next to lost rows and at both ends of a trip.
    coarse = np.roll(lost, _HALF_WINDOW) | np.roll(lost, -_HALF_WINDOW)
    for offset in range(_HALF_WINDOW):
        coarse[starts + offset] = True
        coarse[ends - 1 - offset] = True
    coarse &= ~lost
    limit = _limits(knots, starts, ends)
    return pl.DataFrame(
        {
            "trip_key": np.repeat(trip_key, rows),
            "t_ms": (row_of_trip * PERIOD_MS).astype(np.int32),
            "speed_dkmh": speed,
            "accel_lon_cmps2": accel,
            "accel_lat_cmps2": lateral,
            "limit_kmh": limit,
            "quality": coarse * np.uint8(QUALITY_COARSE),
            "seen": ~lost,
            "sloped": ~(coarse | lost),
            "lateral": np.repeat(has_lateral, rows),
        }
    ).select(
        "trip_key",
        "t_ms",
        pl.when("seen").then("speed_dkmh").alias("speed_dkmh"),
        pl.when("sloped").then("accel_lon_cmps2").alias("accel_lon_cmps2"),
        pl.when("lateral").then("accel_lat_cmps2").alias("accel_lat_cmps2"),
        pl.lit(None, pl.Int16).alias("yaw_rate_ddps"),
        pl.lit(None, pl.Int16).alias("accel_peak_cmps2"),
        pl.lit(ENGINE_ON, pl.Int8).alias("engine"),
        pl.when(pl.col("limit_kmh") > 0).then("limit_kmh").alias("limit_kmh"),
        "quality",
    )


def _gaps(gap: Floats, rows: Ints, starts: Ints) -> tuple[Ints, Ints]:
    """First rows and lengths of the gaps: a few trips lose some seconds in the middle."""
    hit = np.flatnonzero(gap[:, 0] < GAP_SHARE)
    length = (GAP_ROWS[0] + gap[hit, 1] * (GAP_ROWS[1] - GAP_ROWS[0])).astype(np.int64)
    room = rows[hit] - length - 4 * _HALF_WINDOW
    place = 2 * _HALF_WINDOW + (gap[hit, 2] * np.maximum(room, 0)).astype(np.int64)
    fits = room > 0
    return (starts[hit] + place)[fits], length[fits]


def _ranges(first: Ints, length: Ints, total: int) -> npt.NDArray[np.bool_]:
    """Mark rows [first, first + length) of each range."""
    step = np.zeros(total + 1, dtype=np.int8)
    step[first] = 1
    step[first + length] = -1
    return np.cumsum(step[:-1], dtype=np.int8).astype(np.bool_)


def _limits(knots: Manoeuvres, starts: Ints, ends: Ints) -> npt.NDArray[np.int16]:
    """Speed limit of every row, 0 where not known."""
    begins = starts[:, None] + np.ceil(knots.t_s[:, :-1:KNOTS] * _PER_S).astype(np.int64)
    edges = np.append(begins.ravel(), ends[-1])
    return np.repeat(knots.limit_kmh.ravel(), np.diff(edges))
