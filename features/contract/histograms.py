"""Sparse integer histograms, one per group: counted in dense blocks that fit the cache, kept as lists of (key, value).

NumPy counts here because a Polars hash group-by costs 25 to 45 ns a row for the v-a heatmap's keys, this 5 (2 M rows).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from ingest.contract.tables import HISTOGRAM

BLOCK_CELLS: Final = 2**16  # 512 KB of Int64 counters
_END: Final = 2**31
Integers = npt.NDArray[np.integer[Any]]


def tally(group: Integers, key: Integers, value: Integers | int, keys: int) -> pl.DataFrame:
    """Add up `value` per group and key.

    Parameters
    ----------
    group : numpy.ndarray, shape (n,)
        Group of each row, from 0, not falling.
    key : numpy.ndarray, shape (n,)
        Bin of each row, in [0, keys).
    value : numpy.ndarray, shape (n,), or int
        What a row adds.
    keys : int
        Number of bins.

    Returns
    -------
    pl.DataFrame
        group Int64, key Int32, value Int64 of all sums that are not zero, sorted by (group, key).
    """
    block = max(1, BLOCK_CELLS // keys)  # groups counted at once
    firsts = range(0, int(group[-1]) + 1 if group.size else 0, block)
    cuts = np.searchsorted(group, [*firsts, _END]) if group.size else np.zeros(1, np.int64)
    cells = np.zeros(block * keys, np.int64)
    found: list[tuple[Integers, Integers]] = []
    for first, (low, high) in zip(firsts, pairwise(cuts), strict=True):
        at = group[low:high] * np.int64(keys)
        at += key[low:high]
        at -= first * keys
        cells[:] = 0
        np.add.at(cells, at, value if isinstance(value, int) else value[low:high])
        filled = np.flatnonzero(cells)
        found.append((filled + first * keys, cells[filled]))
    at = np.concatenate([cell for cell, _ in found]) if found else np.empty(0, np.int64)
    values = np.concatenate([value for _, value in found]) if found else np.empty(0, np.int64)
    return pl.DataFrame({"group": at // keys, "key": (at % keys).astype(np.int32), "value": values})


def as_lists(histogram: pl.DataFrame, groups: int) -> pl.Series:
    """One list of (key, value) per group from 0 to `groups`, empty where a group has no entry.

    Parameters
    ----------
    histogram : pl.DataFrame
        group, key, value, as from `tally`.
    """
    lists = histogram.group_by("group", maintain_order=True).agg(pl.struct("key", "value").alias("list"))
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
        As `tally`.
    """
    entries = pl.DataFrame({"group": group, "entry": lists, "weight": weight}).filter(pl.col("entry").list.len() > 0)
    entries = entries.explode("entry").unnest("entry")
    value = (entries["value"] * entries["weight"]).to_numpy()
    return tally(entries["group"].to_numpy(), entries["key"].to_numpy(), value, keys)
