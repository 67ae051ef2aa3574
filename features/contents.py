"""What a trip holds, as one hash: so that a change of any of its numbers is seen, and laid to that trip.

A trip's content is every column of its sealed row and of its events, as text, but for what a driver may withhold or
what depends on it: motion, place, and how many messages they took or were withdrawn. Nor is it part of the content who
drove.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import polars as pl

from device.contract.trip import HISTOGRAM_FIELDS
from ingest.contract.tables import EVENTS, TRIPS

HEX_DIGITS: Final = 32
# Of these a number is made that is added up over trips: 44 bits, so that half a million trips fit into an integer.
NUMBER_DIGITS: Final = 11
# Between columns, between entries of one, and for what is not known: characters that no identifier may hold.
_COLUMN, _ENTRY, _NULL = "\x1f", "\x1e", "\x00"
# The id of a trip has the number of its first message.
_NUMBERED: Final = ("trip_id", "trip_key", "seq", "last_seq")
_WITHHELD: Final = ("has_motion", "tombstones", *(name for name in (*TRIPS, *EVENTS) if "_cell_" in f"_{name}"))
# Columns that a later release added count only where they are known: the content of older trips stays what it was.
ADDED: Final = ("speed_readings", "speed_missed", "speed_step_dkmh", "speed_frozen")
_CONTENT: Final = {*TRIPS, *EVENTS}.difference(HISTOGRAM_FIELDS, _NUMBERED, _WITHHELD, ADDED)
_HISTOGRAMS: Final = sorted(HISTOGRAM_FIELDS)
_ENTRY_BYTES: Final = 16  # a key and a value
SCALARS: Final = sorted(_CONTENT.intersection(TRIPS))
_PLACES: Final = sorted({*SCALARS, "tombstones"})  # once content; now always 0 there, so that trips keep their hashes
OF_EVENT: Final = sorted(_CONTENT.intersection(EVENTS))


def content_hashes(trips: pl.DataFrame, events: pl.DataFrame) -> pl.Series:
    """Hash of each trip's content, 32 hex digits of SHA-256; the same on every machine.

    Parameters
    ----------
    trips, events : pl.DataFrame
        Columns of `ingest.contract.tables`; events of other trips are left out.
    """
    told = (
        events.select("trip_key", event=_text(OF_EVENT))
        .sort("trip_key", "event")
        .group_by("trip_key", maintain_order=True)
        .agg(pl.col("event").str.join(_ENTRY))
    )
    lengths = [pl.col(name).list.len().cast(pl.String).fill_null(_NULL) for name in _HISTOGRAMS]
    added = pl.concat_str([pl.format("{}={}", pl.lit(_COLUMN + name), name) for name in ADDED], ignore_nulls=True)
    texts = (
        trips.with_columns(tombstones=0)
        .select("trip_key", trip=_text(_PLACES), bins=pl.concat_str(lengths, separator=_COLUMN), added=added)
        .join(told, on="trip_key", how="left", maintain_order="left")
        .select(pl.concat_str("trip", "bins", pl.col("event").fill_null(""), separator=_COLUMN) + pl.col("added"))
        .to_series()
    )
    histograms = [_entries(trips[name]) for name in _HISTOGRAMS]
    hashes = []
    for row, text in enumerate(texts):
        digest = hashlib.sha256(text.encode())
        for entries, ends in histograms:
            digest.update(entries[ends[row] : ends[row + 1]])
        hashes.append(digest.hexdigest()[:HEX_DIGITS])
    return pl.Series("content", hashes, dtype=pl.String)


def _entries(lists: pl.Series) -> tuple[bytes, list[int]]:
    """Keys and values as 64-bit integers, little-endian, and where each row's begin, one more for the end."""
    lengths = lists.list.len().fill_null(0).to_numpy()
    flat = lists.filter(pl.Series(lengths > 0)).explode()
    pairs = np.column_stack([flat.struct.field(part).cast(pl.Int64).to_numpy() for part in ("key", "value")])
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]) * _ENTRY_BYTES
    return pairs.astype("<i8").tobytes(), ends.tolist()


def number(content: pl.Expr) -> pl.Expr:
    """First 44 bits of a content: added up over trips, a sum that changes if one of them does."""
    return content.str.head(NUMBER_DIGITS).str.to_integer(base=16)


def _text(names: list[str]) -> pl.Expr:
    return pl.concat_str([pl.col(name).cast(pl.String).fill_null(_NULL) for name in names], separator=_COLUMN)
