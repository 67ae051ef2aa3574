"""SQL views over the lake, the feature tables, policies and claims, for any DuckDB: the files stay where they are.

    manifest, folders, files -> views of what lies there -> views/*.sql, those whose needs are met -> a script

`ubi features sql` runs the script in a DuckDB of its own, in memory, before the question; `--write` gives it away. The
sealed files in it are those that counted when it was made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import polars as pl

from device.contract.errors import UbiError, UsageError
from device.contract.rules import KIND_NAMES
from features.contract.dates import local_days
from features.contract.files import read_table
from features.contract.whole import check_whole
from features.policies import read_policies
from ingest.contract.lake import Lake
from ingest.contract.sql_types import sql_type
from ingest.contract.tables import SEALED

FEATURES: Final = ("trips", "events", "driver_periods", "driver_measures")
_CLAIMS: Final = ("policy_id", "occurred_on")
# As Polars reads it: nothing is guessed of a file, and a row may leave its last values out.
_CSV: Final = (
    "all_varchar = true, header = true, delim = ',', quote = '\"', escape = '\"', null_padding = true, parallel = false"
)


class Given(NamedTuple):
    """What a script makes views of."""

    lake: Path | None = None
    features: Path | None = None  # folder of `ubi features build`
    policies: Path | None = None
    claims: Path | None = None
    rating_dates: Sequence[date] = ()  # empty: the first day after the last month of the driver periods
    months: int = 12


class View(NamedTuple):
    """One view of a script."""

    name: str
    text: str  # what it shows
    statement: str


class Answer(NamedTuple):
    """Rows of an answer, as text, None where null."""

    columns: list[str]
    rows: list[tuple[str | None, ...]]


def script(views: Sequence[View]) -> str:
    """Statements that make the views in any DuckDB; they may be run again."""
    statements = (f"-- {view.text}\n{view.statement};\n" for view in views)
    return "SET TimeZone = 'UTC';\n\n" + "\n".join(statements)


def views_of(given: Given) -> list[View]:
    """Views of what is given, in an order in which each finds what it needs.

    Raises
    ------
    UbiError
        If a folder or file is not what it should be.
    """
    base = [*_lake(given.lake), *_features(given), *_insurer(given)]
    found = list(base)
    files = resources.files("features").joinpath("views").iterdir()
    for file in sorted(files, key=lambda file: file.name):
        text, needs, statement = file.read_text(encoding="utf-8").split("\n", 2)
        names = needs.removeprefix("-- needs: ").split(", ")
        known = {view.name for view in found}
        if all((name.removeprefix("no ") in known) != name.startswith("no ") for name in names):
            found.append(View(_name(statement), text.removeprefix("-- "), statement.rstrip().rstrip(";")))
    return found


def ask(views: Sequence[View], query: str) -> Answer:
    """Answer a question.

    Raises
    ------
    UbiError
        With DuckDB's reason, in one line.
    """
    with _opened(views) as connection:
        relation = _asked(connection, query)
        if relation is None:
            return Answer([], [])
        return Answer(list(relation.columns), _fetched(relation.project("CAST(COLUMNS(*) AS VARCHAR)")))


def ask_json(views: Sequence[View], query: str) -> list[dict[str, Any]]:
    """Answer a question with JSON's types: times and dates are text."""
    with _opened(views) as connection:
        answer = _asked(connection, query)
        if answer is None:
            return []
        told = answer.query("answer", "SELECT to_json(answer) FROM answer")
        return [] if told is None else [json.loads(row) for (row,) in _fetched(told)]


def _lake(folder: Path | None) -> Iterator[View]:
    if folder is None:
        return
    lake = Lake.existing(folder.resolve())
    number = lake.manifest().number
    for table, schema in SEALED.items():
        files = ", ".join(map(_quoted, lake.sealed_files(table)))
        columns = ", ".join(f'CAST(NULL AS {sql_type(kind)}) AS "{name}"' for name, kind in schema.items())
        select = f"FROM {_parquet(f'[{files}]')}" if files else f"SELECT {columns} WHERE false"
        yield _view(f"sealed_{table}", f"Sealed {table}, as manifest {number} of the lake lists them.", select)


