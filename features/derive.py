"""Motion to trip summaries and events, by columns: the batch twin of the device's streaming core.

    motion of whole trips -> slices -> sums and histograms of each trip
                                    -> swings over a threshold -> events, excursions

All is integer arithmetic, so the result does not depend on how motion was cut into files, slices or threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from device.contract.errors import ContractError
from device.contract.rules import Rules, load_rules
from device.contract.trip import HISTOGRAM_FIELDS, LEVELS, SCALAR_FIELDS
from features.contract.histograms import Bins, as_lists, tally
from features.events import EXCURSION_KEYS, events, excursions
from features.runs import Found, Table, find, joined, sides
from features.slices import NULL, Integers, Slice
from features.summaries import Summed, summarise
from ingest.contract.publish import conform
from ingest.contract.tables import EVENTS, MOTION, TRIPS

SLICE_ROWS: Final = 131_072  # rows worked on at once: they and what is made of them stay in a core's cache
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
    samples = motion.lazy().select(pl.col(name).cast(MOTION[name]) for name in READS).collect()
    trips = _trips(samples, heads)
    parts = [_derive(*part) for part in _by_version(samples, trips)]
    summaries = pl.concat([SUMMARIES.to_frame(), *(part.summaries for part in parts)])
    events = pl.concat([EVENTS.to_frame(), *(part.events for part in parts)])
    return Derived(summaries.sort("trip_key"), events.sort("trip_key", "onset_ms", "kind"))


def _derive(rules: Rules, motion: pl.DataFrame, trips: pl.DataFrame) -> Derived:
    """Derive whole trips of one rules version; `trips` in the order of their rows."""
    period_ms = trips["period_ms"].to_numpy().astype(np.int64)
    local = trips["start_ms"] + trips["utc_offset_min"].cast(pl.Int64) * 60_000
    placed, local_ms = local.is_not_null().to_numpy(), local.fill_null(0).to_numpy()
    summed: list[tuple[int, Summed]] = []
    found: list[tuple[int, Found]] = []
    wanted = sides(rules)
    for first, last, rows in _slices(motion, trips):
        piece = Slice(rows, trips["rows"][first:last].to_numpy(), period_ms[first:last])
        found.append((first, find(piece, wanted, rules.default_limit_dkmh)))
        summed.append((first, summarise(piece, local_ms[first:last], placed[first:last])))
    runs = joined(found)
    happened = events(runs, rules, period_ms)
    histograms = {name: _joined([(first, part.histograms[name]) for first, part in summed]) for name in _OF_MOTION}
    histograms["excursions"] = _counts(excursions(runs, rules, period_ms), EXCURSION_KEYS)
    histograms["event_counts"] = _counts(_event_keys(happened), _EVENT_KEYS)
    lists = {name: as_lists(pl.DataFrame(bins._asdict()), trips.height) for name, bins in histograms.items()}
    sums = {name: np.concatenate([part.sums[name] for _, part in summed]) for name in SCALAR_FIELDS}
    columns = {"trip_key": trips["trip_key"]} | sums | lists
    return Derived(pl.DataFrame(columns, SUMMARIES), _event_rows(happened, trips))


_OF_MOTION: Final = ("distance_by_speed_mm", "distance_by_hour_mm", "va_ms")
_EVENT_KEYS: Final = 2**10


def _event_keys(events: Table) -> Table:
    return events and {"trip": events["trip"], "key": events["kind"] * LEVELS + events["level"]}


def _counts(rows: Table, keys: int) -> Bins:
    """How many rows each trip has of each key."""
    if not rows:
        return Bins(*(np.empty(0, np.int64) for _ in range(3)))
    order = np.argsort(rows["trip"], kind="stable")
    return tally(rows["trip"][order], rows["key"][order], 1, keys)


def _joined(parts: list[tuple[int, Bins]]) -> Bins:
    """Bins of several slices, each with the number of its first trip."""
    bins = [part._replace(group=part.group + first) for first, part in parts]
    return Bins(*(np.concatenate(columns) for columns in zip(*bins, strict=True)))


def _event_rows(events: Table, trips: pl.DataFrame) -> pl.DataFrame:
    """Events with what is known of their trip."""
    heads = trips.select("trip_key", "trip_id", "device_id", "rules_version", "sensor_grade").with_row_index("trip")
    rows = pl.DataFrame(events, {"trip": pl.UInt32} if not events else None)
    unknown = [pl.col(name).replace(NULL, None) for name in ("onset_speed_dkmh", "delta_v_dkmh") if events]
    rows = rows.with_columns(pl.col("trip").cast(pl.UInt32), *unknown)
    return conform("events", rows.join(heads, on="trip", how="left").drop("trip"))


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


def _by_version(samples: pl.DataFrame, trips: pl.DataFrame) -> Iterator[tuple[Rules, pl.DataFrame, pl.DataFrame]]:
    """Split by rules version; nearly always there is one."""
    for version in sorted(trips["rules_version"].unique()):
        mine = trips["rules_version"] == version
        if mine.all():
            yield load_rules(version), samples, trips
        else:
            of_row = np.repeat(mine.to_numpy(), trips["rows"].to_numpy())
            yield load_rules(version), samples.filter(of_row), trips.filter(mine)


def _slices(samples: pl.DataFrame, trips: pl.DataFrame) -> Iterator[tuple[int, int, pl.DataFrame]]:
    """Cut at trip borders into parts of about SLICE_ROWS rows: first trip, the one after the last, rows."""
    ends = trips["rows"].cum_sum().to_numpy()
    parts = -(-samples.height // SLICE_ROWS)
    wanted = np.arange(1, parts + 1) * samples.height // max(parts, 1)
    cuts = np.unique(np.searchsorted(ends, wanted) + 1)  # trips up to each cut; a long trip may swallow some
    for first, last in pairwise((0, *map(int, cuts))):
        row = int(ends[first - 1]) if first else 0
        yield first, last, samples.slice(row, int(ends[last - 1]) - row)
