from __future__ import annotations

import json

import polars as pl
import pytest

from device.contract.errors import RecordingError, UsageError
from device.contract.recording import RecordingHead, write_recording
from device.contract.signals import Reading
from ingest.export import export_recording, targets

READINGS = [Reading(0, "speed_kmh", 12.0), Reading(0, "rpm", None), Reading(400, "speed_kmh", 13.25)]


def test_a_recording_becomes_a_long_table_with_its_head(tmp_path):
    write_recording(tmp_path / "a.ubirec", RecordingHead(source="kit-obd2", vehicle="Seat Leon"), READINGS)
    done = export_recording(tmp_path / "a.ubirec", tmp_path / "out" / "a.parquet")
    assert done.rows == 3
    frame = pl.read_parquet(done.file)
    assert frame.columns == ["t_ms", "signal", "value"]
    assert sorted(frame.rows(), key=str) == sorted(map(tuple, READINGS), key=str)
    head = json.loads(pl.read_parquet_metadata(done.file)["ubi.recording"])
    assert (head["source"], head["vehicle"]) == ("kit-obd2", "Seat Leon")


def test_what_is_no_recording_leaves_no_file(tmp_path):
    (tmp_path / "a.ubirec").write_bytes(b"UBIREC1\n123")
    with pytest.raises(RecordingError):
        export_recording(tmp_path / "a.ubirec", tmp_path / "a.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["a.ubirec"]


def test_two_recordings_of_one_name_are_refused(tmp_path):
    with pytest.raises(UsageError, match="export them apart"):
        targets([tmp_path / "a.ubirec", tmp_path / "b" / "a.ubirec"], tmp_path)
