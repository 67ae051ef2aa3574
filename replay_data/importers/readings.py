"""From cells to readings: numbers, plausible ranges, order."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from device.contract.errors import RecordingError
from device.contract.recording import quantised, reading_order
from device.contract.signals import Reading, Signal


def reading_of(t_ms: int, signal: Signal, cell: str, repairs: Counter[str]) -> Reading:
    """Make the reading a cell holds, in quanta of the signal.

    An empty cell is a null reading. So is one that is no number or lies outside the signal's bounds; those are counted
    in `repairs` as "unreadable_<signal>" and "implausible_<signal>".
    """
    if not cell:
        return Reading(t_ms, signal.name, None)
    try:
        value = float(cell)
    except ValueError:
        repairs[f"unreadable_{signal.name}"] += 1
        return Reading(t_ms, signal.name, None)
    if not signal.low <= value <= signal.high:
        repairs[f"implausible_{signal.name}"] += 1
        return Reading(t_ms, signal.name, None)
    return Reading(t_ms, signal.name, quantised(signal, value))


def require_speed(path: Path, readings: list[Reading], repairs: Counter[str]) -> None:
    """Refuse a file without a single speed, with RecordingError."""
    if any(r.signal == "speed_kmh" and r.value is not None for r in readings):
        return
    found = ", ".join(f"{name}: {count}" for name, count in sorted(repairs.items()) if count)
    raise RecordingError(str(path), f"no speed reading in the file ({found or 'the column is empty'})")


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
