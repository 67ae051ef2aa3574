"""Sparse integer histograms, one per group, kept as lists of (key, value): counted, added up, told as lists.

Small key spaces are counted by NumPy in dense blocks that fit the cache: a Polars hash group-by costs 25 to 45 ns a row
for the v-a heatmap of trips, this 5 (2 M rows). Large ones (excursions) have few rows, and go the other way.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from ingest.contract.tables import HISTOGRAM

BLOCK_CELLS: Final = 2**16  # 512 KB of Int64 counters
SPARSE_CELLS: Final = 16  # with more than these for each row, sorting the rows is cheaper than counting in cells
Integers = npt.NDArray[np.integer[Any]]


class Bins(NamedTuple):
    """Sums of histograms that are not zero, each array of shape (n_sums,), by group and key, both rising."""

    group: Integers
    key: Integers
    value: Integers


def tally(rows: Integers, key: Integers, value: Integers | int, keys: int) -> Bins:
    """Add up `value` per group and key.

    Parameters
    ----------
    rows : numpy.ndarray, shape (n_groups,)
        How many rows each group has; they stand together, in the order of the groups.
    key : numpy.ndarray, shape (n,)
        Bin of each row, in [0, keys).
    value : numpy.ndarray, shape (n,), or int
        What a row adds; never negative.
    keys : int
        Number of bins.
    """
    if key.size * SPARSE_CELLS < rows.size * keys:
        return _tally_by_sort(rows, key, value, keys)
    ends = np.cumsum(rows)
    block = max(BLOCK_CELLS // keys, 1)  # groups counted at once
    cells = np.zeros(block * keys, np.int64)
    found: list[tuple[Integers, Integers]] = [(np.empty(0, np.int64), cells[:0])]
    for first in range(0, rows.size, block):
        here = rows[first : first + block]
        low, high = ends[first] - rows[first], ends[first + here.size - 1]
        at = np.repeat(np.arange(here.size) * keys, here)
        at += key[low:high]
        cells[:] = 0
        np.add.at(cells, at, value if isinstance(value, int) else value[low:high])
        filled = np.flatnonzero(cells != 0)
        found.append((filled + first * keys, cells[filled]))
    return _split(np.concatenate([cell for cell, _ in found]), np.concatenate([value for _, value in found]), keys)


def _tally_by_sort(rows: Integers, key: Integers, value: Integers | int, keys: int) -> Bins:
    cell, row = np.unique(np.repeat(np.arange(rows.size) * keys, rows) + key, return_inverse=True)
    cells = np.zeros(cell.size, np.int64)
    np.add.at(cells, row, value)
    filled = cells != 0
    return _split(cell[filled], cells[filled], keys)


def _split(cell: Integers, value: Integers, keys: int) -> Bins:
    group = cell // keys
    return Bins(group, (cell - group * keys).astype(np.int32), value)


def as_lists(histogram: pl.DataFrame, groups: int) -> pl.Series:
    """One list of (key, value) per group from 0 to `groups`, empty where a group has no entry.

    Parameters
    ----------
    histogram : pl.DataFrame
        group, key, value, by group and key: as `Bins`.
    """
    rows = histogram.select(pl.col("group").set_sorted(), pl.struct("key", "value").alias("list"))
    lists = rows.group_by("group", maintain_order=True).agg("list").select("group", pl.col("list").cast(HISTOGRAM))
    if lists.height == groups:
        return lists["list"]
    place = np.full(groups, lists.height)  # of a group without entries: beyond the last list
    place[lists["group"].to_numpy()] = np.arange(lists.height)
    return pl.concat([lists["list"], pl.Series("list", [[]], HISTOGRAM)]).gather(place)


def sum_lists(group: pl.Series, lists: pl.Series, weight: pl.Series, keys: int) -> pl.DataFrame:
    """Add up lists of (key, value), each times its row's weight, per group.

    Parameters
    ----------
    group : pl.Series
        Group of each row, from 0, not falling.
    lists : pl.Series
        Histogram of each row, or null.
    weight : pl.Series
        Integer weight of each row.
    keys : int
        Number of bins.

    Returns
    -------
    pl.DataFrame
        group Int64, key Int32, value Int64: as `Bins`.
    """
    rows = pl.DataFrame({"group": group, "entry": lists, "weight": weight}).filter(pl.col("entry").list.len() > 0)
    lengths = rows["entry"].list.len().to_numpy()
    entries = rows["entry"].explode().struct.unnest()
    value = entries["value"].to_numpy() * np.repeat(rows["weight"].to_numpy(), lengths)
    groups = int(rows["group"][-1]) + 1 if rows.height else 0
    entries_of = np.zeros(groups, np.int64)
    np.add.at(entries_of, rows["group"].to_numpy(), lengths)
    return pl.DataFrame(tally(entries_of, entries["key"].to_numpy(), value, keys)._asdict())
