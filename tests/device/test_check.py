"""`ubi device check`: each part by itself, on pseudo-terminals and a real broker; each failure with its fix."""

from __future__ import annotations

import itertools
import json
import shutil
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

import ubi
from device.check import EXPIRES_DAYS, check
from device.config import load_config
from device.contract.signals import Reading
from device.finding import Finding
from device.live import run
from device.outbox import Outbox
from device.sources.wt901 import ACCELERATION, ANGULAR_VELOCITY, make_frame
from ingest.certificates import CLIENT, issue, new_authority
from replay_data.elm327 import Elm327, PlayedAdapter
from replay_data.pseudo_terminal import PlayedSensor
from replay_data.serial_gnss import no_fix, to_nmea
from replay_data.serial_imu import at_rest

pytestmark = pytest.mark.timeout(90)

STARTED_AT_MS = 1_762_156_800_000


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr("device.check_sensors.LISTEN_MS", 2_500)


def config_file(folder: Path, **changes: object) -> Path:
    keys = {"device_id": "car-1", "zone": "Europe/Berlin", "broker": "mqtts://broker.example", "obd_port": "/dev/x"}
    path = folder / "device.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in (keys | changes).items()))
    return path


def driving():
    for t_ms in range(0, 60_000, 1_000):
        yield Reading(t_ms, "speed_kmh", float(t_ms // 1_000))
        yield Reading(t_ms, "rpm", 1_500.0 + t_ms / 100)


def fixes():
    readings = [
        Reading(t_ms, name, value)
        for t_ms in range(0, 3_600_000, 200)
        for name, value in (("latitude_deg", 50.0), ("longitude_deg", 8.0), ("gnss_speed_kmh", 30.0))
    ]
    return to_nmea(readings, STARTED_AT_MS)


def imu_samples():
    for t_ms in itertools.count(0, 20):
        shiver = t_ms % 100 / 1_000
        yield t_ms, make_frame(ACCELERATION, shiver, 0, 9.8) + make_frame(ANGULAR_VELOCITY, 0, 0, shiver)


def by_part(findings):
    return {finding.part: finding for finding in findings}


def told(captured):
    return {row["part"]: Finding(**row) for row in json.loads(captured)}


def test_each_failure_is_told_with_its_fix(tmp_path, free_port, capsys):
    path = config_file(
        tmp_path,
        broker=f"mqtt://localhost:{free_port}",
        obd_port=str(tmp_path / "ttyUSB0"),
        gnss_port=str(tmp_path / "ttyACM0"),
        imu_port="/dev/null",
    )
    assert ubi.main(["device", "check", "--config", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines if not line.startswith(" ")}
    assert list(rows) == ["clock", "disk", "key", "outbox", "adapter", "gnss", "imu", "broker"]
    failing = [part for part, line in rows.items() if "FAILS" in line]
    assert failing == ["adapter", "gnss", "imu", "broker"]
    assert [line for line in lines if line.strip().startswith("fix: ")] == lines[5::2][: len(failing)]
    assert "no such port" in rows["adapter"]
    assert "no such port" in rows["gnss"]
    assert "MB free" in rows["disk"]
    assert "can be made" in rows["outbox"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["device.toml", "ubi.key"]  # it is for the agent to make


def test_an_outbox_that_the_disk_refuses_is_no_agent_that_runs(tmp_path, capsys):
    (tmp_path / "ubi.outbox").mkdir()
    path = config_file(tmp_path, broker="mqtt://localhost:1", imu_port="/dev/null")
    assert ubi.main(["device", "check", "--config", str(path)]) == 1
    rows = capsys.readouterr().out
    assert f"outbox      FAILS  {tmp_path / 'ubi.outbox'}: " in rows
    assert "is running" not in rows
    assert "adapter     FAILS" in rows  # the others are tried all the same
    assert ubi.main(["device", "calibrate", "--config", str(path)]) == 75
    assert "is running" not in capsys.readouterr().err


@pytest.mark.broker
def test_all_is_well_when_all_is_there_and_a_running_agent_is_left_alone(mosquitto, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("device.check_sensors.MIN_SPEED_HZ", 0.1)  # a machine may stall: that is not what is tested
    monkeypatch.setattr("device.check_sensors.MIN_IMU_HZ", 1.0)
    with ExitStack() as stack:
        adapter = stack.enter_context(PlayedAdapter(Elm327(driving(), genuine=True)))
        gnss = stack.enter_context(PlayedSensor("gnss", fixes()))
        imu = stack.enter_context(PlayedSensor("imu", imu_samples()))
        path = config_file(
            tmp_path,
            broker=mosquitto.url,
            obd_port=adapter.port,
            obd_protocol="6",
            gnss_port=gnss.port,
            imu_port=imu.port,
        )
        assert ubi.main(["device", "check", "--config", str(path), "--json"]) == 0
    found = told(capsys.readouterr().out)
    assert list(found) == ["clock", "disk", "key", "outbox", "adapter", "pids", "gnss", "imu", "broker"]
    assert "ELM327 v1.4b, ISO 15765-4 (CAN 11/500), 12.6 V" in found["adapter"].told
    assert found["pids"].told.startswith("2 known to the car; speed_kmh ")
    assert found["pids"].told.endswith("it does not tell odometer_km")
    assert "GPS, " in found["gnss"].told
    assert "gravity 9.8" in found["imu"].told
    assert "acks can be heard" in found["broker"].told
    with Outbox(tmp_path / "ubi.outbox"):
        assert ubi.main(["device", "check", "--config", str(path)]) == 0
    assert "an agent is running" in capsys.readouterr().out


def test_sensors_that_speak_but_do_not_serve_are_failures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("device.check_sensors.MIN_SPEED_HZ", 5.0)

    def slow(reply):
        threading.Event().wait(0.25)
        return reply

    speeds = [Reading(t_ms, "speed_kmh", 50.0) for t_ms in range(0, 60_000, 1_000)]
    with ExitStack() as stack:
        adapter = stack.enter_context(PlayedAdapter(Elm327(speeds, slow)))
        gnss = stack.enter_context(
            PlayedSensor("gnss", [(t, no_fix(STARTED_AT_MS + t)) for t in range(0, 60_000, 500)])
        )
        imu = stack.enter_context(PlayedSensor("imu", [(t, at_rest()) for t in range(0, 60_000, 20)]))
        path = config_file(
            tmp_path,
            broker="mqtt://localhost:1",
            obd_port=adapter.port,
            obd_protocol="6",
            gnss_port=gnss.port,
            imu_port=imu.port,
        )
        assert ubi.main(["device", "check", "--config", str(path), "--json"]) == 1
    found = told(capsys.readouterr().out)
    assert "another adapter" in found["pids"].fix
    assert "open sky" in found["gnss"].fix
    assert "the sensor is dead" in found["imu"].fix


def test_a_key_that_is_none_is_a_failure_with_what_may_mend_it(tmp_path):
    (tmp_path / "ubi.key").write_bytes(b"hello")
    key = by_part(itertools.islice(check(load_config(config_file(tmp_path))), 3))["key"]
    assert not key.ok
    assert "a device key has 32 bytes, this file has 5" in key.told
    assert "enrol the device again" in key.fix


def test_a_full_disk_and_a_missing_folder_are_failures(tmp_path, monkeypatch):
    monkeypatch.setattr("device.check.check_sensors", lambda *_: iter(()))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("device.check.shutil.disk_usage", lambda _: usage._replace(free=3_000_000))
    config = load_config(config_file(tmp_path, broker="mqtt://localhost:1"))
    full = by_part(check(config))["disk"]
    assert (full.ok, full.fix) == (False, "make room: at least 64 MB")
    monkeypatch.undo()
    monkeypatch.setattr("device.check.check_sensors", lambda *_: iter(()))
    config = load_config(config_file(tmp_path, broker="mqtt://localhost:1", outbox="nowhere/ubi.outbox"))
    assert "make the folder" in by_part(check(config))["disk"].fix


def with_certificate(folder, name, days, now=None, broker="mqtt://localhost:1"):
    now = now or datetime.now(UTC)
    pair = issue(new_authority("cars", now), name, now, days, [CLIENT])
    (folder / "car.crt").write_bytes(pair.certificate)
    (folder / "car.key").write_bytes(pair.key)
    return config_file(folder, broker=broker, cert_file="car.crt", cert_key_file="car.key")


@pytest.mark.parametrize(
    ("name", "days", "ok", "words"),
    [
        ("car-1", EXPIRES_DAYS + 5, True, "for 'car-1'"),
        ("car-1", EXPIRES_DAYS - 5, False, "until"),
        ("car-2", 365, False, "this device is 'car-1'"),
    ],
)
def test_a_certificate_is_this_devices_and_does_not_run_out_soon(tmp_path, monkeypatch, name, days, ok, words):
    monkeypatch.setattr("device.check.check_sensors", lambda *_: iter(()))
    found = by_part(check(load_config(with_certificate(tmp_path, name, days))))["certificate"]
    assert found.ok is ok
    assert words in found.told
    assert bool(found.fix) is not ok


@pytest.mark.parametrize("name", ["car-1", "car-2"])
def test_an_agent_with_the_certificate_of_another_car_says_so_when_it_starts(tmp_path, caplog, name):
    """The broker does not: it connects the device, and drops what it sends."""
    config = load_config(with_certificate(tmp_path, name, 365, broker="mqtts://localhost:1"))
    stopping = iter([False, True, True])
    run(config, lambda: next(stopping))
    assert ("is the certificate of 'car-2', not of 'car-1'" in caplog.text) == (name == "car-2")


def test_a_certificate_that_is_none_is_told_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("device.check.check_sensors", lambda *_: iter(()))
    path = with_certificate(tmp_path, "car-1", 365)
    (tmp_path / "car.crt").write_text("not a certificate")
    found = by_part(check(load_config(path)))["certificate"]
    assert not found.ok
    assert "cannot be read as a certificate" in found.told
    assert "enrol" in found.fix
