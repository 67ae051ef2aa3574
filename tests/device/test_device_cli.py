from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import ubi
from device.config import KEYS, DeviceConfig, load_config
from device.contract import bodies, signing
from device.contract.errors import DiskError, UsageError
from device.contract.recording import open_recording
from device.contract.signals import Reading
from device.outbox import Outbox
from replay_data.elm327 import Elm327, PlayedAdapter
from tests.conftest import REPOSITORY
from tests.insurer import Insurer, until

LEAST = {"device_id": "car-1", "zone": "Europe/Berlin", "broker": "mqtts://broker.example", "obd_port": "/dev/ttyUSB0"}


def config_file(folder: Path, **changes: object) -> Path:
    """A configuration of the required keys with these changes; None leaves a key out."""
    keys = {key: value for key, value in (LEAST | changes).items() if value is not None}
    path = folder / "device.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
    return path


def braking_drive() -> list[Reading]:
    """50 km/h for 6 s, an emergency stop in 2 s, standing with the engine on."""
    speeds = [(t_ms, 50.0 if t_ms < 6_000 else max(0.0, 50.0 - (t_ms - 6_000) / 40)) for t_ms in range(0, 60_000, 100)]
    engine = [Reading(t_ms, "rpm", 1_500.0) for t_ms in range(0, 60_000, 500)]
    return [Reading(t_ms, "speed_kmh", float(round(speed))) for t_ms, speed in speeds] + engine


def test_the_least_configuration_is_strict_about_privacy(tmp_path):
    config = load_config(config_file(tmp_path))
    assert (config.location, config.motion, config.insecure) == ("off", "off", False)
    assert str(config.zone) == "Europe/Berlin"
    assert config.broker == ("broker.example", 8883, True)
    assert config.outbox == tmp_path / "ubi.outbox"


def test_every_key_is_a_field_and_every_field_a_key():
    assert list(KEYS) == list(DeviceConfig.__dataclass_fields__)


