"""KIT OBD-II CSV (`YYYY-MM-DD_Make_Model_FROM_TO_Labels.csv`): ONE value refreshed a row, the rest stale copies.

The logger asks its PIDs round robin in column order and writes a row per answer. So a changed cell tells whose turn its
row was, the phase: (line - column) mod columns. Between two changes of equal phase each row's turn is known and its
value was read then, changed or not. Where the phase differs a PID was skipped in between: only the changes are certain.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from device.contract.recording import RecordingHead
from device.contract.signals import BY_NAME, Reading, Signal
from replay_data.importers.clock import DayClock, day_in, started
from replay_data.importers.readings import in_order, reading_of, require_speed
from replay_data.importers.table import Row, Table, header_keys

NAME: Final = "kit-obd2"
TITLE: Final = "KIT OBD-II CSV"
ZONE: Final = "Europe/Berlin"
GAP_MS: Final = 1_000  # the logger stood still or the adapter was lost: whose turn it is must be learnt anew
COLUMNS: Final = {
    "engine coolant temperature c": "coolant_c",
    "intake manifold absolute pressure kpa": "map_kpa",
    "engine rpm rpm": "rpm",
    "vehicle speed sensor km/h": "speed_kmh",
    "intake air temperature c": "intake_c",
    "air flow rate from mass flow sensor g/s": "maf_gps",
    "absolute throttle position %": "throttle_pct",
    "ambient air temperature c": "ambient_c",
    "accelerator pedal position d %": "pedal_d_pct",
    "accelerator pedal position e %": "pedal_e_pct",
}
FILE_NAME: Final = re.compile(r"(?P<day>\d{4}-\d\d-\d\d)_(?P<make>[^_]+)_(?P<model>[^_]+)_")


def sniff(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    keys = header_keys(first_bytes)
    return keys[:1] == ["time"] and len(COLUMNS.keys() & set(keys)) >= 3


def read(path: Path) -> tuple[RecordingHead, list[Reading]]:
    """Read a drive. Raises RecordingError where that is not possible."""
    table = Table(path, DayClock())
    table.columns(COLUMNS, speed_header="Vehicle Speed Sensor [km/h]")
    turns = RoundRobin(table)
    for row in table.rows():
        turns.push(row)
    turns.lose_phase()
    require_speed(path, turns.readings, table.repairs)
    readings = in_order(turns.readings, table.repairs)
    return _head(path, table), readings


class RoundRobin:
    """Finds the fresh value of each row.

    Attributes
    ----------
    readings : list of Reading
        What is certain so far. Rows whose turn stays open are counted in the table's repairs ("rows_not_attributed").
    """

    def __init__(self, table: Table) -> None:
        self.readings: list[Reading] = []
        self._repairs = table.repairs
        self._signals = [BY_NAME[COLUMNS[key]] if key in COLUMNS else None for key in table.keys[1:]]
        self._phase: int | None = None
        self._pending: list[tuple[int, Signal | None, str]] = []  # fresh if the next change has the same phase
        self._before: Row | None = None

    def push(self, row: Row) -> None:
        """Take the next row."""
        changed = self._changed(row)
        if not changed:
            self._await(row)
            return
        phase = (row.line - changed[0]) % len(self._signals) if len(changed) == 1 else None
        if phase is None or phase != self._phase:
            self.lose_phase()
        for t_ms, signal, cell in self._pending:
            self._keep(t_ms, signal, cell)
        self._pending.clear()
        for turn in changed:
            self._keep(row.t_ms, self._signals[turn], row.cells[turn + 1])
        self._phase = phase

    def lose_phase(self) -> None:
        """Leave out the rows since the last change; whose turn they were is not certain."""
        self._repairs["rows_not_attributed"] += len(self._pending)
        self._pending.clear()
        self._phase = None

    def _changed(self, row: Row) -> list[int]:
        before, self._before = self._before, row
        if before is None:
            filled = [turn for turn, cell in enumerate(row.cells[1:]) if cell]
            return filled if len(filled) == 1 else []  # of several filled cells all but one are stale
        damaged_between = row.line != before.line + 1
        if damaged_between or row.t_ms - before.t_ms > GAP_MS:
            self.lose_phase()
        if damaged_between:
            return []
        if row.cells[1:] == before.cells[1:]:
            return []
        return [turn for turn in range(len(self._signals)) if row.cells[turn + 1] != before.cells[turn + 1]]

    def _await(self, row: Row) -> None:
        if self._phase is None:
            self._repairs["rows_not_attributed"] += 1
            return
        turn = (row.line - self._phase) % len(self._signals)
        self._pending.append((row.t_ms, self._signals[turn], row.cells[turn + 1]))

    def _keep(self, t_ms: int, signal: Signal | None, cell: str) -> None:
        if signal is not None:
            self.readings.append(reading_of(t_ms, signal, cell, self._repairs))


def _head(path: Path, table: Table) -> RecordingHead:
    match = FILE_NAME.match(path.name)
    day = day_in(match["day"]) if match else None
    started_at_ms, utc_offset_min = started(day, table.clock.first_ms, ZONE)
    labels = path.stem[match.end() :].replace("_", " ") if match else ""
    return RecordingHead(
        source=NAME,
        original=table.original,
        vehicle=f"{match['make']} {match['model']}" if match else "",
        started_at_ms=started_at_ms,
        utc_offset_min=utc_offset_min,
        repairs={name: count for name, count in table.repairs.items() if count},
        notes={"zone": ZONE, "labels": labels} if match else {},
    )
