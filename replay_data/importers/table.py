"""Rows of a table in a text file, one at a time, with monotonic time; damaged ones are counted, too many refused."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from device.contract.errors import RecordingError
from device.contract.signals import BY_NAME, Reading, Signal
from replay_data.importers.clock import Clock
from replay_data.importers.readings import SPEEDS, reading_of
from replay_data.importers.units import Unit, conversion, split_unit, unit_key

MAX_LINE_CHARS: Final = 65_536
# A file cut short has one damaged row, a bad card a few; a file of another shape has most of its rows.
MAX_DAMAGED_SHARE: Final = 0.01
DELIMITERS: Final = (",", ";", "\t", "|")
NOTHING: Final = frozenset({"", "-"})


class Row(NamedTuple):
    """A whole row: 1-based line, monotonic time since the first row, all cells (the time cell too)."""

    line: int
    t_ms: int
    cells: list[str]


class Column(NamedTuple):
    """A known column: its position, what it tells, and in which unit."""

    position: int
    signal: Signal
    unit: Unit

    def reading(self, t_ms: int, cells: list[str], repairs: Counter[str]) -> Reading:
        """Make the reading of a row's cell."""
        return reading_of(t_ms, self.signal, cells[self.position], repairs, self.unit)


class Table:
    """A recording of rows under a header line, with the time in one column and any of DELIMITERS between columns.

    Parameters
    ----------
    path : Path
    clock : Clock
    time_keys : str
        Keys of the columns that tell the time, which the clock is given with a blank between; none: the first.
    above : int
        Lines above the header.
    delimiter : str
        What the format has; another one is read too and counted ("other_delimiter").
    decimal : str
        "," where the format writes so. (A stray comma elsewhere is read and counted, see `reading_of`.)
    nothing : frozenset of str
        Cells that say that nothing was read.

    Attributes
    ----------
    original : str
        Base name of the file, as text that can be stored.
    keys : list of str
        Header cells as `column_key` writes them; empty names at the end are left out.
    repairs : Counter
        What was repaired or left out so far.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        time_keys: Sequence[str] = (),
        above: int = 0,
        delimiter: str = ",",
        decimal: str = ".",
        nothing: frozenset[str] = NOTHING,
    ) -> None:
        self.path = path
        self.original = path.name.encode("utf-8", "replace").decode()
        self.clock = clock
        self.repairs = clock.repairs
        self.nothing = nothing
        self._above = above
        self._decimal = decimal
        with path.open("rb") as file:
            for _ in range(above):
                file.readline(MAX_LINE_CHARS)
            header = file.readline(MAX_LINE_CHARS)
        self._header = header.decode("utf-8-sig", "replace").strip()
        self._names = header_cells(header)
        self.keys = [column_key(name) for name in self._names]
        self._delimiter = delimiter_of(header)
        if self._delimiter != delimiter:
            self.repairs["other_delimiter"] += 1
        self._times = [self.keys.index(key) for key in time_keys] or [0]

    def columns(self, names: Mapping[str, str], speed_header: str, *, units: bool = False) -> list[Column]:
        """Find the columns that are known. One of an unknown unit is left out and counted ("unknown_unit_<signal>").

        Parameters
        ----------
        names : mapping of str to str
            Column key to signal name.
        speed_header : str
            What the speed column is called, for the error.
        units : bool
            Whether the header tells units in brackets; the keys are then of names without them.

        Raises
        ------
        RecordingError
            No speed: nothing can be rated from the file.
        """
        known: dict[Signal, Column] = {}
        for position, header in enumerate(self._names):
            name, told = split_unit(header) if units else (header, "")
            if (key := column_key(name)) not in names and column_key(header) in names:
                key, told = column_key(header), ""  # the brackets were part of the name
            signal = BY_NAME.get(names.get(key, ""))
            if signal is None or signal in known:
                continue
            unit = conversion(signal, told)
            if unit is not None:
                known[signal] = Column(position, signal, unit)
            elif signal.name in SPEEDS:
                fault = f"{header.strip()!r} is in {unit_key(told)!r}, which is no known unit of speed"
                raise RecordingError(str(self.path), fault, line=self._above + 1)
            else:
                self.repairs[f"unknown_unit_{signal.name}"] += 1
        if not any(signal.name in SPEEDS for signal in known):
            fault = f"no column {speed_header!r}, and a trip needs its speed"
            raise RecordingError(str(self.path), fault, line=self._above + 1)
        return list(known.values())

    def rows(self) -> Iterator[Row]:
        """Yield the whole rows in file order.

        Raises
        ------
        RecordingError
            No row at all, or more than MAX_DAMAGED_SHARE of them damaged; names the first damaged line and why.
        """
        whole, damaged, first_fault = 0, 0, (self._above + 2, "no rows after the header")
        for line, text in self._lines():
            try:
                row = Row(line, *self._parse(text))
            except (ValueError, csv.Error) as error:
                if not damaged:
                    first_fault = (line, str(error))
                damaged += 1
                continue
            whole += 1
            yield row
        if not whole or damaged > max(1, MAX_DAMAGED_SHARE * (whole + damaged)):
            line, fault = first_fault
            share = f" ({damaged} of {whole + damaged} rows are damaged)" if damaged else ""
            raise RecordingError(str(self.path), f"{fault}{share}", line=line)
        if damaged:
            self.repairs["damaged_rows"] += damaged

    def _lines(self) -> Iterator[tuple[int, str]]:
        first = self._above + 2
        with self.path.open(encoding="utf-8-sig", errors="replace") as file:
            for _ in range(self._above + 1):
                file.readline(MAX_LINE_CHARS)
            for line, text in enumerate(iter(lambda: file.readline(MAX_LINE_CHARS), ""), start=first):
                if text.strip() == self._header:  # the logger was started again
                    self.repairs["repeated_headers"] += 1
                elif text.strip():
                    yield line, text.rstrip("\n")

    def _parse(self, text: str) -> tuple[int, list[str]]:
        cells = next(csv.reader([text], delimiter=self._delimiter)) if '"' in text else text.split(self._delimiter)
        width = len(self.keys)
        if len(cells) != width:
            if len(cells) < width or any(cells[width:]):
                raise ValueError(f"{len(cells)} cells where the header has {width}")
            del cells[width:]
        if self._decimal == ",":
            cells = [cell.replace(",", ".") for cell in cells]
        return self.clock.read(" ".join([cells[i] for i in self._times])), cells


def column_key(name: str) -> str:
    """Header cell without what encodings mangle: ASCII letters, digits, / and % in lower case, single spaces.

    "Engine Coolant Temperature [Â°C]" -> "engine coolant temperature c".
    """
    return re.sub(r"[^a-z0-9/%_]+", " ", name.lower().encode("ascii", "ignore").decode()).strip()


def header_keys(first_bytes: bytes, line: int = 1) -> list[str]:
    """Column keys of the header line that a file's first bytes hold; empty names at the end are left out."""
    return [column_key(name) for name in header_cells(first_bytes, line)]


def header_cells(first_bytes: bytes, line: int = 1) -> list[str]:
    """Header cells as they stand; empty names at the end are left out."""
    text = _line(first_bytes, line)
    try:
        names = next(csv.reader([text], delimiter=delimiter_of(first_bytes, line)), [])
    except csv.Error:
        return []
    while names and not column_key(names[-1]):
        names.pop()
    return names


def delimiter_of(first_bytes: bytes, line: int = 1) -> str:
    """What stands between the cells of the header line: the one of DELIMITERS that is there most often."""
    outside_quotes = re.sub(r'"[^"]*"', "", _line(first_bytes, line))
    return max(DELIMITERS, key=outside_quotes.count)


def _line(first_bytes: bytes, line: int) -> str:
    lines = re.split(rb"\r\n|\r|\n", first_bytes, maxsplit=line)
    return lines[line - 1].decode("utf-8-sig", "replace") if len(lines) >= line else ""
