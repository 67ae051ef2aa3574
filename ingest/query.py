"""Questions to the lake as SQL over its Parquet files. DuckDB is the query layer, never the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import duckdb
import polars as pl

from device.contract.errors import UbiError
from ingest.contract.lake import RESTORE, Lake
from ingest.contract.tables import MESSAGES, REJECTS, SEALED

Row = dict[str, Any]

# A refused message has come, and is kept in rejects; the topic of `wrong_device` is not whose message it is.
_ARRIVED: Final = """
CREATE VIEW arrived AS
SELECT device_id, stream_id, seq FROM messages
UNION
SELECT device_id, stream_id, seq FROM rejects
WHERE device_id IS NOT NULL AND stream_id IS NOT NULL AND reason <> 'wrong_device'
"""

_STATUS: Final = """
WITH seqs AS (
    SELECT device_id, stream_id, seq, count(*) AS copies, count(DISTINCT hash) AS contents,
           max(received_at_ms) AS received_at_ms
    FROM messages GROUP BY ALL
), streams AS (
    SELECT device_id, stream_id, count(*) AS messages, sum(copies) - count(*) AS duplicates,
           count(*) FILTER (contents > 1) AS conflicts, max(received_at_ms) AS last_received_at_ms
    FROM seqs GROUP BY ALL
), heard AS (
    SELECT device_id, count(*) AS streams, sum(messages) AS messages, sum(duplicates) AS duplicates,
           sum(conflicts) AS conflicts, max(last_received_at_ms) AS last_received_at_ms
    FROM streams GROUP BY ALL
), holes AS (
    SELECT device_id, sum(missing) AS missing
    FROM (SELECT device_id, max(seq) - count(*) AS missing FROM arrived GROUP BY device_id, stream_id)
    GROUP BY ALL
), refused AS (
    SELECT device_id, count(*) AS rejects FROM rejects WHERE device_id IS NOT NULL GROUP BY ALL
), sealed AS (
    SELECT device_id, count(*) AS trips, count(*) FILTER (NOT complete) AS incomplete,
           count(*) FILTER (NOT chain_ok) AS chain_broken, sum(distance_mm) / 1e6 AS distance_km
    FROM trips GROUP BY ALL
)
SELECT device_id, coalesce(streams, 0)::BIGINT AS streams, coalesce(messages, 0)::BIGINT AS messages,
       coalesce(duplicates, 0)::BIGINT AS duplicates, coalesce(conflicts, 0)::BIGINT AS conflicts,
       coalesce(missing, 0)::HUGEINT AS missing, coalesce(rejects, 0)::BIGINT AS rejects,
       coalesce(trips, 0)::BIGINT AS trips, coalesce(incomplete, 0)::BIGINT AS incomplete,
       coalesce(chain_broken, 0)::BIGINT AS chain_broken, round(coalesce(distance_km, 0), 1) AS distance_km,
       last_received_at_ms
FROM heard FULL JOIN holes USING (device_id) FULL JOIN refused USING (device_id) FULL JOIN sealed USING (device_id)
ORDER BY device_id
"""

_GAPS: Final = """
WITH steps AS (
    SELECT *, lag(seq, 1, 0) OVER (PARTITION BY device_id, stream_id ORDER BY seq) AS before FROM arrived
)
SELECT device_id, stream_id, before + 1 AS first_seq, seq - 1 AS last_seq, seq - before - 1 AS missing
FROM steps WHERE seq > before + 1
ORDER BY device_id, stream_id, first_seq
"""

_REJECTS: Final = """
SELECT device_id, reason, count(*) AS rejects, arg_max(detail, received_at_ms) AS last_detail,
       max(received_at_ms) AS last_received_at_ms
FROM rejects GROUP BY device_id, reason
ORDER BY device_id, reason
"""


def status(lake: Lake) -> list[Row]:
    """Per device: streams, messages (by seq), duplicates, conflicts, missing seqs, rejects, sealed trips, last seen."""
    return _ask(lake, _STATUS)


def gaps(lake: Lake) -> list[Row]:
    """Runs of seqs that have not come, not even to be refused, up to the last seq of each stream that did."""
    return _ask(lake, _GAPS)


def rejects(lake: Lake) -> list[Row]:
    """Rejects by device and reason."""
    return _ask(lake, _REJECTS)


def connect(lake: Lake) -> duckdb.DuckDBPyConnection:
    """Open a connection with the lake's tables as views: `messages`, `rejects`, the sealed ones, and `arrived`: the
    seqs that came, taken or refused.

    The views keep the files that count now; a later sealing is seen by a new connection.
    """
    connection = duckdb.connect()
    _view(connection, "messages", lake.message_files(), MESSAGES)
    _view(connection, "rejects", lake.reject_files(), REJECTS)
    for table, schema in SEALED.items():
        _view(connection, table, lake.sealed_files(table), schema)
    connection.execute(_ARRIVED)
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
        columns = ", ".join(f'"{column}" {_sql_type(kind)}' for column, kind in schema.items())
        connection.execute(f'CREATE TABLE "{name}" ({columns})')


def _sql_type(kind: Any) -> str:
    if isinstance(kind, pl.List):
        return f"{_sql_type(kind.inner)}[]"
    if isinstance(kind, pl.Struct):
        return f"STRUCT({', '.join(f'{field.name} {_sql_type(field.dtype)}' for field in kind.fields)})"
    return _SQL_TYPES[kind.base_type()]


_SQL_TYPES: Final[dict[type[pl.DataType], str]] = {
    pl.String: "VARCHAR",
    pl.Binary: "BLOB",
    pl.Boolean: "BOOLEAN",
    pl.Int8: "TINYINT",
    pl.Int16: "SMALLINT",
    pl.Int32: "INTEGER",
    pl.Int64: "BIGINT",
    pl.UInt8: "UTINYINT",
    pl.UInt64: "UBIGINT",
}
