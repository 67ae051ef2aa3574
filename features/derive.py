"""Motion to trip summaries and events, by columns: the batch twin of the device's streaming core.

    motion of whole trips -> slices -> sums and histograms of each trip
                                    -> runs over a threshold -> events, excursions

All is integer arithmetic, so the result does not depend on how motion was cut into files, slices or threads.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import polars as pl

from device.contract.errors import ContractError
from device.contract.rules import Rules, load_rules
from device.contract.trip import HISTOGRAM_FIELDS, LEVELS, SCALAR_FIELDS
from features.contract.histograms import Bins, as_lists, tally
from features.events import EXCURSION_KEYS, events, excursions
from features.runs import Found, Table, find, joined, searches
from features.slices import NULL, READS, Integers, Slice, slices
from features.summaries import Summed, summarise
from ingest.contract.publish import conform
from ingest.contract.tables import EVENTS, TRIPS

__all__ = ["HEADS", "READS", "SUMMARIES", "Derived", "derive"]
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


def derive(motion: pl.LazyFrame | pl.DataFrame, heads: pl.DataFrame, rules: Rules | None = None) -> Derived:
    """Derive summaries and events from motion.

    Parameters
    ----------
    motion : pl.LazyFrame or pl.DataFrame
        Columns of `tables.MOTION` (at least READS): the rows of a trip together, in time order.
    heads : pl.DataFrame
        Columns of HEADS, one row a trip, in any order; trips without motion are ignored.
    rules : Rules, optional
        Rules to use instead of those of each trip's rules_version.

    Raises
    ------
    ContractError
        If a trip's rows are not together, or a trip of the motion has no head.
    """
    heads = heads.select(HEADS.names()).sort("trip_key")
    if rules is not None:
        heads = heads.with_columns(pl.lit(rules.version, HEADS["rules_version"]).alias("rules_version"))
    version_of = heads["rules_version"].to_numpy()
    works: dict[int, _Work] = {}
    keys: list[Integers] = [np.empty(0, np.uint64)]
    for trip_key, rows, motion_ in slices(motion.lazy()):
        keys.append(trip_key)
        place = _places(trip_key, heads)
        versions = version_of[place]
        for version in map(int, np.unique(versions)):
            mine = versions == version
            work = works.setdefault(version, _Work(heads, rules or load_rules(version)))
            samples = motion_ if mine.all() else motion_.filter(np.repeat(mine, rows))
            work.take(samples, rows[mine], place[mine])
    every = np.concatenate(keys)
    if np.unique(every).size < every.size:
        raise ContractError("the rows of a trip do not stand together; sort motion by trip_key and t_ms")
    parts = [Derived(SUMMARIES.to_frame(), EVENTS.to_frame()), *(work.derived() for work in works.values())]
    return Derived(
        _by_trip(pl.concat([part.summaries for part in parts])),
        pl.concat([part.events for part in parts]).sort("trip_key", "onset_ms", "kind"),
    )


def _by_trip(summaries: pl.DataFrame) -> pl.DataFrame:
    """Sorted; sealed motion is already, and lists are slow to move."""
    return summaries if summaries["trip_key"].is_sorted() else summaries.sort("trip_key")


def _places(trip_key: Integers, heads: pl.DataFrame) -> Integers:
    """Row of each trip's head."""
    known = heads["trip_key"].to_numpy()
    place = np.searchsorted(known, trip_key)
    lost = np.append(known, np.uint64(0))[place] != trip_key if known.size else np.ones(trip_key.size, np.bool_)
    if lost.any():
        first = trip_key[lost][0]
        raise ContractError(f"motion of {lost.sum()} trips, the first with trip_key {first}, has no trip row")
    return place


class _Work:
    """Trips of one rules version: what their slices came to."""

    def __init__(self, heads: pl.DataFrame, rules: Rules) -> None:
        self._heads = heads
        self._rules = rules
        self._searches = searches(self._rules)
        local = heads["start_ms"] + heads["utc_offset_min"].cast(pl.Int64) * 60_000
        self._placed, self._local_ms = local.is_not_null().to_numpy(), local.fill_null(0).to_numpy()
        self._period_ms = heads["period_ms"].cast(pl.Int64).to_numpy()
        self._places: list[Integers] = []
        self._trips = 0
        self._found: list[tuple[int, Found]] = []
        self._summed: list[tuple[int, Summed]] = []

    def take(self, motion: pl.DataFrame, rows: Integers, place: Integers) -> None:
        """Take whole trips: their motion, how many rows each has, and the row of its head."""
        part = Slice(motion, rows, self._period_ms[place])
        self._found.append((self._trips, find(part, self._searches, self._rules.default_limit_dkmh)))
        self._summed.append((self._trips, summarise(part, self._local_ms[place], self._placed[place])))
        self._places.append(place)
        self._trips += place.size

    def derived(self) -> Derived:
        """All that was taken, in the order in which it was."""
        place = np.concatenate(self._places)
        period_ms, heads = self._period_ms[place], self._heads[place]
        runs = joined(self._found)
        happened = events(runs, self._rules, period_ms)
        bins = {name: _joined([(first, part.histograms[name]) for first, part in self._summed]) for name in _OF_MOTION}
        bins["excursions"] = _counts(excursions(runs, self._rules, period_ms), EXCURSION_KEYS, place.size)
        bins["event_counts"] = _counts(_event_keys(happened), _EVENT_KEYS, place.size)
        lists = {name: as_lists(pl.DataFrame(of._asdict()), place.size) for name, of in bins.items()}
        sums = {name: np.concatenate([part.sums[name] for _, part in self._summed]) for name in SCALAR_FIELDS}
        summaries = pl.DataFrame({"trip_key": heads["trip_key"]} | sums | lists, SUMMARIES)
        return Derived(summaries, _event_rows(happened, heads))


_OF_MOTION: Final = ("distance_by_speed_mm", "distance_by_hour_mm", "va_ms")
_EVENT_KEYS: Final = 2**10


def _event_keys(events: Table) -> Table:
    return events and {"trip": events["trip"], "key": events["kind"] * LEVELS + events["level"]}


def _counts(rows: Table, keys: int, trips: int) -> Bins:
    """How many rows each trip has of each key."""
    if not rows:
        return Bins(*(np.empty(0, np.int64) for _ in range(3)))
    order = np.argsort(rows["trip"], kind="stable")
    return tally(np.bincount(rows["trip"], minlength=trips), rows["key"][order], 1, keys)


def _joined(parts: list[tuple[int, Bins]]) -> Bins:
    """Bins of several slices, each with the number of its first trip."""
    bins = [part._replace(group=part.group + first) for first, part in parts]
    return Bins(*(np.concatenate(columns) for columns in zip(*bins, strict=True)))


def _event_rows(events: Table, heads: pl.DataFrame) -> pl.DataFrame:
    """Events with what is known of their trip."""
    if not events:
        return EVENTS.to_frame()
    trip = heads.select("trip_key", "trip_id", "device_id", "rules_version", "sensor_grade")[events["trip"]]
    unknown = [pl.col(name).replace(NULL, None) for name in ("onset_speed_dkmh", "delta_v_dkmh")]
    found = pl.DataFrame({name: column for name, column in events.items() if name != "trip"})
    return conform("events", trip.hstack(found.with_columns(unknown)))
