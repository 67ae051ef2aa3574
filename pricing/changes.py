"""What differs between tables as they were and as they are now, a line each: trips, events, months, plan keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

TOLD: Final = 4  # columns of a changed row


def changed_trips(
    written: pl.DataFrame, now: pl.DataFrame, events: pl.DataFrame, events_now: pl.DataFrame
) -> Iterator[str]:
    """Name each trip that is not as it was, and each of its events.

    Parameters
    ----------
    written, now : polars.DataFrame
        `features.contract.tables.TRIPS`.
    events, events_now : polars.DataFrame
        EVENTS of these trips.
    """
    before = {row["trip_id"]: row for row in written.iter_rows(named=True)}
    after = {row["trip_id"]: row for row in now.iter_rows(named=True)}
    for trip in sorted(before.keys() | after.keys()):
        if trip not in after:
            yield f"trip {trip} of {before[trip]['start']:%Y-%m-%d %H:%M} is not in the lake"
        elif trip not in before:
            yield f"trip {trip} of {after[trip]['start']:%Y-%m-%d %H:%M} came after the features were built"
        elif before[trip]["content"] != after[trip]["content"] or before[trip] != after[trip]:
            of_events = [*_changed_events(_of_trip(events, trip), _of_trip(events_now, trip))]
            told = _differences(before[trip], after[trip], ("content",))
            hidden = "" if told or of_events else "a number of its summary that stands in no published column"
            yield f"trip {trip} of {before[trip]['start']:%Y-%m-%d %H:%M}: {'; '.join([*told, *of_events]) or hidden}"


def _changed_events(written: list[dict[str, Any]], now: list[dict[str, Any]]) -> Iterator[str]:
    def name(event: dict[str, Any]) -> str:
        return f"{event['kind']} at {event['onset']:%H:%M:%S}"

    before, after = ({(name(e), e["level"]): e for e in events} for events in (written, now))
    for key in sorted(before.keys() | after.keys()):
        if key not in after:
            yield f"event {key[0]}, level {key[1]}, is gone"
        elif key not in before:
            yield f"event {key[0]}, level {key[1]}, is new"
        elif before[key] != after[key]:
            yield f"event {key[0]}: {', '.join(_differences(before[key], after[key]))}"


def _of_trip(events: pl.DataFrame, trip: str) -> list[dict[str, Any]]:
    return events.filter(pl.col("trip_id") == trip).to_dicts()


def changed_periods(written: pl.DataFrame, now: pl.DataFrame, ignored: tuple[str, ...]) -> Iterator[str]:
    """Name each month of a driver whose sums differ.

    Parameters
    ----------
    written, now : polars.DataFrame
        `features.contract.periods.DRIVER_PERIODS`.
    ignored : tuple of str
        Columns that are not compared.
    """
    key = ("month", "policy_id")
    before, after = ({tuple(row[k] for k in key): row for row in f.iter_rows(named=True)} for f in (written, now))
    for month, policy in sorted(before.keys() | after.keys(), key=lambda row: (row[0], row[1] or "")):
        where = f"{month:%Y-%m}" + ("" if policy is None else f", policy {policy}")
        if (month, policy) not in after:
            yield f"{where}: is not in the lake"
        elif (month, policy) not in before:
            yield f"{where}: is in the lake only"
        else:
            told = _differences(before[month, policy], after[month, policy], ignored)
            if told:
                yield f"{where}: {'; '.join(told)}"


def _differences(before: dict[str, Any], after: dict[str, Any], ignored: tuple[str, ...] = ()) -> list[str]:
    """Columns that differ, with both values; long ones by name alone."""
    told = [
        name if isinstance(value, list) else f"{name} {value} -> {after[name]}"
        for name, value in before.items()
        if name not in ignored and value != after[name]
    ]
    return told if len(told) <= TOLD else [*told[:TOLD], f"and {len(told) - TOLD} more"]


def changed_keys(trained: dict[str, Any], given: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """Name each key of a plan that differs, with both values; plans as `Plan.to_dict` gives them."""
    for name, value in trained.items():
        if isinstance(value, dict):
            yield from changed_keys(value, given[name], f"{prefix}{name}.")
        elif value != given[name]:
            yield f"{prefix}{name}: {value} in the model, {given[name]} in the file"
