"""Recorded against driven distance: what the car's own counters say of a window of driver periods.

A counter of the car only rises, so between its first and its last reading the car drove `driven_m`, whatever the box
saw of it. Part of that rise lies within recorded trips; the rest lies between them: the box was unplugged, asleep, or
its messages were lost. Distance recorded is from speed, on a scale of its own that the counter corrects:

    scale     = distance recorded / rise of the counter, in trips without a gap
    recorded  = rise in trips without a gap + distance recorded in all others / scale
    unplugged = driven - risen within trips - trips whose own readings are missing, never below 0

The device asks for counters once a minute, so the last reading of a trip is half a minute old on average, and the car
has moved since: `lag_m` a trip, which is added to its rise and taken from what was driven between trips.

The odometer is used where it is told, else the distance since trouble codes were cleared.

Judgements, numbered:

1. A chain of readings is that of one box in one car. A month in which box or VIN changed is left out; so is what lies
   between two chains: the statement is about the rest, and never invents a loss.
2. A counter that falls (codes cleared, instrument replaced) ends its chain; the fall is counted. Where the car drove
   further unseen than the counter stood at, a fall between trips cannot be told, and too little is called unplugged.
3. The interval holds the counter's step at both ends of each chain and of each trip, the age of readings, the error of
   the scale where it is used (as it was learnt, and `SCALE_SD` for what differs from trip to trip), and trips without
   readings once outside and once inside the chain. It is meant to hold 95 times in 100; tests/bench/exposure.py tells
   how often it does.
4. How far cars move while their last reading ages is the mean of 51 recorded drives, 125 m in 30 s; by source it was 10
   to 190 m. It follows the device's period of asking.
5. Where no trip without a gap teaches the scale it is 1 give or take `UNKNOWN_SCALE_SD`: five recorded cars with a
   second source of distance had 0.94 to 1.07.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from device.contract.signals import BY_NAME
from features.contract.periods import COUNTERS

SIDE_SD: Final = 1.96
LAST_M_PER_S: Final = 125 / 30  # speed over the last half minute of a trip
LAG_SD: Final = 0.8  # of its mean, between cars
SCALE_SD: Final = 0.01
UNKNOWN_SCALE_SD: Final = 0.05

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_SIGNALS: Final = {"odometer": "odometer_km", "since_clear": "distance_since_clear_km"}
# Integers of a window that this makes; 0 where nothing is known.
RECONCILED: Final = (
    "driven_m",
    "recorded_m",
    "recorded_least_m",
    "recorded_most_m",
    "unplugged_m",
    "odometer_falls_seen",
    "codes_cleared_seen",
    "vin_changes",
    "device_changes",
    "stream_changes",
)


def reconcile(windows: int, own: pl.DataFrame) -> dict[str, Integers]:
    """Reconcile each window.

    Parameters
    ----------
    windows : int
        Their number.
    own : pl.DataFrame
        `window`, from 0, and the columns of DRIVER_PERIODS of its months, in any order.

    Returns
    -------
    dict of str to numpy.ndarray, shape (windows,)
        `RECONCILED`; distances in m on the scale of the counter used.
    """
    rows = own.select(
        "window",
        "policy_id",
        "first_start_ms",
        "distance_mm",
        "trips",
        "gap_trips",
        *_columns(own, ("device", "vin", "stream", *COUNTERS)),
        one=_one("device") & _one("vin").fill_null(value=True),
    ).sort("window", "device_least", "first_start_ms", nulls_last=True)
    odometer, since_clear = (_counter(windows, rows, name) for name in COUNTERS)
    told = odometer["driven_m"] > 0
    found = {name: np.where(told, odometer[name], since_clear[name]) for name in RECONCILED if name in odometer}
    return found | {
        "odometer_falls_seen": odometer["falls"],
        "codes_cleared_seen": since_clear["falls"],
        "vin_changes": _changes(windows, rows, "vin", "device_least"),
        "device_changes": _changes(windows, rows.sort("window", "policy_id", "first_start_ms"), "device", "policy_id"),
        "stream_changes": _changes(windows, rows, "stream", "device_least"),
    }


def _counter(windows: int, rows: pl.DataFrame, name: str) -> dict[str, Integers]:
    """What one counter says of each window."""
    first, last = pl.col(f"{name}_first_m"), pl.col(f"{name}_last_m")
    chained = (
        (pl.col("window") == pl.col("window").shift())
        & (pl.col("device_least") == pl.col("device_least").shift())
        & pl.coalesce(pl.col("vin_least") == pl.col("vin_least").shift(), pl.lit(value=True))
    ).fill_null(value=False)
    between = pl.when(chained).then(first - last.shift())
    span, risen = last - first, pl.col(f"{name}_inside_m")
    sound = (span >= risen) & (pl.col(f"{name}_falls") == 0)
    kept = pl.when(sound)
    links = rows.filter(pl.col("one") & first.is_not_null()).select(
        "window",
        driven=kept.then(span).otherwise(0) + pl.when(between > 0).then(between).otherwise(0),
        unseen=kept.then(span - risen).otherwise(0) + pl.when(between > 0).then(between).otherwise(0),
        recorded=kept.then(f"{name}_recorded_mm").otherwise(0),
        unread=kept.then(pl.col("distance_mm") - pl.col(f"{name}_recorded_mm")).otherwise(0),
        whole=kept.then(f"{name}_whole_m").otherwise(0),
        whole_mm=kept.then(f"{name}_whole_mm").otherwise(0),
        trips=kept.then(f"{name}_trips").otherwise(0),
        all_trips=kept.then("trips").otherwise(0),
        gap_trips=kept.then("gap_trips").otherwise(0),
        chains=sound & (between.is_null() | (between < 0)),
        falls=pl.max_horizontal(pl.col(f"{name}_falls"), (~sound).cast(pl.Int64))
        + (between < 0).fill_null(value=False),
    )
    sums = links.group_by("window").agg(pl.all().sum())
    total = {column: _spread(windows, sums, column) for column in links.columns[1:]}
    age_s = (BY_NAME[_SIGNALS[name]].period_ms or 0) / 2_000
    return _state(total, COUNTERS[name], LAST_M_PER_S * age_s) | {"falls": total["falls"]}


def _state(total: dict[str, Integers], step_m: int, lag_m: float) -> dict[str, Integers]:
    """Recorded of driven distance, with its interval; see the judgements."""
    trips = total["trips"].astype(np.float64)
    whole_trips = trips * (1 - np.minimum(total["gap_trips"] / np.maximum(total["all_trips"], 1), 1))
    chains = np.maximum(total["chains"], 1)
    driven = total["driven"] + lag_m * chains * (total["driven"] > 0)
    whole = total["whole"] + lag_m * whole_trips
    unseen = np.maximum(total["unseen"] - lag_m * np.maximum(trips - chains, 0), 0)
    known = (total["whole_mm"] > 0) & (total["whole"] > 0)
    scale = np.where(known, total["whole_mm"] / 1e3 / np.maximum(whole, 1), 1.0)
    rest = (total["recorded"] - total["whole_mm"]) / 1e3 / scale
    unread = np.minimum(total["unread"] / 1e3 / scale, unseen)
    lag_sd = lag_m * np.hypot(LAG_SD * trips, np.sqrt(trips))
    reading_sd = np.hypot(step_m * np.sqrt(trips / 6), lag_sd)
    scale_sd = np.where(known, np.hypot(reading_sd / np.maximum(whole, 1), SCALE_SD), UNKNOWN_SCALE_SD)
    sd = np.hypot(reading_sd, rest * scale_sd)
    ends = step_m * chains
    recorded = np.minimum(whole + rest + unread, driven)
    least = np.clip((whole + rest - SIDE_SD * sd) * driven / (driven + ends), 0, recorded)
    most = (whole + rest + unread * (1 + SIDE_SD * scale_sd) + SIDE_SD * sd) * driven / np.maximum(driven - ends, 1)
    values = {
        "driven_m": driven,
        "recorded_m": recorded,
        "recorded_least_m": least,
        "recorded_most_m": np.clip(most, recorded, driven),
        "unplugged_m": np.maximum(unseen - unread, 0),
    }
    return {name: np.rint(value).astype(np.int64) for name, value in values.items()}


def _changes(windows: int, rows: pl.DataFrame, name: str, within: str) -> Integers:
    """How often a name changed at least, in each window: within months, and from one month to the next."""
    least, greatest = pl.col(f"{name}_least"), pl.col(f"{name}_greatest")
    known = rows.filter(least.is_not_null())
    same = (pl.col("window") == pl.col("window").shift()) & pl.col(within).eq_missing(pl.col(within).shift())
    other = (least != least.shift()) & (least != greatest.shift()) & (greatest != least.shift())
    changes = known.select("window", changes=(least != greatest).cast(pl.Int64) + (same & other).fill_null(value=False))
    return _spread(windows, changes.group_by("window").agg(pl.col("changes").sum()), "changes")


def _one(name: str) -> pl.Expr:
    return pl.col(f"{name}_least") == pl.col(f"{name}_greatest")


def _columns(own: pl.DataFrame, names: tuple[str, ...]) -> list[str]:
    return [column for column in own.columns if column.startswith(tuple(f"{name}_" for name in names))]


def _spread(windows: int, sums: pl.DataFrame, column: str) -> Integers:
    """A column by window as an array of all windows, 0 where there is none."""
    values = np.zeros(windows, np.int64)
    values[sums["window"].to_numpy()] = sums[column].cast(pl.Int64).to_numpy()
    return values
