"""Tables in which an empty cell means that nothing was read then, and a location stands on every row, fresh or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from device.contract.signals import Reading
from replay_data.importers.readings import collected, in_order, require_speed
from replay_data.importers.table import Column, Table

LOCATION: Final = ("latitude_deg", "longitude_deg")
RECEIVER: Final = range(40, 50)  # numbers of the signals of a GNSS receiver


def sparse_readings(table: Table, columns: Sequence[Column], fix_key: str = "") -> list[Reading]:
    """Read every filled cell of the known columns; a location only when it differs from the row before it.

    Latitude and longitude 0 together are what receivers tell before they know: no location.

    Parameters
    ----------
    table : Table
    columns : sequence of Column
    fix_key : str
        Key of a column that changes with each fix of the receiver, if there is one: the receiver's cells of a row are
        read only where it changed.

    Raises
    ------
    RecordingError
        No speed was read in the whole file, or it holds more readings than memory should.
    """
    fix = table.keys.index(fix_key) if fix_key in table.keys else None
    readings = collected(table.path, _readings(table, columns, fix))
    require_speed(table.path, readings, table.repairs)
    return in_order(readings, table.repairs)


def _readings(table: Table, columns: Sequence[Column], fix: int | None) -> Iterator[Reading]:
    located = [column for column in columns if column.signal.name in LOCATION]
    received = [column for column in columns if column.signal.number in RECEIVER and column not in located]
    measured = [column for column in columns if column.signal.number not in RECEIVER]
    place, fixed = [""], ""
    for row in table.rows():
        cells, repairs = row.cells, table.repairs
        yield from (column.reading(row.t_ms, cells, repairs) for column in measured if _filled(table, cells, column))
        if fix is not None and cells[fix] == fixed:
            continue
        fixed = cells[fix] if fix is not None else ""
        yield from (column.reading(row.t_ms, cells, repairs) for column in received if _filled(table, cells, column))
        now = [cells[column.position] for column in located]
        if now != place and all(_filled(table, cells, column) for column in located):
            place = now
            where = [column.reading(row.t_ms, cells, repairs) for column in located]
            if any(reading.value != 0 for reading in where):
                yield from where


def _filled(table: Table, cells: list[str], column: Column) -> bool:
    return cells[column.position].strip() not in table.nothing
