"""From cells to readings: numbers, units, plausible ranges, order; how many fit into memory."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from device.contract.errors import RecordingError
from device.contract.recording import quantised, reading_order
from device.contract.signals import Reading, Signal
from replay_data.importers.units import SAME, Unit

# A player holds a recording whole, 120 bytes a reading: 0.6 GB. It is a day at 57 readings a second.
MAX_READINGS: Final = 5_000_000
DECIMAL_COMMA: Final = re.compile(r"\s*[-+]?\d+,\d+\s*")
SPEEDS: Final = ("speed_kmh", "gnss_speed_kmh")


def reading_of(t_ms: int, signal: Signal, cell: str, repairs: Counter[str], unit: Unit = SAME) -> Reading:
    """Make the reading a cell holds, in quanta of the signal.

    An empty cell is a null reading. So is one that is no number or lies outside the signal's bounds; those are counted
    in `repairs` as "unreadable_<signal>" and "implausible_<signal>". A decimal comma is read ("decimal_commas").
    """
    if not cell:
        return Reading(t_ms, signal.name, None)
    try:
        value = float(cell)
    except ValueError:
        if not DECIMAL_COMMA.fullmatch(cell):
            repairs[f"unreadable_{signal.name}"] += 1
            return Reading(t_ms, signal.name, None)
        repairs["decimal_commas"] += 1
        value = float(cell.replace(",", "."))
    return number_reading(t_ms, signal, value * unit.factor + unit.offset, repairs)


def number_reading(t_ms: int, signal: Signal, value: float, repairs: Counter[str]) -> Reading:
    """Make the reading of a number in the signal's unit; one outside its bounds is null and counted."""
    if not signal.low <= value <= signal.high:
        repairs[f"implausible_{signal.name}"] += 1
        return Reading(t_ms, signal.name, None)
    return Reading(t_ms, signal.name, quantised(signal, value))


def require_speed(path: Path, readings: list[Reading], repairs: Counter[str]) -> None:
    """Refuse a file without a single speed, with RecordingError."""
    if any(r.signal in SPEEDS and r.value is not None for r in readings):
        return
    found = ", ".join(f"{name}: {count}" for name, count in sorted(repairs.items()) if count)
    raise RecordingError(str(path), f"no speed reading in the file ({found or 'the column is empty'})")


def collected(path: Path, readings: Iterable[Reading]) -> list[Reading]:
    """Hold readings in memory. Raises RecordingError where they are more than MAX_READINGS."""
    held: list[Reading] = []
    for reading in readings:
        if len(held) == MAX_READINGS:
            raise RecordingError(str(path), f"over {MAX_READINGS:,} readings; split the file, a trip is enough")
        held.append(reading)
    return held


def in_order(readings: list[Reading], repairs: Counter[str]) -> list[Reading]:
    """Sort as a recording wants it.

    Of two readings of a signal at one time the later row's stays; the other is counted ("repeated_readings").
    """
    readings.sort(key=reading_order)
    kept: list[Reading] = []
    for reading in readings:
        if kept and reading[:2] == kept[-1][:2]:
            repairs["repeated_readings"] += 1
            kept[-1] = reading
        else:
            kept.append(reading)
    return kept