def _features(given: Given) -> Iterator[View]:
    kinds = ", ".join(f"({number}, {_quoted(name)})" for number, name in sorted(KIND_NAMES.items()))
    yield _view("event_kinds", "Kinds of events.", f"FROM (VALUES {kinds}) AS kinds (kind, name)")
    if given.features is None:
        return
    check_whole(given.features)
    for table in FEATURES:
        file = given.features.resolve() / f"{table}.parquet"
        if not file.is_file():
            raise UsageError(f"{file}: no such file; --features has to name the output folder of 'ubi features build'")
        yield _view(table, f"Table of 'ubi features build': {table}.", f"FROM {_parquet(_quoted(file))}")
    days = ", ".join(f"(DATE '{day}', {given.months})" for day in given.rating_dates)
    after_the_last = f"SELECT (max(month) + INTERVAL 1 MONTH)::DATE AS rating_date, {given.months} AS months"
    chosen = f"FROM (VALUES {days}) AS dates (rating_date, months)" if days else f"FROM driver_periods {after_the_last}"
    yield _view("chosen_rating_dates", "What drivers are rated on, see rating_dates.", chosen)


def _insurer(given: Given) -> Iterator[View]:
    if given.policies is not None:
        read_policies(given.policies)  # says what is wrong with it
        yield _view("policies_file", "The policies file as it is, times as local ones.", _file(given.policies))
    if given.claims is not None:
        claims = read_table(given.claims, lambda path, why: UbiError(f"{path}: {why}"))
        for name in _CLAIMS:
            if name not in claims.columns:
                raise UbiError(f"{given.claims}, column {name}: is missing; the file has {', '.join(claims.columns)}")
        wrong = local_days(claims["occurred_on"]).first_wrong()
        if wrong is not None:
            row, reason = wrong
            value = claims["occurred_on"][row]
            raise UbiError(f"{given.claims}, row {row + 1}, column occurred_on: '{value}' {reason}")
        amount = "" if "amount" in claims.columns else ", NULL AS amount"
        yield _view("claims_file", "The claims file as it is, times as local ones.", _file(given.claims, amount))


def _opened(views: Sequence[View]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    try:
        connection.execute(script(views))
    except duckdb.Error as error:
        connection.close()
        raise UbiError(_told(error)) from error
    return connection


def _asked(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation | None:
    try:
        return connection.sql(query)
    except duckdb.CatalogException as error:
        raise UbiError(
            f"{_told(error)}; 'ubi features sql' without a question lists the views; --lake, --features, --policies "
            "and --claims add some"
        ) from error
    except (duckdb.Error, RuntimeError) as error:
        raise UbiError(_told(error)) from error


def _fetched(relation: duckdb.DuckDBPyRelation) -> list[tuple[Any, ...]]:
    try:
        return relation.fetchall()
    except duckdb.Error as error:
        raise UbiError(_told(error)) from error


def _told(error: Exception) -> str:
    """DuckDB's reason without the drawing of where."""
    return " ".join(str(error).partition("\n\n")[0].split())


def _view(name: str, text: str, select: str) -> View:
    return View(name, text, f"CREATE OR REPLACE VIEW {name} AS\n{select}")


def _name(statement: str) -> str:
    match = re.match(r"CREATE OR REPLACE VIEW (\w+) AS", statement)
    assert match is not None, statement
    return match[1]


def _parquet(files: str) -> str:
    return f"read_parquet({files}, union_by_name = true, hive_partitioning = false)"


def _file(path: Path, more: str = "") -> str:
    """Rows of an insurer's file. DuckDB forgets the zone of a column, so that times are made local ones here."""
    name = _quoted(path.resolve())
    if path.suffix == ".csv":
        return f"FROM read_csv({name}, {_CSV}) SELECT *{more}"
    zones = {
        '"' + column.replace('"', '""') + '"': kind.time_zone
        for column, kind in pl.read_parquet_schema(path).items()
        if isinstance(kind, pl.Datetime) and kind.time_zone is not None
    }
    local = ", ".join(f"{column} AT TIME ZONE {_quoted(zone)} AS {column}" for column, zone in zones.items())
    return f"FROM {_parquet(name)} SELECT *{f' REPLACE ({local})' if local else ''}{more}"


def _quoted(text: Path | str) -> str:
    return "'" + str(text).replace("'", "''") + "'"
