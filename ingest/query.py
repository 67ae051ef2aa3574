"""Questions to the lake as SQL over its Parquet files. DuckDB is the query layer, never the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from device.contract.errors import UbiError
from ingest.arrivals import arrivals
from ingest.contract.lake import RESTORE, Lake, collect
from ingest.contract.sql_types import sql_type
from ingest.contract.tables import MESSAGES, REJECTS, SEALED

Row = dict[str, Any]

_REJECTS: Final = """
SELECT device_id, reason, count(*) AS rejects, arg_max(detail, received_at_ms) AS last_detail,
       max(received_at_ms) AS last_received_at_ms
FROM rejects GROUP BY device_id, reason
ORDER BY device_id, reason
"""


def status(lake: Lake, device_id: str | None = None) -> list[Row]:
    """Per device what has come, what is missing, what was sealed, how far its clock is off and when it was last heard.

    Messages are counted by seq. `clock_offset_s` is the device's clock minus ours; `late_max_s` the longest way of a
    message from its queue to us, where its clock was set. Both are null for recordings.
    """
    now = arrivals(lake)
    missing = Counter[str]()
    for device, _, first, last in now.gaps().iter_rows():
        missing[device] += last - first + 1
    devices = now.streams.group_by("device_id").agg(
        pl.len().alias("streams"),
        pl.col("duplicates").sum(),
        pl.col("conflicts").sum(),
        pl.col("clock_offset_ms").sort_by("last_received_at_ms").drop_nulls().last() / 1000,
        pl.col("late_max_ms").max() / 1000,
        pl.col("last_received_at_ms").max(),
    )
    came = now.messages.group_by("device_id").agg((pl.col("last") - pl.col("first") + 1).sum().alias("messages"))
    waiting = now.waiting.group_by("device_id").agg(pl.len().alias("waiting"))
    table = devices
    for other in (came, waiting, _refused(lake), _sealed(lake)):
        table = table.join(other, on="device_id", how="full", coalesce=True)
    if device_id is not None:
        table = table.filter(pl.col("device_id") == device_id)
    return [_status_row(row, missing[row["device_id"]]) for row in table.sort("device_id").iter_rows(named=True)]


_COUNTS: Final = (
    "streams",
    "messages",
    "duplicates",
    "conflicts",
    "waiting",
    "rejects",
    "trips",
    "incomplete",
    "chain_broken",
    "bad_signatures",
)

TROUBLE: Final = ("bad_signatures", "conflicts", "chain_broken", "incomplete", "rejects", "missing")


def _status_row(row: Row, missing: int) -> Row:
    counts = {name: row[name] or 0 for name in _COUNTS}
    return {
        "device_id": row["device_id"],
        **{name: counts[name] for name in _COUNTS[:4]},
        "missing": missing,
        **{name: counts[name] for name in _COUNTS[4:]},
        "distance_km": round(row["distance_km"] or 0, 1),
        "clock_offset_s": _whole(row["clock_offset_ms"]),
        "late_max_s": _whole(row["late_max_ms"]),
        "last_received_at_ms": row["last_received_at_ms"],
    }


def total(rows: Sequence[Row]) -> Row:
    """The same of all devices together, as `all N`; no clock offset, which is one device's."""
    heard = [row["last_received_at_ms"] for row in rows if row["last_received_at_ms"] is not None]
    late = [row["late_max_s"] for row in rows if row["late_max_s"] is not None]
    return {
        "device_id": f"all {len(rows)}",
        **{name: sum(row[name] for row in rows) for name in (*_COUNTS[:4], "missing", *_COUNTS[4:])},
        "distance_km": round(sum(row["distance_km"] for row in rows), 1),
        "clock_offset_s": None,
        "late_max_s": max(late, default=None),
        "last_received_at_ms": max(heard, default=None),
    }


def foremost(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many devices, by name: where it is not all of them, those with most trouble."""
    if len(rows) <= most:
        return list(rows)
    worst = sorted(rows, key=lambda row: tuple(-row[name] for name in TROUBLE))[:most]
    return sorted(worst, key=lambda row: row["device_id"])


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


def gaps(lake: Lake, device_id: str | None = None) -> list[Row]:
    """Runs of seqs that have not come, not even to be refused, up to the last seq of each stream that did."""
    found = arrivals(lake).gaps()
    if device_id is not None:
        found = found.filter(pl.col("device_id") == device_id)
    told = found.with_columns((pl.col("last") - pl.col("first") + 1).alias("missing"))
    return told.rename({"first": "first_seq", "last": "last_seq"}).to_dicts()


def rejects(lake: Lake, device_id: str | None = None) -> list[Row]:
    """Rejects by device and reason."""
    return [row for row in _ask(lake, _REJECTS) if device_id in (None, row["device_id"])]


def _refused(lake: Lake) -> pl.DataFrame:
    named = lake.scan_rejects().filter(pl.col("device_id").is_not_null())
    return collect(named.group_by("device_id").agg(pl.len().alias("rejects")), lake.reject_files(), REJECTS)


def _sealed(lake: Lake) -> pl.DataFrame:
    trips = lake.scan("trips").group_by("device_id")
    return collect(
        trips.agg(
            pl.len().alias("trips"),
            (~pl.col("complete")).sum().alias("incomplete"),
            (~pl.col("chain_ok")).sum().alias("chain_broken"),
            (pl.col("signature") == "bad").sum().alias("bad_signatures"),
            pl.col("distance_mm").sum() / 1e6,
        ).rename({"distance_mm": "distance_km"}),
        lake.sealed_files("trips"),
        SEALED["trips"],
    )


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """Open a connection with the lake's tables as views: `messages`, `rejects`, and the sealed ones.

    The views keep the files that count now; a later sealing is seen by a new connection.
    """
    connection = duckdb.connect()
    _view(connection, "messages", lake.message_files(), MESSAGES)
    _view(connection, "rejects", lake.reject_files(), REJECTS)
    for table, schema in SEALED.items():
        _view(connection, table, lake.sealed_files(table), schema)
    return connection


def _ask(lake: Lake, sql: str) -> list[Row]:
    try:
        with connect(lake) as connection:
            answer = connection.execute(sql)
            names = [column[0] for column in answer.description]
            return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
    except (duckdb.IOException, duckdb.InvalidInputException) as error:  # they name the file
        raise UbiError(f"{lake.root}: {str(error).splitlines()[0]}; {RESTORE}") from error


def _view(connection: duckdb.DuckDBPyConnection, name: str, files: list[Path], schema: pl.Schema) -> None:
    if files:
        paths = [str(file) for file in files]
        connection.read_parquet(paths, union_by_name=True, hive_partitioning=False).create_view(name)
    else:
        columns = ", ".join(f'"{column}" {sql_type(kind)}' for column, kind in schema.items())
        connection.execute(f'CREATE TABLE "{name}" ({columns})')
