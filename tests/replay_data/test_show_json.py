"""`ubi replay --show --json`: what a tester sees, for a program."""

from __future__ import annotations

import json

import ubi
from device.contract.recording import RecordingHead, write_recording
from device.contract.signals import Reading
from replay_data.recording import read_recording
from replay_data.view import view
from tests.conftest import REPOSITORY

TRIPS = REPOSITORY / "replay_data" / "trips"
STOP = TRIPS / "sim-reckless-2_2025-11-05_0840_city-emergency-stop.ubirec"
CALM = TRIPS / "sim-calm-2_2025-11-03_0751_city.ubirec"


def shown(capsys, *arguments):
    assert ubi.main(["replay", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_trips_events_and_curves_are_those_of_the_messages(capsys):
    (told,) = shown(capsys, STOP, "--show")
    (trip,) = view(read_recording(STOP)).trips
    (row,) = told["trips"]
    assert (told["file"], told["device_id"], told["simulated"]) == (STOP.name, "sim-reckless-2", True)
    assert row["started_at"].startswith("2025-11-05T08:40:")
    assert row["started_at"].endswith("+08:00")
    assert row["summary"]["distance_mm"] == trip.end.summary.distance_mm
    assert [(event["kind"], event["onset_ms"], event["peak"]) for event in row["events"] if event["level"] == 2] == [
        ("harsh_braking", event.onset_ms, event.peak) for event in trip.events if event.level == 2
    ]
    assert len(row["events"]) == len(trip.events)
    speeds = [sample.speed_dkmh for sample in trip.samples if sample.speed_dkmh is not None]
    assert row["curves"]["speed_dkmh"] == {"samples": len(speeds), "least": 0, "greatest": max(speeds)}
    assert "accel_lat_cmps2" not in row["curves"]  # nothing in this car tells it


def test_several_recordings_are_one_list_and_the_page_is_written_as_well(capsys, tmp_path):
    told = shown(capsys, STOP, CALM, "--html", tmp_path)
    assert [row["file"] for row in told] == [STOP.name, CALM.name]
    assert len(list(tmp_path.glob("*.html"))) == 2


def test_a_recording_without_a_trip_has_none_and_a_time_without_a_zone_is_utc(capsys, tmp_path):
    path = tmp_path / "parked.ubirec"
    write_recording(path, RecordingHead("test"), [Reading(t, "ambient_c", 20.0) for t in range(0, 10_000, 1_000)])
    assert shown(capsys, path, "--show")[0]["trips"] == []
    driven = [Reading(t, "speed_kmh", 50.0) for t in range(0, 60_000, 500)]
    write_recording(path, RecordingHead("test", started_at_ms=1_762_156_800_000), driven)
    assert shown(capsys, path, "--show")[0]["trips"][0]["started_at"] == "2025-11-03T08:00:00.000Z"


def test_what_was_sent_and_what_is_seen_are_not_mixed_on_stdout(capsys):
    assert ubi.main(["replay", str(STOP), "--show", "--json", "--broker", "mqtt://localhost"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "without --broker" in captured.err
