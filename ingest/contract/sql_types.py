"""Types of the lake's columns in DuckDB's SQL, for views of tables that have no file yet."""

from __future__ import annotations

from typing import Any, Final

import polars as pl


def sql_type(kind: Any) -> str:
    """SQL type of a Polars type.

    Raises
    ------
    KeyError
        If no table of the lake has such a column.
    """
    if isinstance(kind, pl.List):
        return f"{sql_type(kind.inner)}[]"
    if isinstance(kind, pl.Struct):
        return f"STRUCT({', '.join(f'{field.name} {sql_type(field.dtype)}' for field in kind.fields)})"
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
