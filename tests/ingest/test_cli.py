from __future__ import annotations

import errno
import gc
import json
import os
import re
import signal
from unittest.mock import Mock

import pytest

import ubi
from device.contract.recording import RecordingHead, write_recording
from device.contract.signals import Reading
from ingest import cli
from ingest.contract import durable
from ingest.contract.lake import Lake
from ingest.worker import Worker
from tests.ingest.drive import START_MS, Drive


@pytest.fixture
def lake(tmp_path):
    lake = Lake(tmp_path / "lake")
    worker = Worker(lake, "w", lambda topic, payload: None)
    for message in Drive("car").trip()[:5] + Drive("bus").trip():
        worker.take(message.topic, message.payload, START_MS)
    worker.take("ubi/v1/car/up", b"\xff", START_MS)
    worker.flush(START_MS)
    return lake


def told(capsys, *arguments):
    assert ubi.main(["ingest", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def failed(capsys, *arguments):
    status = ubi.main(["ingest", *map(str, arguments)])
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("ubi: error: ")
    assert "Traceback" not in "".join(lines)
    return status, lines[-1].removeprefix("ubi: error: ")


def test_seal_tells_what_it_did(capsys, lake):
    report = json.loads(told(capsys, "seal", "--lake", lake.root, "--json"))
    assert (report["messages"], report["trips"], report["manifest"]) == (11, 2, 1)  # the unfinished one is years old
    assert re.search(r"^groups_kept +2$", told(capsys, "seal", "--lake", lake.root), re.MULTILINE)


def test_status_gaps_and_rejects_are_tables_or_json(capsys, lake):
    lines = told(capsys, "status", "--lake", lake.root).splitlines()
    assert lines[0].split()[:3] == ["device_id", "streams", "messages"]
    assert [line.split()[:2] for line in lines[1:]] == [["all", "2"], ["bus", "1"], ["car", "1"]]
    assert all(line.endswith("2026-01-01T00:00:00Z") for line in lines[1:])
    assert told(capsys, "status", "--lake", lake.root, "--device", "car").splitlines() == [lines[0], lines[3]]
    assert len(json.loads(told(capsys, "status", "--lake", lake.root, "--json"))) == 2
    assert told(capsys, "gaps", "--lake", lake.root) == "none\n"
    assert json.loads(told(capsys, "gaps", "--lake", lake.root, "--json")) == []
    rejects = json.loads(told(capsys, "rejects", "--lake", lake.root, "--json"))
    assert [(row["device_id"], row["reason"], row["rejects"]) for row in rejects] == [("car", "garbage", 1)]


def test_status_of_a_fleet_tells_the_sum_and_those_with_most_to_look_at(capsys, lake, monkeypatch):
    monkeypatch.setattr(cli, "LISTED", 1)
    lines = told(capsys, "status", "--lake", lake.root).splitlines()
    assert [line.split()[0] for line in lines] == ["device_id", "all", "car", "and"]  # the car sent garbage
    assert lines[-1] == "and 1 more with less to look at: --device ID tells of one, --json of all"


def test_export_writes_parquet(capsys, tmp_path):
    write_recording(tmp_path / "a.ubirec", RecordingHead(source="test"), [Reading(0, "speed_kmh", 1.0)])
    rows = json.loads(told(capsys, "export", tmp_path / "a.ubirec", "--out", tmp_path / "out", "--json"))
    assert rows == [{"file": str(tmp_path / "out" / "a.parquet"), "rows": 1}]


def test_run_with_an_embedded_broker_needs_no_other(capsys, tmp_path):
    out = told(capsys, "run", "--embedded-broker", 0, "--lake", tmp_path, "--until-idle", 0.2, "--json")
    assert json.loads(out)["received"] == 0
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("status", "--lake", "nowhere"), 2, "nowhere: no lake here; name the folder that"),
        (("run", "--lake", "l"), 2, "name a broker with --broker URL, or start one with --embedded-broker PORT"),
        (("run", "--lake", "l", "--broker", "mqtt://x.example"), 2, "plain MQTT leaves this machine"),
        (("run", "--lake", "l", "--broker", "http://x"), 2, "write mqtts://HOST[:PORT]"),
        (("run", "--lake", "l", "--broker", "mqtts://localhost", "--ca-file", "no.pem"), 2, "no.pem: cannot be read"),
        (("run", "--lake", "file", "--broker", "mqtt://localhost:1"), 1, "file: cannot be written"),
        (("run", "--lake", "l", "--broker", "mqtt://localhost:1"), 75, "no broker there"),
        (("export", "no.ubirec", "--out", "o"), 1, "no.ubirec: "),
    ],
)
def test_wrong_inputs_get_one_clear_line(capsys, tmp_path, monkeypatch, arguments, status, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    got, line = failed(capsys, *arguments)
    assert (got, said in line) == (status, True), line


def test_argparse_refuses_what_is_no_number(capsys):
    for wrong in (("--until-idle", "soon"), ("--until-idle", "-1"), ("--embedded-broker", "99999")):
        with pytest.raises(SystemExit) as end:
            ubi.main(["ingest", "run", "--lake", "l", "--broker", "mqtt://localhost", *wrong])
        assert end.value.code == 2
        assert f"argument {wrong[0]}: '{wrong[1]}' is not a " in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_sets_the_event_and_the_handlers_come_back(number):
    before = signal.getsignal(number)
    with cli._stop_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop.wait(5)
    assert signal.getsignal(number) is before


def test_a_full_disk_is_told_with_the_lake_that_is_on_it(lake, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(durable, "commit", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
        assert failed(capsys, "seal", "--lake", lake.root) == (
            1,
            f"{lake.root}: no space left on its disk; make some and run this again",
        )
    assert re.search(r"^trips +2$", told(capsys, "seal", "--lake", lake.root), re.MULTILINE)
