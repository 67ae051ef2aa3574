"""Distance weighted by how usual an event is there, so that a rate compares drivers in the same traffic.

An amber light in town costs a firm braking that a motorway never asks for. Indirect standardisation compares events
observed with events expected of everybody at the same speeds and on the same kind of trip:

    expected = sum over speed bands of distance x usual rate;  observed / expected x usual rate of all
             = observed / context distance,  context distance = sum of distance x weight

A weight is the usual rate of (kind of trip, speed band) over the usual rate of all driving, in 1/1000. The table of
weights, `context.toml`, comes from open recordings of other people's drives, never from the book that is priced
(`python -m tests.bench.context --write`). The context distance holds no event: one more event always raises the rate.

Judgements, numbered:

1. A trip's kind is told by its distance by speed alone: city if more than half of it is slower than 50 km/h, motorway
   if at least half is at 100 km/h and more, else rural. Maps are not in the car.
2. Harsh and moderate events of a kind share the weights: by speed they differ in number more than in shape, and harsh
   ones are too few in the recordings for a table of their own.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.errors import ContractError
from device.contract.trip import SPEED_BANDS
from features.contract.histograms import sum_lists

CONTEXTS: Final = ("braking", "acceleration", "turn")
TRIP_KINDS: Final = ("city", "rural", "motorway")
CITY_BANDS: Final = 5  # below 50 km/h
MOTORWAY_BAND: Final = 10  # from 100 km/h
MILLI: Final = 1_000
Integers = npt.NDArray[np.int64]


def context_mm(trips: pl.DataFrame) -> list[pl.Series]:
    """Context distance of each trip, for each of CONTEXTS: series `<name>_context_mm`.

    Parameters
    ----------
    trips : pl.DataFrame
        distance_by_speed_mm, samples, accel_null_samples, lateral_samples; an event is only expected where it could be
        seen, as by the distances accel_mm and lateral_mm.
    """
    by_speed = _dense(trips["distance_by_speed_mm"])
    kind = trip_kind(by_speed)
    expected = [_weighted(by_speed, weights[kind]) for weights in load_weights()]
    samples, unknown, turning = (
        trips[name].fill_null(0).cast(pl.Int64).to_numpy()
        for name in ("samples", "accel_null_samples", "lateral_samples")
    )
    along = np.maximum(samples - unknown, 0)
    return [
        pl.Series(f"{name}_context_mm", _part(values, turning if name == "turn" else along, samples))
        for name, values in zip(CONTEXTS, expected, strict=True)
    ]


def trip_kind(by_speed_mm: Integers) -> Integers:
    """Index in TRIP_KINDS of each trip.

    Parameters
    ----------
    by_speed_mm : numpy.ndarray, shape (n_trips, SPEED_BANDS)
    """
    total = by_speed_mm.sum(axis=1)
    city = 2 * by_speed_mm[:, :CITY_BANDS].sum(axis=1) > total
    motorway = 2 * by_speed_mm[:, MOTORWAY_BAND:].sum(axis=1) >= total
    return np.where(city, 0, np.where(motorway, 2, 1))


@cache
def load_weights() -> tuple[Integers, ...]:
    """Weights of each of CONTEXTS, in 1/1000: shape (len(TRIP_KINDS), SPEED_BANDS).

    Raises
    ------
    ContractError
        If the table that ships with this release is not one.
    """
    text = (resources.files("features") / "context.toml").read_text(encoding="utf-8")
    return parse_weights(tomllib.loads(text))


def parse_weights(table: dict[str, Any]) -> tuple[Integers, ...]:
    """Turn a table of weights into arrays, checking that it is one."""
    weights = []
    for name in CONTEXTS:
        rows = [table.get(name, {}).get(kind, []) for kind in TRIP_KINDS]
        if any(len(row) != SPEED_BANDS or not all(isinstance(w, int) and w > 0 for w in row) for row in rows):
            raise ContractError(
                f"features/context.toml: {name} needs {SPEED_BANDS} positive integers for each of "
                f"{', '.join(TRIP_KINDS)}; make it with 'python -m tests.bench.context --write'"
            )
        weights.append(np.array(rows, np.int64))
    return tuple(weights)


def _weighted(by_speed_mm: Integers, weights: Integers) -> Integers:
    """Sum over bands of distance x weight, over 1000 and rounded down; thousands apart, so that nothing overflows."""
    thousands, rest = np.divmod(by_speed_mm, MILLI)
    total: Integers = (thousands * weights).sum(axis=1) + (rest * weights).sum(axis=1) // MILLI
    return total


def _part(values: Integers, seen: Integers, samples: Integers) -> Integers:
    """Value x seen / samples, rounded down; samples apart, so that nothing overflows."""
    of = np.maximum(samples, 1)
    each, rest = np.divmod(values, of)
    part: Integers = each * seen + rest * seen // of
    return part


def _dense(lists: pl.Series) -> Integers:
    rows = pl.int_range(len(lists), dtype=pl.Int64, eager=True)
    ones = pl.repeat(1, len(lists), dtype=pl.Int64, eager=True)
    bins = sum_lists(rows, lists, ones, SPEED_BANDS)
    dense = np.zeros((len(lists), SPEED_BANDS), np.int64)
    dense[bins["group"].to_numpy(), bins["key"].to_numpy()] = bins["value"].to_numpy()
    return dense
