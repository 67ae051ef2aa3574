"""Tables in which an empty cell means that nothing was read then, and a location stands on every row, fresh or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from device.contract.signals import Reading, Signal
from replay_data.importers.readings import in_order, reading_of, require_speed
from replay_data.importers.table import Table

LOCATION: Final = ("latitude_deg", "longitude_deg")


def sparse_readings(table: Table, columns: Sequence[tuple[int, Signal]]) -> list[Reading]:
    """Read every filled cell of the known columns; a location only when it differs from the row before it.

    Raises
    ------
    RecordingError
        No speed was read in the whole file.
    """
    measured = [(i, signal) for i, signal in columns if signal.name not in LOCATION]
    located = [(i, signal) for i, signal in columns if signal.name in LOCATION]
    readings: list[Reading] = []
    before: list[str] = []
    for row in table.rows():
        cells = row.cells
        readings += [reading_of(row.t_ms, s, cells[i], table.repairs) for i, s in measured if cells[i]]
        place = [cells[i] for i, _ in located]
        if place != before and all(place):
            readings += [reading_of(row.t_ms, s, cells[i], table.repairs) for i, s in located]
            before = place
    require_speed(table.path, readings, table.repairs)
    return in_order(readings, table.repairs)
