"""`ubi device calibrate`: what is known of the mounting, what the IMU says, and how it is set up."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

import ubi
from device import calibrate
from device.config import load_config
from device.mounting import Mounting
from device.outbox import Outbox
from device.sources.imu import BAUDRATE
from device.sources.source import since_boot_ms
from device.sources.wt901 import ACCELERATION, ANGULAR_VELOCITY, SAVE, UNLOCK, make_frame, set_up
from replay_data.pseudo_terminal import PlayedSensor

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr("device.check_sensors.LISTEN_MS", 1_000)


def config_file(folder: Path, **changes: object) -> Path:
    keys = {"device_id": "car-1", "zone": "Europe/Berlin", "broker": "mqtts://broker.example", "obd_port": "/dev/x"}
    path = folder / "device.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in (keys | changes).items()))
    return path


def samples(period_ms=10):
    """A sensor that stands on its left side and shivers a little."""
    for t_ms in itertools.count(0, period_ms):
        shiver = t_ms % 100 / 1_000
        yield t_ms, make_frame(ACCELERATION, shiver, -9.8, 0) + make_frame(ANGULAR_VELOCITY, 0, 0, shiver)


class Wt901(PlayedSensor):
    """Hears commands while it talks."""

    def __init__(self):
        super().__init__("imu", samples())
        self.heard = b""

    def _changed(self, data):
        self.heard += self._read(wait_s=0)
        return data


def save_mounting(path, state):
    with Outbox(path) as outbox:
        outbox.commit(1, [], json.dumps({"version": 2, "pipeline": {"motion": state, "rest": 7}}).encode())


def saved(path):
    with Outbox(path) as outbox:
        return json.loads(outbox.state)


def test_without_an_imu_there_is_nothing_to_calibrate(tmp_path, capsys):
    assert ubi.main(["device", "calibrate", "--config", str(config_file(tmp_path))]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "'imu_port'" in line


def test_what_is_known_and_what_the_imu_says_is_told_with_what_to_do_next(tmp_path, capsys):
    with PlayedSensor("imu", samples()) as imu:
        path = config_file(tmp_path, imu_port=imu.port)
        assert ubi.main(["device", "calibrate", "--config", str(path)]) == 1
    out = capsys.readouterr().out
    assert "mounting: not known yet" in out
    assert "drive some minutes" in out
    assert "up is near -y of the sensor" in out


def test_a_learnt_mounting_is_told_and_can_be_forgotten(tmp_path):
    learnt = Mounting()
    learnt.moved = 3
    save_mounting(tmp_path / "ubi.outbox", {"mounting": learnt.to_state(), "other": 1})
    config = load_config(config_file(tmp_path, imu_port="/dev/null"))
    mounting, imu = calibrate.calibrate(config, since_boot_ms)
    assert mounting.told == "; ".join(learnt.describe())
    assert not imu.ok
    next(calibrate.calibrate(config, since_boot_ms, forget=True))
    assert saved(tmp_path / "ubi.outbox") == {"version": 2, "pipeline": {"motion": {"other": 1}, "rest": 7}}


def test_a_running_agent_is_not_disturbed(tmp_path, capsys):
    path = config_file(tmp_path, imu_port="/dev/null")
    with Outbox(tmp_path / "ubi.outbox"):
        assert ubi.main(["device", "calibrate", "--config", str(path)]) == 75
    assert "an agent is running" in capsys.readouterr().err


def test_set_up_sends_the_commands_of_the_data_sheet_and_listens_to_the_result(tmp_path):
    with Wt901() as imu:
        config = load_config(config_file(tmp_path, imu_port=imu.port, imu_baudrate=9_600))
        finding = calibrate.set_up(config, since_boot_ms, pause=lambda _: None)
    assert finding.ok, finding
    assert "9600 baud before; now 115200 baud" in finding.told
    assert "imu_baudrate = 115200" in finding.told
    assert imu.heard == b"".join([*set_up(100, BAUDRATE), UNLOCK, SAVE])


def test_set_up_of_a_sensor_that_is_not_there_is_one_line(tmp_path, capsys):
    path = config_file(tmp_path, imu_port=str(tmp_path / "none"))
    assert ubi.main(["device", "calibrate", "--config", str(path), "--set-up-imu"]) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ubi: error")]
    assert "no such port" in line
    assert "check the cable" in line
