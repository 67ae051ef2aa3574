"""Recordings as Parquet, on the insurer's side: the car has no data frames."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from device.contract.errors import UsageError
from device.contract.recording import open_recording
from ingest.contract import durable

READINGS: Final = pl.Schema({"t_ms": pl.Int64, "signal": pl.String, "value": pl.Float64})


class Exported(NamedTuple):
    """One file written, and its rows."""

    file: str
    rows: int


def export_recording(path: Path, target: Path) -> Exported:
    """Write a recording's readings as a long table.

    Columns: `t_ms` (since the recording's start), `signal`, `value` (in the signal's unit; null: asked, no valid
    answer), sorted as in the recording. The head stands in the file's metadata under the key `ubi.recording`.

    Raises
    ------
    RecordingError
        If the recording cannot be read.
    """
    head, readings = open_recording(path)
    frame = pl.DataFrame(list(readings), schema=READINGS, orient="row")
    buffer = io.BytesIO()
    metadata = {"ubi.recording": json.dumps(asdict(head), sort_keys=True)}
    frame.write_parquet(buffer, compression="zstd", row_group_size=250_000, metadata=metadata)
    durable.commit({target: buffer.getvalue()})
    return Exported(str(target), frame.height)


def targets(paths: Sequence[Path], out: Path) -> dict[Path, Path]:
    """Where each recording goes: its own name, in `out`.

    Raises
    ------
    UsageError
        If two would have the same name.
    """
    chosen: dict[Path, Path] = {}
    for path in paths:
        target = out / f"{path.stem}.parquet"
        if chosen.setdefault(target, path) != path:
            raise UsageError(f"{path}: would be written as {target}, and so would {chosen[target]}; export them apart")
    return {path: target for target, path in chosen.items()}
