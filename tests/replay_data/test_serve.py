"""`ubi replay serve`: the car of a recording for other programs; here python-OBD as it comes, and our own sources."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import sys

import pytest

import ubi
from device.contract.recording import RecordingHead, reading_order, write_recording
from device.contract.signals import Reading
from device.sources.gnss import gnss_source
from device.sources.imu import imu_source
from device.sources.source import since_boot_ms
from replay_data.recording import read_recording
from replay_data.serve import served, wait
from tests.conftest import REPOSITORY

pytestmark = pytest.mark.timeout(60)

SECONDS = 600
TRIPS = REPOSITORY / "replay_data" / "trips"
RECORDED = TRIPS / "sim-calm-1_2025-11-03_0812_city.ubirec"


@pytest.fixture
def all_sensors(tmp_path):
    """A drive at a speed that tells the time: 20 km/h and one more each ten seconds."""
    readings = []
    for t_ms in range(0, SECONDS * 1_000, 500):
        speed = float(20 + t_ms // 10_000)
        readings += [Reading(t_ms, "speed_kmh", speed), Reading(t_ms, "rpm", 1_500.0)]
        readings += [
            Reading(t_ms, f"accel_{axis}_mps2", value) for axis, value in zip("xyz", (0.5, 0, 9.8), strict=True)
        ]
        if t_ms % 1_000 == 0:
            readings += [Reading(t_ms, "latitude_deg", 50 + t_ms / 1e8), Reading(t_ms, "longitude_deg", 8.0)]
    path = tmp_path / "drive.ubirec"
    head = RecordingHead("test", started_at_ms=1_762_156_800_000, utc_offset_min=60)
    write_recording(path, head, sorted(readings, key=reading_order))
    return path


def test_python_obd_reads_the_recorded_drive():
    """A program that is none of ours, over the command's own port, gets speeds that the car had by then."""
    import obd

    recorded = [r.value for r in read_recording(RECORDED).readings if r.signal == "speed_kmh" and r.value is not None]
    command = [sys.executable, "-m", "ubi", "replay", "serve", str(RECORDED), "--elm327", "--rate", "60", "--json"]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        ports = json.loads(process.stdout.readline())
        connection = obd.OBD(ports["elm327"], fast=False)
        assert connection.is_connected()
        assert connection.supports(obd.commands.SPEED)
        heard = []
        while len(set(heard)) < 5 and process.poll() is None:
            answer = connection.query(obd.commands.SPEED)
            if not answer.is_null():
                heard.append(answer.value.magnitude)
        connection.close()
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    assert list(ports) == ["elm327"]
    assert len(set(heard)) >= 5
    assert set(heard) <= {round(value) for value in recorded}


def test_without_an_adapter_the_drive_begins_after_the_delay_and_ends(all_sensors):
    with (
        served(read_recording(all_sensors), ("nmea", "imu"), rate=2_000) as drive,
        gnss_source(drive.ports["nmea"]) as receiver,
        imu_source(drive.ports["imu"]) as box,
    ):
        assert set(drive.ports) == {"nmea", "imu"}
        taken, parts = [], []
        until_ms = since_boot_ms() + 20_000
        while since_boot_ms() < until_ms and {"gnss_fix", "accel_x_mps2"} - {r.signal for r in taken}:
            for source in (receiver, box):
                taken += source.take(since_boot_ms())
            files = [fileno for source in (receiver, box) if (fileno := source.fileno()) is not None]
            select.select(files, [], [], 0.05)
        assert not drive.clock.started
        assert {r.value for r in taken if r.signal == "gnss_fix"} == {0.0}
        assert {r.value for r in taken if r.signal == "accel_x_mps2"} == {0.0}
        wait(drive, 0.0, parts.append)
        assert drive.clock.started
        assert parts == sorted(parts)
        assert parts[-1] == 1.0


def test_every_port_that_a_recording_can_feed_is_opened_unless_some_are_named(all_sensors):
    recording = read_recording(all_sensors)
    with served(recording) as drive:
        assert list(drive.ports) == ["elm327", "nmea", "imu"]
        assert len(set(drive.ports.values())) == 3
        assert drive.part == 0.0
    with served(read_recording(RECORDED)) as drive:
        assert list(drive.ports) == ["elm327"]


def test_a_port_without_readings_is_refused(tmp_path, capsys):
    assert ubi.main(["replay", "serve", str(RECORDED), "--imu"]) == 2
    assert f"{RECORDED}: has no readings for imu; it has them for elm327" in capsys.readouterr().err
    empty = tmp_path / "limits.ubirec"
    write_recording(empty, RecordingHead("test"), [Reading(0, "limit_kmh", 50.0)])
    assert ubi.main(["replay", "serve", str(empty)]) == 2
    assert "has no readings for a port; there is no port to serve it on" in capsys.readouterr().err
