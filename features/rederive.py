"""Derive sealed motion again and hold it against what the device said: the law of parity on real data."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl
from tqdm import tqdm

from device.contract.errors import UbiError
from device.contract.trip import HISTOGRAM_FIELDS, SCALAR_FIELDS
from features.derive import HEADS, Derived, derive
from features.engine import Engine, here
from ingest.contract import tables
from ingest.contract.lake import Group, Lake, read_files
from ingest.contract.publish import to_parquet

# Why a trip is or is not told to agree.
AGREES: Final = "agrees"
DIFFERS: Final = "differs"
NOT_COMPARED: Final = "not compared"


class GroupTask(NamedTuple):
    """Sealed files of one group."""

    trips: list[Path]
    events: list[Path]
    motion: list[Path]


def rederive(lake: Lake, *, engine: Engine = here, progress: bool = False) -> pl.DataFrame:
    """Compare every sealed trip that has motion with its derivation.

    Parameters
    ----------
    lake : Lake
    engine : Engine
        Where the work is done: here, or by `features.spark` on a cluster.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    pl.DataFrame
        Sorted by device_id, start_ms and trip_id: trip_id, device_id, recorded_file, samples (of motion) Int64,
        events Int64 (derived), verdict String (AGREES, DIFFERS, or NOT_COMPARED where messages are missing), and
        differs List(String): the summary fields that differ, `events` if those do.

    Raises
    ------
    UbiError
        If nothing is sealed, or a file is damaged.
    """
    if not lake.manifest().groups:
        raise UbiError(f"{lake.root}: nothing is sealed; run 'ubi ingest seal --lake {lake.root}' first")
    tasks = [_task(lake, group) for group in lake.manifest().groups if any(f.table == "motion" for f in group.files)]
    told = tqdm(engine(verdicts, tasks), total=len(tasks), desc="derive", unit="group", disable=not progress)
    parts = [_SCHEMA.to_frame(), *(pl.read_parquet(io.BytesIO(part)) for part in told)]
    return pl.concat(parts).sort("device_id", "start_ms", "trip_id")


def verdicts(task: GroupTask) -> bytes:
    """Derive a group, one motion file after the other (flat memory); verdicts of its trips, as Parquet."""
    trips, events = read_files(task.trips, tables.TRIPS), read_files(task.events, tables.EVENTS)
    heads = trips.select(HEADS.names())
    parts = [_compare(trips, events, derive(read_files([file], tables.MOTION), heads)) for file in task.motion]
    return to_parquet(pl.concat(parts))


_SCHEMA: Final = pl.Schema(
    {
        "trip_id": pl.String(),
        "device_id": pl.String(),
        "recorded_file": pl.String(),
        "start_ms": pl.Int64(),
        "samples": pl.Int64(),
        "events": pl.Int64(),
        "verdict": pl.String(),
        "differs": pl.List(pl.String),
    }
)


def _task(lake: Lake, group: Group) -> GroupTask:
    folder = lake.sealed.resolve()  # the same path on every machine
    return GroupTask(*([folder / f.path for f in group.files if f.table == name] for name in GroupTask._fields))


def _compare(trips: pl.DataFrame, events: pl.DataFrame, derived: Derived) -> pl.DataFrame:
    """Verdict of each trip with motion."""
    of_motion = derived.summaries.select("trip_key")
    said = of_motion.join(trips, on="trip_key", how="left", maintain_order="left")
    wrong = [
        pl.when(~said[name].eq_missing(derived.summaries[name])).then(pl.lit(name)).alias(name)
        for name in (*SCALAR_FIELDS, *HISTOGRAM_FIELDS)
    ]
    same_events = _lists(events, of_motion).eq_missing(_lists(derived.events, of_motion))
    counts = derived.events.group_by("trip_key").agg(events=pl.len().cast(pl.Int64))
    return (
        said.with_columns(samples=derived.summaries["samples"])
        .join(counts, on="trip_key", how="left", maintain_order="left")
        .with_columns(
            pl.col("events").fill_null(0),
            differs=pl.concat_list(
                *wrong, pl.when(~same_events).then(pl.lit("events")).alias("events_differ")
            ).list.drop_nulls(),
        )
        .with_columns(
            verdict=pl.when(~(pl.col("complete") & pl.col("has_motion")))
            .then(pl.lit(NOT_COMPARED))
            .when(pl.col("differs").list.len() > 0)
            .then(pl.lit(DIFFERS))
            .otherwise(pl.lit(AGREES))
        )
        .select(_SCHEMA.names())
    )


def _lists(events: pl.DataFrame, trips: pl.DataFrame) -> pl.Series:
    """Events of each trip as one list, by onset and kind."""
    by_trip = (
        events.sort("trip_key", "onset_ms", "kind")
        .group_by("trip_key", maintain_order=True)
        .agg(pl.struct(tables.DETECTED).alias("events"))
    )
    return trips.join(by_trip, on="trip_key", how="left", maintain_order="left")["events"]
