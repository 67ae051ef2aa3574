"""Whose a row is: how any table of a lake, or made of one, names a device. Pure functions on frames.

Rows are known by their columns, not by their table, so that a table that comes later is found as well:

    device_id                     the device itself
    trip_id                       DEVICE:STREAM:SEQ
    trip_key                      a number made of the trip_id, where neither of the above is there
    topic, detail, payload        of what was refused: on whose topic, in its header, else anywhere inside
    driver_id, policy_id          of sums of trips: those that the device's trips, or its line in the registry, name
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from device.contract import wire

# Columns by which `theirs` judges.
NAMING: Final = ("device_id", "trip_id", "trip_key", "topic", "detail", "payload", "driver_id", "policy_id")
_LINK: Final = ("driver_id", "policy_id")
_SAYS: Final = re.compile(r"says ([A-Za-z0-9_-]+)")  # "header says ..., topic says ...", as the wire refuses
Link = tuple[str, str | None]  # driver_id, policy_id; None: no policies were given


@dataclass(frozen=True)
class People:
    """Devices, and what else is theirs.

    Attributes
    ----------
    devices : frozenset of str
        At least one.
    trip_keys : frozenset of int
    links : frozenset of (driver_id, policy_id)
    """

    devices: frozenset[str]
    trip_keys: frozenset[int] = frozenset()
    links: frozenset[Link] = frozenset()
    _word: re.Pattern[bytes] = field(init=False, repr=False, compare=False)
    _inside: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        any_name = b"|".join(re.escape(name.encode()) for name in sorted(self.devices, key=lambda n: (-len(n), n)))
        word = re.compile(rb"(?<![A-Za-z0-9_-])(?:" + any_name + rb")(?![A-Za-z0-9_-])")
        object.__setattr__(self, "_word", word)
        object.__setattr__(self, "_inside", re.compile(rb"(?:" + any_name + rb")(?![A-Za-z0-9_-])"))

    def are_named_in(self, text: bytes) -> bool:
        """Whether one of the names stands in a text as a word of its own."""
        return self._word.search(text) is not None

    def sent(self, payload: bytes) -> bool:
        """Whether a payload is theirs: by its header, or where none can be read, by a name anywhere in it."""
        header = wire.open_message(payload).header
        if header is not None:
            return header.device_id in self.devices
        return self._inside.search(payload) is not None


def theirs(frame: pl.DataFrame, people: People) -> pl.Series:
    """Which rows are of these people; Boolean, in the frame's order."""
    columns = set(frame.columns)
    marks = [pl.Series("theirs", [False] * frame.height, dtype=pl.Boolean)]
    names = sorted(people.devices)
    if "device_id" in columns:
        marks.append(frame["device_id"].is_in(names))
    if "trip_id" in columns:
        marks.append(frame["trip_id"].str.split(":").list.first().is_in(names))
    if "trip_key" in columns and not columns & {"device_id", "trip_id"}:
        marks.append(frame["trip_key"].is_in(pl.Series(sorted(people.trip_keys), dtype=pl.UInt64).implode()))
    if columns >= {"topic", "detail", "payload"}:
        marks.append(_refused(frame, people))
    if "driver_id" in columns and not columns & {"device_id", "trip_id"}:
        marks.append(_sums(frame, people))
    return pl.select(pl.any_horizontal(mark.fill_null(value=False) for mark in marks)).to_series()


def links_of(trips: pl.DataFrame, people: People) -> frozenset[Link]:
    """Drivers and policies that the devices' trips count for; columns device_id, driver_id and policy_id."""
    own = trips.filter(pl.col("device_id").is_in(sorted(people.devices)), pl.col("driver_id").is_not_null())
    return frozenset(own.select(_LINK).unique().iter_rows())


def _sums(frame: pl.DataFrame, people: People) -> pl.Series:
    """Sums by driver, of several trips: those of the linked drivers, under the linked policy where it is told."""
    keys = [name for name in _LINK if name in frame.columns]
    links = pl.DataFrame(sorted(people.links, key=str), schema=dict.fromkeys(_LINK, pl.String), orient="row")
    wanted = links.select(keys).unique().with_columns(hit=True)
    return frame.select(keys).join(wanted, on=keys, how="left", nulls_equal=True, maintain_order="left")["hit"]


def _refused(frame: pl.DataFrame, people: People) -> pl.Series:
    rows: Iterable[tuple[str | None, str | None, bytes | None]] = frame.select("topic", "detail", "payload").iter_rows()
    marks = []
    for topic, detail, payload in rows:
        told = {*(topic or "").split("/")[2:3], *_SAYS.findall(detail or "")}
        marks.append(bool(told & people.devices) or (payload is not None and people.sent(payload)))
    return pl.Series(marks, dtype=pl.Boolean)
