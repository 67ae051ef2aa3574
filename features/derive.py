"""Motion to trip summaries and events, by columns: the batch twin of the device's streaming core.

    motion of whole trips -> slices -> candidates -> events, excursions
                                    -> segments   -> sums and histograms

All is integer arithmetic, so the result does not depend on how motion was cut into files, slices or threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from device.contract.errors import ContractError
from device.contract.rules import load_rules
from device.contract.trip import HISTOGRAM_FIELDS, LEVELS, SCALAR_FIELDS
from features.contract.histograms import as_lists
from features.events import find
from features.summaries import summarise
from ingest.contract.publish import conform
from ingest.contract.tables import EVENTS, MOTION, TRIPS

SLICE_ROWS: Final = 2_000_000  # rows worked on at once: some 200 MB
READS: Final = tuple(name for name in MOTION if name != "yaw_rate_ddps")
HEADS: Final = pl.Schema(
    {
        name: TRIPS[name]
        for name in (
            "trip_key",
            "trip_id",
            "device_id",
            "start_ms",
            "utc_offset_min",
            "period_ms",
            "rules_version",
            "sensor_grade",
        )
    }
)
SUMMARIES: Final = pl.Schema({name: TRIPS[name] for name in ("trip_key", *SCALAR_FIELDS, *HISTOGRAM_FIELDS)})


class Derived(NamedTuple):
    """Summaries (schema SUMMARIES, sorted by trip_key) and events (tables.EVENTS, by trip_key, onset_ms, kind).

    Of an event, `tables.DETECTED` follows from motion; the grade is the trip's, and the cell is null.
    """

    summaries: pl.DataFrame
    events: pl.DataFrame


def derive(motion: pl.LazyFrame | pl.DataFrame, heads: pl.DataFrame) -> Derived:
    """Derive summaries and events from motion.

    Parameters
    ----------
    motion : pl.LazyFrame or pl.DataFrame
        Columns of `tables.MOTION` (at least READS): the rows of a trip together, in time order.
    heads : pl.DataFrame
        Columns of HEADS, one row a trip, in any order; trips without motion are ignored.

    Raises
    ------
    ContractError
        If a trip's rows are not together, or a trip of the motion has no head.
    """
    samples = motion.lazy().select(READS).collect()
    trips = _trips(samples, heads)
    parts = [
        _derive(part, of, int(period_ms), int(version))
        for (period_ms, version), rows, kind in _by_definition(samples, trips)
        for part, of in _slices(rows, kind)
    ]
    summaries = pl.concat([SUMMARIES.to_frame(), *(part.summaries for part in parts)])
    events = pl.concat([EVENTS.to_frame(), *(part.events for part in parts)])
    return Derived(summaries.sort("trip_key"), events.sort("trip_key", "onset_ms", "kind"))


def _derive(motion: pl.DataFrame, trips: pl.DataFrame, period_ms: int, rules_version: int) -> Derived:
    """Derive whole trips of one grid period and rules version; `trips` in the order of their rows."""
    rules = load_rules(rules_version)
    motion = motion.with_columns(pl.col("trip_key").rle_id().alias("trip")).drop("trip_key")
    found = find(motion, rules, period_ms)
    event_key = (pl.col("kind").cast(pl.Int32) * LEVELS + pl.col("level")).alias("key")
    summaries = summarise(motion, trips, period_ms).with_columns(
        excursions=_counts(found.excursions, trips.height),
        event_counts=_counts(found.events.select("trip", event_key), trips.height),
    )
    heads = trips.select("trip_key", "trip_id", "device_id", "rules_version", "sensor_grade").with_row_index("trip")
    return Derived(
        summaries.select(SUMMARIES.names()),
        conform("events", found.events.join(heads, on="trip", how="left").drop("trip")),
    )


def _counts(rows: pl.DataFrame, trips: int) -> pl.Series:
    """How many rows each trip has of each key."""
    counted = rows.group_by("trip", "key").agg(pl.len().cast(pl.Int64).alias("value")).sort("trip", "key")
    return as_lists(counted.rename({"trip": "group"}), trips)


def _trips(samples: pl.DataFrame, heads: pl.DataFrame) -> pl.DataFrame:
    """Heads of the trips that have motion, in the order of their rows, with `rows` Int64."""
    runs = samples.select(pl.col("trip_key").rle()).unnest("trip_key").rename({"value": "trip_key", "len": "rows"})
    if runs["trip_key"].n_unique() < runs.height:
        raise ContractError("the rows of a trip do not stand together; sort motion by trip_key and t_ms")
    trips = runs.join(heads.select(HEADS.names()), on="trip_key", how="left", maintain_order="left")
    if trips["trip_id"].null_count():
        lost = trips.filter(pl.col("trip_id").is_null())
        raise ContractError(
            f"motion of {lost.height} trips, the first with trip_key {lost['trip_key'][0]}, has no trip row"
        )
    return trips.with_columns(pl.col("rows").cast(pl.Int64))


def _by_definition(
    samples: pl.DataFrame, trips: pl.DataFrame
) -> Iterator[tuple[tuple[int, int], pl.DataFrame, pl.DataFrame]]:
    """Split by grid period and rules version; nearly always there is one of each."""
    keys = ["period_ms", "rules_version"]
    for definition in sorted(trips.select(keys).unique().rows()):
        mine = (trips["period_ms"] == definition[0]) & (trips["rules_version"] == definition[1])
        if mine.all():
            yield definition, samples, trips
        else:
            yield definition, samples.filter(np.repeat(mine.to_numpy(), trips["rows"].to_numpy())), trips.filter(mine)


def _slices(samples: pl.DataFrame, trips: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Cut at trip borders into as few parts of about SLICE_ROWS rows as it takes, of about the same size."""
    ends = trips["rows"].cum_sum().to_numpy()
    parts = -(-samples.height // SLICE_ROWS)
    wanted = np.arange(1, parts + 1) * samples.height // max(parts, 1)
    cuts = np.unique(np.searchsorted(ends, wanted) + 1)  # trips up to each cut; a long trip may swallow some
    for first, last in pairwise((0, *cuts)):
        row = int(ends[first - 1]) if first else 0
        yield samples.slice(row, int(ends[last - 1]) - row), trips.slice(first, last - first)
