"""Sparse integer histograms, one per group, kept as lists of (key, value): counted, added up, told as lists.

Small key spaces are counted by NumPy in dense blocks that fit the cache: a Polars hash group-by costs 25 to 45 ns a row
for the v-a heatmap of trips, this 5 (2 M rows). Large ones (excursions) have few rows, and go the other way.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from ingest.contract.tables import HISTOGRAM

BLOCK_CELLS: Final = 2**16  # 512 KB of Int64 counters
DENSE_KEYS: Final = 2**10
_END: Final = 2**31  # beyond every group
Integers = npt.NDArray[np.integer[Any]]


class Bins(NamedTuple):
    """Sums of histograms that are not zero, each array of shape (n_sums,), by group and key, both rising."""

    group: Integers
    key: Integers
    value: Integers


def tally(group: Integers, key: Integers, value: Integers | int, keys: int) -> Bins:
    """Add up `value` per group and key.

    Parameters
    ----------
    group : numpy.ndarray, shape (n,)
        Group of each row, from 0, not falling.
    key : numpy.ndarray, shape (n,)
        Bin of each row, in [0, keys).
    value : numpy.ndarray, shape (n,), or int
        What a row adds; never negative.
    keys : int
        Number of bins.
    """
    if keys > DENSE_KEYS:
        return _tally_by_sort(group, key, value, keys)
    block = BLOCK_CELLS // keys  # groups counted at once
    firsts = range(0, int(group[-1]) + 1 if group.size else 0, block)
    cuts = np.searchsorted(group, [*firsts, _END])
    cells = np.zeros(block * keys, np.int64)
    found: list[tuple[Integers, Integers]] = [(np.empty(0, np.int64), cells[:0])]
    for first, (low, high) in zip(firsts, pairwise(cuts), strict=True):
        at = np.multiply(group[low:high], keys, dtype=np.int64)
        at += key[low:high]
        at -= first * keys
        cells[:] = 0
        np.add.at(cells, at, value if isinstance(value, int) else value[low:high])
        filled = np.flatnonzero(cells != 0)
        found.append((filled + first * keys, cells[filled]))
    return _split(*(np.concatenate(parts) for parts in zip(*found, strict=True)), keys)


def _tally_by_sort(group: Integers, key: Integers, value: Integers | int, keys: int) -> Bins:
    at = np.multiply(group, keys, dtype=np.int64) + key
    cell, row = np.unique(at, return_inverse=True)
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
    lists = (
        histogram.lazy()
        .with_columns(pl.col("group").set_sorted())
        .group_by("group", maintain_order=True)
        .agg(pl.struct("key", "value").alias("list"))
        .collect()
    )
    empty = pl.lit([], HISTOGRAM)
    every = pl.DataFrame({"group": pl.int_range(groups, dtype=pl.Int64, eager=True)})
    joined = every.join(lists, on="group", how="left", maintain_order="left")
    return joined.select(pl.col("list").cast(HISTOGRAM).fill_null(empty)).to_series()


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
    bins = tally(np.repeat(rows["group"].to_numpy(), lengths), entries["key"].to_numpy(), value, keys)
    return pl.DataFrame(bins._asdict())
