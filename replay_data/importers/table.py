"""Rows of a CSV recording, one at a time, with their monotonic time; damaged ones are counted, too many refused."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from device.contract.errors import RecordingError
from device.contract.signals import BY_NAME, Signal
from replay_data.importers.clock import DayClock

MAX_LINE_CHARS: Final = 65_536
# A file cut short has one damaged row, a bad card a few; a file of another shape has most of its rows.
MAX_DAMAGED_SHARE: Final = 0.01


class Row(NamedTuple):
    """A whole row: 1-based line, monotonic time since the first row, all cells (the time cell too)."""

    line: int
    t_ms: int
    cells: list[str]


class Table:
    """A comma-separated recording with a header line and a time of day in its first column.

    Parameters
    ----------
    path : Path
    late_ms : int
        See DayClock.

    Attributes
    ----------
    original : str
        Base name of the file, as text that can be stored.
    keys : list of str
        Header cells as `column_key` writes them; empty names at the end are left out.
    repairs : Counter
        What was repaired or left out so far.
    """

    def __init__(self, path: Path, late_ms: int = 0) -> None:
        self.path = path
        self.original = path.name.encode("utf-8", "replace").decode()
        self.repairs: Counter[str] = Counter()
        self.clock = DayClock(self.repairs, late_ms)
        with path.open("rb") as file:
            self.keys = header_keys(file.readline(MAX_LINE_CHARS))

    def columns(self, names: Mapping[str, str], speed_header: str) -> list[tuple[int, Signal]]:
        """Position and signal of each column that is known.

        Parameters
        ----------
        names : mapping of str to str
            Column key to signal name.
        speed_header : str
            What the speed column is called, for the error.

        Raises
        ------
        RecordingError
            No speed: nothing can be rated from the file.
        """
        known = [(i, BY_NAME[names[key]]) for i, key in enumerate(self.keys) if key in names]
        if not any(signal.name == "speed_kmh" for _, signal in known):
            raise RecordingError(str(self.path), f"no column {speed_header!r}, and a trip needs its speed", line=1)
        return known

    def rows(self) -> Iterator[Row]:
        """Yield the whole rows in file order.

        Raises
        ------
        RecordingError
            No row at all, or more than MAX_DAMAGED_SHARE of them damaged; names the first damaged line and why.
        """
        whole, damaged, first_fault = 0, 0, (2, "no rows after the header")
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
        with self.path.open(encoding="utf-8-sig", errors="replace") as file:
            file.readline(MAX_LINE_CHARS)
            for line, text in enumerate(iter(lambda: file.readline(MAX_LINE_CHARS), ""), start=2):
                if text.strip():
                    yield line, text.rstrip("\n")

    def _parse(self, text: str) -> tuple[int, list[str]]:
        cells = next(csv.reader([text])) if '"' in text else text.split(",")
        width = len(self.keys)
        if len(cells) != width:
            if len(cells) < width or any(cells[width:]):
                raise ValueError(f"{len(cells)} cells where the header has {width}")
            del cells[width:]
        return self.clock.read(cells[0]), cells


def column_key(name: str) -> str:
    """Header cell without what encodings mangle: ASCII letters, digits, / and % in lower case, single spaces.

    "Engine Coolant Temperature [Â°C]" -> "engine coolant temperature c".
    """
    return re.sub(r"[^a-z0-9/%_]+", " ", name.lower().encode("ascii", "ignore").decode()).strip()


def header_keys(first_bytes: bytes) -> list[str]:
    """Column keys of the header line that a file's first bytes hold; empty names at the end are left out."""
    line = re.split("[\r\n]", first_bytes.decode("utf-8-sig", "replace"), maxsplit=1)[0]
    try:
        keys = [column_key(name) for name in next(csv.reader([line]), [])]
    except csv.Error:
        return []
    while keys and not keys[-1]:
        keys.pop()
    return keys
