"""What `ubi replay` says to wrong input, and what it makes of names."""

from __future__ import annotations

import pytest

import ubi
from device.contract.recording import RecordingHead, write_recording
from device.contract.signals import Reading
from replay_data.player import id_of, read_recording


@pytest.mark.parametrize(
    ("name", "device_id"),
    [
        ("Seat León", "Seat-Leon"),
        ("VW  Golf (7) / 2.0", "VW-Golf-7-2-0"),
        ("under_score-dash", "under_score-dash"),
        ("比亚迪", ""),
        ("x" * 70, "x" * 64),
        ("--", ""),
    ],
)
def test_a_device_id_resembles_its_vehicle(name, device_id):
    assert id_of(name) == device_id


def test_a_recording_without_a_usable_name_still_gets_a_device(tmp_path):
    file = tmp_path / "比亚迪.ubirec"
    write_recording(file, RecordingHead("test"), [Reading(0, "speed_kmh", 50.0), Reading(500, "speed_kmh", 50.0)])
    assert read_recording(file).device_id == "recording"


BROKER = ["--broker", "mqtt://localhost"]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["missing.csv", *BROKER], 1, "missing.csv"),
        (["notes.txt", *BROKER], 1, "notes.txt: is of no known format; known are: "),
        (["."], 2, "the following arguments are required: --broker"),
        ([".", *BROKER], 1, "is a folder"),
        (["notes.txt", "--broker", "mqtt://10.0.0.1"], 2, "use mqtts://, or say --insecure"),
        (["notes.txt", *BROKER, "--device", "my car"], 2, "device id 'my car': use 1 to 64 letters"),
        (["notes.txt", *BROKER, "--rate", "fast"], 2, "'fast' is not a number above 0"),
        (["notes.txt", *BROKER, "--rate", "0"], 2, "'0' is not a number above 0"),
        (["notes.txt", *BROKER, "--faults", "broker"], 2, "broker"),
        (["notes.txt", *BROKER, "--jobs", "0"], 2, "'0' is not a whole number above 0"),
        (["notes.txt", "notes.txt", *BROKER], 2, "notes.txt: stands there twice; name it once"),
        (["notes.txt", "--show"], 1, "notes.txt: is of no known format"),
        (["notes.txt", "other.txt", "--html", "page.html"], 1, "notes.txt: is of no known format"),
        (["serve", "notes.txt"], 1, "notes.txt: is of no known format"),
        (["serve", "notes.txt", "--rate", "max"], 2, "'max' is not a number above 0"),
        (["import", "notes.txt", "--out", "out"], 1, "notes.txt: is of no known format"),
        (["import", "notes.txt"], 2, "required: --out"),
    ],
)
def test_wrong_input_is_one_clear_line(tmp_path, monkeypatch, capsys, arguments, status, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("shopping: milk\n")
    try:
        got = ubi.main(["replay", *arguments])
    except SystemExit as end:
        got = end.code
    assert got == status
    assert told in capsys.readouterr().err.splitlines()[-1]
