"""Every file of the shared data over a real broker into a real lake, or refused; a table by data set on stdout.

pytest -m long -s tests/e2e/test_every_data_set.py
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path

import polars as pl
import pytest

import ubi
from device.contract.errors import RecordingError
from ingest.contract.lake import Lake
from replay_data.recording import read_recording
from tests.ingest.process import Ingest

pytestmark = [pytest.mark.broker, pytest.mark.long, pytest.mark.timeout(1_800)]


def sorted_out(folder: Path) -> tuple[list[Path], dict[Path, str]]:
    """Recordings, and what is refused with its reason."""
    files, refused = [], {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            try:
                read_recording(path)
                files.append(path)
            except RecordingError as error:
                refused[path] = str(error)
    return files, refused


def run(*words: object) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert ubi.main([str(word) for word in words]) == 0
    return out.getvalue()


def test_every_recording_arrives_whole_and_every_other_file_is_refused_with_what_to_do(
    shared_data, mosquitto, tmp_path
):
    files, refused = sorted_out(shared_data)
    lake = tmp_path / "lake"
    with Ingest(mosquitto.url, lake) as ingest:
        words = ("replay", *files, "--broker", mosquitto.url, "--outbox", tmp_path / "outbox", "--jobs", 2, "--json")
        told = json.loads(run(*words))
        assert ingest.stop()[0] == 0
    run("features", "build", "--lake", lake, "--out", tmp_path / "features")
    assert [row["file"] for row in told] == [path.name for path in files]
    assert all(row["messages"] == row["acked"] >= row["trips"] and not row["rejected"] for row in told)
    sealed = Lake.existing(lake).scan("trips").collect()
    assert sealed.select(pl.col("complete", "chain_ok").all()).row(0) == (True, True)
    assert sealed.height == sum(row["trips"] for row in told)
    assert sum(row["distance_m"] for row in told) == pytest.approx(sealed["distance_mm"].sum() / 1e3, abs=len(told))
    built = pl.read_parquet(tmp_path / "features" / "trips.parquet")
    assert built.height == sealed.height
    for path, reason in refused.items():
        assert reason.startswith(str(path)), reason
        assert "\n" not in reason
    sys.stdout.write(f"\n{table(shared_data, files, refused, told)}\n")


def table(shared: Path, files: list[Path], refused: dict[Path, str], told: list[dict[str, int]]) -> str:
    """Counts by data set, as Markdown."""

    def data_set(path: Path) -> str:
        return path.relative_to(shared).parts[0]

    names = sorted({data_set(path) for path in [*files, *refused] if path.parent != shared})
    lines = [
        "| data set | files replayed | trips | km | events | messages | refused |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        rows = [row for path, row in zip(files, told, strict=True) if data_set(path) == name]
        reasons = [reason for path, reason in refused.items() if data_set(path) == name]
        total = {key: sum(row[key] for row in rows) for key in ("trips", "distance_m", "events", "messages")}
        lines.append(
            f"| `{name}` | {len(rows)} | {total['trips']} | {total['distance_m'] / 1e3:,.1f} | {total['events']} | "
            f"{total['messages']:,} | {len(reasons)} |"
        )
    for path, reason in refused.items():
        lines.append(f"refused: {path.relative_to(shared)}{reason.removeprefix(str(path))}")
    return "\n".join(lines)
