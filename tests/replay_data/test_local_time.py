"""--zone: where a file was driven, if it does not tell."""

from __future__ import annotations

import pytest

import ubi
from device.contract.recording import RecordingHead, open_recording
from replay_data import cli
from replay_data.importers.local_time import in_zone
from tests.replay_data.tables import COL_HEADER, COL_NAME, written


def test_a_local_start_becomes_utc():
    head = in_zone(RecordingHead("x", notes={"local_start": "2024-07-01T10:00:00.250000"}), "Europe/Berlin")
    assert (head.started_at_ms, head.utc_offset_min) == (1_719_820_800_250, 120)
    assert head.notes == {"zone": "Europe/Berlin"}


def test_a_utc_start_gets_its_local_time():
    head = in_zone(RecordingHead("x", started_at_ms=1_706_788_800_000), "Europe/Berlin")
    assert (head.started_at_ms, head.utc_offset_min) == (1_706_788_800_000, 60)


@pytest.mark.parametrize("head", [RecordingHead("x", started_at_ms=0, utc_offset_min=0), RecordingHead("x")])
def test_what_a_file_tells_stays_and_nothing_is_made_of_nothing(head):
    assert in_zone(head, "Europe/Berlin") == head


def test_import_takes_a_zone(tmp_path):
    path = written(tmp_path / "CSVLog_20181207_182021.csv", ["Time (sec), Vehicle speed (km/h)", "0, 10", "1, 20"])
    out = str(tmp_path / "out")
    assert ubi.main(["replay", "import", str(path), "--out", out, "--zone", "America/New_York"]) == 0
    head, _ = open_recording(tmp_path / "out" / "CSVLog_20181207_182021.ubirec")
    assert (head.started_at_ms, head.utc_offset_min) == (1_544_224_821_000, -300)


@pytest.mark.parametrize("zone", ["Berlin", "../etc/passwd", ""])
def test_a_zone_that_is_none_is_refused(tmp_path, capsys, zone):
    path = written(tmp_path / COL_NAME, [COL_HEADER])
    with pytest.raises(SystemExit) as caught:
        cli.main(["import", str(path), "--out", str(tmp_path), "--zone", zone])
    assert caught.value.code == 2
    assert "is no IANA zone, such as Europe/Berlin" in capsys.readouterr().err
