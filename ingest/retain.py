"""`ubi ingest retain`: what was kept as long as it may be goes, table by table.

    [days]
    messages = 90    # bodies as they came; headers and hashes stay, as the memory of what has come
    rejects = 30     # bodies of what was refused; header, hash and reason stay
    motion = 90
    track = 30
    impacts = 1100
    health = 90
    trips = 1100     # and their events: driver periods are made of both. Nothing of a trip outlives it

A table that is not named is kept for ever. A month goes when its last day is so many days ago, a body when its trip is
in such a month; that trip is final then (`ingest.final`). Killed at any line, it is run again and goes on.
"""

from __future__ import annotations

import tomllib
from calendar import monthrange
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from device.contract.errors import UsageError
from ingest.contract import durable
from ingest.contract.lake import Group, Lake
from ingest.contract.publish import SealWriter, to_parquet
from ingest.contract.tables import SEALED
from ingest.erase import read, sweep
from ingest.final import EXPIRED, KEY, TRIP, is_final, names_of
from ingest.state import load

SOURCE: Final = "messages"
DAY_MS: Final = 86_400_000
GIVE_UP_DAYS: Final = 31  # a trip that lacks messages waits 30 days for them, and then needs the bodies that came
MOST_DAYS: Final = 36_500
TABLES: Final = ("messages", "rejects", *(table for table in SEALED if table != "events"))
OF_TRIPS: Final = ("events", "motion", "track")


def read_retention(path: Path) -> dict[str, int]:
    """Read how many days each table is kept.

    Raises
    ------
    UsageError
        Naming file, key and what to write.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name a file with days by table") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    days = content.pop("days", None)
    if content or not isinstance(days, dict):
        raise UsageError(f"{path}: has to be one table [days] with lines such as motion = 90")
    for table, value in days.items():
        if table not in TABLES:
            raise UsageError(f"{path}: '{table}' is no table; they are {', '.join(TABLES)}")
        least, why = (GIVE_UP_DAYS, ", as open trips wait 30 days") if table == "messages" else (1, "")
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MOST_DAYS:
            raise UsageError(f"{path}: {table} = {value!r} is not a whole number of days from {least} on{why}")
    longer = [table for table in OF_TRIPS if days.get(table, 0) > days.get("trips", MOST_DAYS)]
    if longer:
        raise UsageError(
            f"{path}: {longer[0]} is kept longer than trips, and goes with them; write at most {days['trips']}"
        )
    return dict(days)


def retain(lake: Lake, days: Mapping[str, int], now_ms: int) -> dict[str, int]:
    """Let go of what is older than that.

    Parameters
    ----------
    lake : Lake
    days : mapping of str to int
        As `read_retention` gives them.
    now_ms : int
        UTC.

    Returns
    -------
    dict
        Rows that went, by table; of `messages` and `rejects` bodies.

    Raises
    ------
    TryAgainError
        If somebody is sealing.
    """
    sweep(lake, SOURCE)  # what needs no space to go may make the space that the rest needs
    today = datetime.fromtimestamp(now_ms / 1_000, UTC).date()
    gone: Counter[str] = Counter(dict.fromkeys(days, 0))
    for source in sorted({SOURCE} | {group.source for group in lake.manifest().groups}):
        with SealWriter(lake, source) as writer:
            final = f"{EXPIRED}{writer.before.number + 1}"
            for group in writer.groups().values():
                kept = _young(group, days, today, gone)
                if source == SOURCE and _is_over(group.month, days.get("messages"), today):
                    kept = replace(kept, source=final)
                if kept.files:
                    writer.keep(kept)
    with SealWriter(lake, SOURCE) as writer:  # holds sealing off, which joins segments
        for group in writer.groups().values():
            writer.keep(group)
        if "messages" in days:
            gone["messages"] = _empty_messages(lake, now_ms - days["messages"] * DAY_MS)
        if "rejects" in days:
            old = pl.col("received_at_ms") < now_ms - days["rejects"] * DAY_MS
            gone["rejects"] = sum(_empty(file, old) for file in _segments(lake, "rejects"))
    sweep(lake, SOURCE)
    return dict(gone)


def _young(group: Group, days: Mapping[str, int], today: date, gone: Counter[str]) -> Group:
    """The group without the tables that are over."""
    trips_over = _is_over(group.month, days.get("trips"), today)
    files = []
    for file in group.files:
        if (trips_over and file.table in OF_TRIPS) or _is_over(group.month, days.get(file.table), today):
            gone[file.table] += file.rows
        else:
            files.append(file)
    return replace(group, files=tuple(files))


def _is_over(month: str, days: int | None, today: date) -> bool:
    """Whether the last day of a month is more than so many days ago."""
    if days is None:
        return False
    first = date.fromisoformat(f"{month}-01")
    return first.replace(day=monthrange(first.year, first.month)[1]) + timedelta(days=days) < today


def _empty_messages(lake: Lake, before_ms: int) -> int:
    """Take the bodies of final trips and rows, and old ones of nothing that is sealed or waits; how many."""
    manifest = lake.manifest()
    final = names_of(lake, [group for group in manifest.groups if is_final(group)])
    living = names_of(lake, [group for group in manifest.groups if not is_final(group)])
    waiting = load(lake, manifest).waiting.select(KEY)
    emptied, counting = 0, set(lake.message_files())
    for file in _segments(lake, "messages"):
        rows = read(file).select(*KEY, "trip_seq", "received_at_ms").with_row_index("row")
        old = rows.filter(pl.col("received_at_ms") < before_ms)
        over = [
            rows.join(final.trips, on=TRIP, how="semi"),
            rows.join(final.loose, on=KEY, how="semi"),
            old.join(living.trips, on=TRIP, how="anti").join(living.loose, on=KEY, how="anti"),
        ]
        chosen = pl.concat(over).unique("row").join(waiting, on=KEY, how="anti")["row"]
        bodies = _empty(file, pl.int_range(pl.len(), dtype=pl.UInt32).is_in(chosen.implode()))
        emptied += bodies if file in counting else 0
    return emptied


def _empty(file: Path, which: pl.Expr) -> int:
    """Take the bodies of some rows of a segment, in its place; how many."""
    before = read(file)
    after = before.with_columns(pl.when(~which).then("payload").alias("payload"))
    emptied = after["payload"].null_count() - before["payload"].null_count()
    if emptied:
        durable.commit({file: to_parquet(after)})
    return emptied


def _segments(lake: Lake, table: str) -> list[Path]:
    """Every segment there is, also those that compaction has superseded."""
    return durable.listed(lake.root / table, "date=*/*.parquet")
