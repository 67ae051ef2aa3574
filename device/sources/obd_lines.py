"""What the polling process says, line by line: JSON, made in the one process and checked in the other.

{"stage": S, "searching": B}                the adapter lives; what is being done, and whether it searches the bus
{"adapter": T, "protocol": T, "pids": [N]}  connected; with "clone", "vin" and "baudrate" where they are known
[NS, SIGNAL, VALUE, REFUSAL]                a reply at NS since boot; VALUE or REFUSAL is null
{"failed": T, "stale": B}                   the end, and why
"""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

from device.contract.signals import BY_NAME, Reading
from device.sources.source import NANOSECONDS_PER_MS
from device.sources.vin import VIN

MAX_LINE: Final = 8_192
MAX_TEXT: Final = 255


class Stage(NamedTuple):
    """The adapter lives."""

    name: str
    searching: bool


class Connected(NamedTuple):
    """Adapter and car answer. `adapter` is one line of what it says and can do."""

    adapter: str
    protocol: str
    pids: tuple[int, ...]
    is_clone: bool
    vin: str | None
    baudrate: int | None


class Reply(NamedTuple):
    """A reply: a value, or why it is none (a value of `j1979.Refusal`)."""

    reading: Reading
    refusal: str | None


class Failed(NamedTuple):
    """The process ends. `stale`: because the adapter repeats itself."""

    reason: str
    stale: bool


Line = Stage | Connected | Reply | Failed


def parse_line(text: bytes) -> Line | None:
    """Return what a line says; None if it is none of ours: a library may print, a process may die in mid-line."""
    if len(text) > MAX_LINE:
        return None
    try:
        line = json.loads(text)
        if isinstance(line, list):
            return _reply(line)
        return _told(line) if isinstance(line, dict) else None
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def make_line(line: Line) -> str:
    """Return the line that says it, with its end."""
    if isinstance(line, Reply):
        t_ms, signal, value = line.reading
        return json.dumps([t_ms * NANOSECONDS_PER_MS, signal, value, line.refusal]) + "\n"
    if isinstance(line, Stage):
        told: dict[str, Any] = {"stage": line.name, "searching": line.searching}
    elif isinstance(line, Failed):
        told = {"failed": line.reason, "stale": line.stale}
    else:
        told = line._asdict()
        told["clone"] = told.pop("is_clone")
    return json.dumps(told) + "\n"


def _reply(line: list[Any]) -> Reply | None:
    t_ns, name, value, refusal = line
    signal = BY_NAME[name]
    if not isinstance(t_ns, int) or t_ns < 0 or not (refusal is None or isinstance(refusal, str)):
        return None
    if value is not None and not (isinstance(value, (int, float)) and signal.low <= value <= signal.high):
        return None
    if (value is None) == (refusal is None):
        return None
    return Reply(Reading(t_ns // NANOSECONDS_PER_MS, name, value), refusal and refusal[:MAX_TEXT])


def _told(line: dict[str, Any]) -> Line | None:
    if "failed" in line:
        return Failed(_text(line["failed"]), line.get("stale") is True)
    if "stage" in line:
        return Stage(_text(line["stage"]), line.get("searching") is True)
    vin, baudrate, pids = line.get("vin"), line.get("baudrate"), line["pids"]
    return Connected(
        adapter=_text(line["adapter"]),
        protocol=_text(line["protocol"]),
        pids=tuple(pid for pid in pids if isinstance(pid, int) and 0 <= pid < 256),
        is_clone=line.get("clone") is True,
        vin=vin if isinstance(vin, str) and VIN.fullmatch(vin) else None,
        baudrate=baudrate if isinstance(baudrate, int) and baudrate > 0 else None,
    )


def _text(value: Any) -> str:
    return "".join(c for c in str(value) if c.isprintable())[:MAX_TEXT]
