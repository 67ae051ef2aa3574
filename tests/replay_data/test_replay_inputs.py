"""What `ubi replay` says to wrong input, and what it makes of names."""

from __future__ import annotations

import errno

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
        (["a.ubirec", "--outbox", "notes.txt", *BROKER], 2, "--outbox notes.txt: is no folder; name another"),
        (["a.ubirec", "--ca-file", "ca.pem", *BROKER], 2, "--ca-file ca.pem: mqtt:// asks for no certificate"),
        (["a.ubirec", "--show", "--rate", "60"], 2, "--rate is for playing to a --broker, and there is none"),
        (["a.ubirec", "--show", "--until-acked", "5"], 2, "--until-acked is for playing to a --broker"),
        (["a.ubirec", "--html", "there/page.html"], 2, "--html there/page.html: there is no folder there; make it"),
        (["a.ubirec", "--html", "/dev/full"], 1, "/dev/full: cannot be written: No space left on device"),
        (["import", "a.ubirec", "--out", "notes.txt"], 2, "--out notes.txt: is no folder; name another"),
        (["import", "a.ubirec", "--out", "."], 2, "a.ubirec: would be written over itself; name another folder"),
        (["empty.csv", *BROKER], 1, "empty.csv: is empty; copy or export it again"),
    ],
)
def test_wrong_input_is_one_clear_line(tmp_path, monkeypatch, capsys, arguments, status, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("shopping: milk\n")
    (tmp_path / "empty.csv").touch()
    write_recording(tmp_path / "a.ubirec", RecordingHead("test"), [Reading(0, "speed_kmh", 50.0)])
    before = (tmp_path / "a.ubirec").read_bytes()
    try:
        got = ubi.main(["replay", *arguments])
    except SystemExit as end:
        got = end.code
    assert got == status
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "a.ubirec").read_bytes() == before


def test_of_a_page_that_did_not_fit_nothing_is_left(tmp_path, monkeypatch, capsys):
    path, target = tmp_path / "a.ubirec", tmp_path / "page.html"
    write_recording(path, RecordingHead("test"), [Reading(0, "speed_kmh", 50.0)])

    def half_of_it(self, text, encoding):
        self.write_bytes(text[:10].encode())
        raise OSError(errno.ENOSPC, "No space left on device")  # without a name, as writing does

    monkeypatch.setattr(type(target), "write_text", half_of_it)
    assert ubi.main(["replay", str(path), "--html", str(target)]) == 1
    assert capsys.readouterr().err == f"ubi: error: {target}: cannot be written: No space left on device\n"
    assert not target.exists()


def test_a_recording_of_one_reading_is_no_trip_and_no_error(tmp_path, capsys):
    path = tmp_path / "one.ubirec"
    write_recording(path, RecordingHead("test"), [Reading(0, "speed_kmh", 50.0)])
    assert ubi.main(["replay", str(path), "--show"]) == 0
    assert "no trip: the device path saw no driving in speed_kmh" in capsys.readouterr().out
