"""Tables in which an empty cell means that nothing was read then, and a location stands on every row, fresh or not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from device.contract.signals import Reading
from replay_data.importers.readings import collected, in_order, require_speed
from replay_data.importers.table import Column, Row, Table

LOCATION: Final = ("latitude_deg", "longitude_deg")
FIX_EVERY_MS: Final = 1_000
RECEIVER: Final = range(40, 50)  # numbers of the signals of a GNSS receiver


def sparse_readings(
    table: Table, columns: Sequence[Column], fix_key: str = "", *, fix_on_change: bool = False
) -> list[Reading]:
    """Read every filled cell of the known columns; a location only when it differs from the row before it.

    Latitude and longitude 0 together are what receivers tell before they know: no location.

    Parameters
    ----------
    table : Table
    columns : sequence of Column
    fix_key : str
        Key of a column that changes with each fix of the receiver, if there is one: the receiver's cells of a row are
        read only where it changed.
    fix_on_change : bool
        Without such a column: read the receiver's cells only where one of them changed, and once a second.

    Raises
    ------
    RecordingError
        No speed was read in the whole file, or it holds more readings than memory should.
    """
    received = [column.position for column in columns if column.signal.number in RECEIVER]
    told = [table.keys.index(fix_key)] if fix_key in table.keys else received if fix_on_change else []
    new_fix = NewFix(told, None if fix_key in table.keys else FIX_EVERY_MS)
    readings = collected(table.path, _readings(table, columns, new_fix))
    require_speed(table.path, readings, table.repairs)
    return in_order(readings, table.repairs)


class NewFix:
    """Tells whether a row holds another fix of the receiver than the row before it.

    Parameters
    ----------
    told : list of int
        Positions of the cells that a new fix changes; none: every row is one.
    every_ms : int or None
        After so long a fix that says the same is a new one.
    """

    def __init__(self, told: list[int], every_ms: int | None) -> None:
        self._told = told
        self._every_ms = every_ms
        self._cells: list[str] | None = None
        self._since_ms = 0

    def holds(self, row: Row) -> bool:
        """Take the next row."""
        cells = [row.cells[position] for position in self._told]
        is_old = self._every_ms is None or row.t_ms - self._since_ms < self._every_ms
        if self._told and cells == self._cells and is_old:
            return False
        self._cells, self._since_ms = cells, row.t_ms
        return True


def _readings(table: Table, columns: Sequence[Column], new_fix: NewFix) -> Iterator[Reading]:
    located = [column for column in columns if column.signal.name in LOCATION]
    received = [column for column in columns if column.signal.number in RECEIVER and column not in located]
    measured = [column for column in columns if column.signal.number not in RECEIVER]
    place = [""]
    for row in table.rows():
        cells, repairs = row.cells, table.repairs
        yield from (column.reading(row.t_ms, cells, repairs) for column in measured if _filled(table, cells, column))
        if not new_fix.holds(row):
            continue
        yield from (column.reading(row.t_ms, cells, repairs) for column in received if _filled(table, cells, column))
        now = [cells[column.position] for column in located]
        if now != place and all(_filled(table, cells, column) for column in located):
            place = now
            where = [column.reading(row.t_ms, cells, repairs) for column in located]
            if all(reading.value is not None for reading in where) and any(reading.value for reading in where):
                yield from where


def _filled(table: Table, cells: list[str], column: Column) -> bool:
    return cells[column.position].strip() not in table.nothing