def test_paths_count_from_the_file_and_absolute_ones_stay(tmp_path):
    config = load_config(config_file(tmp_path, outbox="data/a.outbox", key_file="/etc/ubi.key", ca_file="ca.pem"))
    assert config.outbox == tmp_path / "data" / "a.outbox"
    assert config.key_file == Path("/etc/ubi.key")
    assert config.ca_file == tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"zone": None}, "key 'zone' is missing, for example zone = \"Europe/Berlin\""),
        ({"obd_port": None}, "key 'obd_port' is missing"),
        ({"zone": "Berlin"}, "key 'zone': 'Berlin' is not an IANA time zone"),
        ({"zone": "../../etc/passwd"}, "is not an IANA time zone"),
        ({"zone": 1}, "key 'zone': 1 is not a text"),
        ({"motoin": "full"}, "key 'motoin' is not known; did you mean 'motion'?"),
        ({"qqqq": 1}, "key 'qqqq' is not known; the keys are device_id, zone"),
        ({"motion": "some"}, 'key \'motion\': "some" is not one of "off", "full"'),
        ({"location": "fine"}, 'key \'location\': "fine" is not one of "off", "coarse", "full"'),
        ({"location": True}, "key 'location': true is not one of \"off\""),
        ({"obd_protocol": 6}, 'key \'obd_protocol\': 6 is not one of "1", "2"'),
        ({"outbox": "ubi.key"}, "'outbox' and 'key_file' name one file"),
        ({"outbox": "./device.toml"}, "'outbox' and '--config' name one file"),
        ({"insurer_key": "00" * 31}, "is not a public key of 64 hex digits"),
        ({"insurer_key": "zz" * 32}, "is not a public key of 64 hex digits"),
        ({"device_id": "my car"}, "key 'device_id': device id 'my car': use 1 to 64"),
        ({"broker": "mqtt://10.0.0.1"}, "key 'broker': 'mqtt://10.0.0.1': plain MQTT leaves this machine; write mqtts"),
        ({"batch_s": 0}, "key 'batch_s': 0 is not a whole number from 1 to 240"),
        ({"batch_s": True}, "is not a whole number"),
        ({"insecure": "yes"}, "key 'insecure': 'yes' is neither true nor false"),
        ({"obd_baudrate": 9600.5}, "is not a whole number"),
        ({"outbox": "a\0b"}, "key 'outbox': 'a\\x00b' is not a text of 1 to 256 printable characters"),
        ({"broker": "mqtts://broker.example:0"}, "nothing listens on port 0"),
    ],
)
def test_a_wrong_key_is_named_with_file_and_fix(tmp_path, changes, told):
    path = config_file(tmp_path, **changes)
    with pytest.raises(UsageError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert told in str(caught.value)


def test_a_client_certificate_comes_with_its_key(tmp_path):
    config = load_config(config_file(tmp_path, cert_file="tls.pem", cert_key_file="tls.key"))
    assert config.client == (tmp_path / "tls.pem", tmp_path / "tls.key")
    assert load_config(config_file(tmp_path)).client is None
    with pytest.raises(UsageError, match="'cert_file' and 'cert_key_file' go together"):
        load_config(config_file(tmp_path, cert_file="tls.pem"))


def test_insecure_admits_a_plain_broker(tmp_path):
    config = load_config(config_file(tmp_path, broker="mqtt://10.0.0.1", insecure=True))
    assert config.broker == ("10.0.0.1", 1883, False)


def test_a_power_cut_while_the_key_is_made_leaves_a_key_or_none(tmp_path, monkeypatch):
    def cut(_descriptor):
        raise OSError("power cut")

    path = tmp_path / "ubi.key"
    monkeypatch.setattr(signing.os, "fsync", cut)
    with pytest.raises(DiskError, match="power cut; check the card"):
        signing.Signer.from_file(path)
    monkeypatch.undo()
    made = signing.Signer.from_file(path)
    assert signing.Signer.from_file(path).public_key == made.public_key
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_that_cannot_be_read_or_made_is_named_with_what_to_do(tmp_path):
    for path in (tmp_path, tmp_path / "none" / "ubi.key", tmp_path / "device.toml" / "ubi.key"):
        (tmp_path / "device.toml").touch()
        with pytest.raises(UsageError, match="name a file for the device's key"):
            signing.Signer.from_file(path)


def test_a_configuration_that_an_editor_of_windows_saved_is_read(tmp_path):
    path = config_file(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_config(path).device_id == "car-1"


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"none\.toml: No such file or directory; name the device's configuration"):
        load_config(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("device_id = \n")
    with pytest.raises(UsageError, match=r"bad\.toml: not TOML: .*line 1"):
        load_config(tmp_path / "bad.toml")


@pytest.mark.parametrize("wrong", [[], ["--conf", "device.toml"]])
@pytest.mark.parametrize("command", ["run", "check", "calibrate", "record"])
def test_every_command_wants_a_configuration_and_no_short_form(command, wrong, capsys):
    with pytest.raises(SystemExit) as end:
        ubi.main(["device", command, *wrong])
    assert end.value.code == 2
    assert "required: --config" in capsys.readouterr().err


@pytest.mark.broker
def test_run_sends_trip_and_emergency_stop_and_sigterm_flushes_and_leaves_with_0(mosquitto, tmp_path):
    """The real driver over a pseudo-terminal, the real broker, and the agent as a process of its own, started twice."""
    with PlayedAdapter(Elm327(braking_drive())) as adapter, Insurer(mosquitto.port) as insurer:
        path = config_file(tmp_path, broker=mosquitto.url, obd_port=adapter.port, commit_s=1)

        def bodies_of(kind: type) -> list[object]:
            return [message.body for message in insurer.messages if isinstance(message.body, kind)]

        command = [sys.executable, "-m", "ubi", "device", "run", "--config", str(path)]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(str(tmp_path / "notify"))
            systemd.setblocking(False)
            environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
            with subprocess.Popen(command, cwd=REPOSITORY, env=environment) as process:
                until(lambda: bodies_of(bodies.Event) or process.poll() is not None)
                process.send_signal(signal.SIGTERM)
            told = [systemd.recv(1_000) for _ in range(3)]
        assert process.returncode == 0
        assert told[0] == b"READY=1"
        assert told[1].startswith(b"WATCHDOG=1\nSTATUS=awake, ")
        assert insurer.statuses[-1] == b"offline"
        with subprocess.Popen(command, cwd=REPOSITORY) as process:
            until(lambda: insurer.statuses.count(b"online") == 2 or process.poll() is not None)
            process.send_signal(signal.SIGTERM)
        assert process.returncode == 0
        messages = insurer.messages
    insurer_stream = insurer.stream
    with Outbox(tmp_path / "ubi.outbox") as outbox:
        assert (outbox.waiting(), outbox.next_seq - 1) == (0, len(insurer_stream))
    start = messages[0].body
    assert isinstance(start, bodies.TripStart)
    assert start.adapter.startswith("ELM327 v1.5, clone")
    assert start.recording == ""
    event = next(message.body for message in messages if isinstance(message.body, bodies.Event))
    assert (event.kind, event.trip_seq) == (1, 1)
    assert event.peak > 440
    assert [message for message in messages if isinstance(message.body, bodies.Motion)] == []  # motion = off
    key = signing.Signer.from_file(tmp_path / "ubi.key").public_key
    assert all(signing.verify(key, m.hash, m.signature) for m in messages if m.signature)


def test_record_writes_a_recording_that_replay_reads(tmp_path, capsys):
    target = tmp_path / "drive.ubirec"
    with PlayedAdapter(Elm327(braking_drive())) as adapter:
        path = config_file(tmp_path, obd_port=adapter.port, vehicle="Seat Leon")
        words = ["device", "record", "--config", str(path), "--out", str(target), "--seconds", "3"]
        assert ubi.main(words) == 0
    head, readings = open_recording(target)
    taken = list(readings)
    assert capsys.readouterr().out == f"{target}: readings {len(taken)}\n"
    assert (head.source, head.vehicle) == ("obd", "Seat Leon")
    assert head.notes["adapter"].startswith("ELM327 v1.5, clone")
    assert head.utc_offset_min in (60, 120)
    speeds = [reading for reading in taken if reading.signal == "speed_kmh"]
    assert taken[0].t_ms == 0
    assert 2_000 < taken[-1].t_ms <= 3_200
    assert {reading.value for reading in speeds} == {50.0}
