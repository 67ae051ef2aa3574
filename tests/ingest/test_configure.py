from __future__ import annotations

import getpass
import json
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

import ubi
from device.contract import topics
from device.contract.configuration import ConfigUpdate, read_config
from device.contract.signing import Signer
from device.downlink import Downlink
from device.privacy import Privacy

SEED = bytes(range(32))
PUBLIC_KEY = Signer.from_seed(SEED).public_key


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "insurer.key"
    path.write_bytes(SEED)
    path.chmod(0o600)
    return path


def told(capsys, *arguments):
    assert ubi.main(["ingest", "config", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def failed(capsys, *arguments):
    status = ubi.main(["ingest", "config", *map(str, arguments)])
    return status, capsys.readouterr().err.strip().splitlines()[-1].removeprefix("ubi: error: ")


def retained(port, topic):
    """What a client that subscribes now is given."""
    came = []
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: came.append((message.payload, message.retain))
    client.connect("127.0.0.1", port)
    client.subscribe(topic, qos=1)
    deadline_s = time.monotonic() + 10
    while not came and time.monotonic() < deadline_s:
        client.loop(0.05)
    client.disconnect()
    return came


def test_a_configuration_waits_at_the_broker_for_its_device(capsys, key, mosquitto):
    before_ms = time.time_ns() // 1_000_000
    done = told(capsys, "--key", key, "--device", "car", "--broker", mosquitto.url, "--location", "coarse",
                "--rules-version", 1, "--period", "speed_kmh=200", "--period", "rpm=2000", "--batch-s", 30)  # fmt: skip
    ((payload, is_retained),) = retained(mosquitto.port, topics.config("car"))
    update = read_config(payload, PUBLIC_KEY)
    assert isinstance(update, ConfigUpdate)
    assert is_retained
    assert (update.device_id, update.location, update.motion, update.rules_version) == ("car", "coarse", None, 1)
    assert (update.periods_ms, update.batch_s, update.commit_s) == ({"rpm": 2_000, "speed_kmh": 200}, 30, None)
    assert update.issued_at_ms >= before_ms
    assert update.expires_at_ms - update.issued_at_ms == 30 * 86_400_000
    assert (done["version"], done["insurer_key"]) == (update.issued_at_ms // 1_000, PUBLIC_KEY.hex())
    link = Downlink("car", PUBLIC_KEY, Privacy("full", "full"))
    assert link.take(payload, update.issued_at_ms) == update
    assert link.privacy == Privacy("coarse", "full")


def test_a_later_one_takes_its_place(capsys, key, mosquitto):
    for version in (7, 9):
        told(capsys, "--key", key, "--device", "car", "--broker", mosquitto.url, "--version", version)
    ((payload, _),) = retained(mosquitto.port, topics.config("car"))
    update = read_config(payload, PUBLIC_KEY)
    assert isinstance(update, ConfigUpdate)
    assert update.version == 9


def test_it_can_be_written_to_a_file_for_another_publisher(capsys, key, tmp_path):
    out = tmp_path / "car.config"
    told(capsys, "--key", key, "--device", "car", "--out", out, "--motion", "off", "--valid-days", 1)
    assert isinstance(read_config(out.read_bytes(), PUBLIC_KEY), ConfigUpdate)


def test_a_new_key_is_private_and_never_replaces_one(capsys, tmp_path):
    path = tmp_path / "new.key"
    done = told(capsys, "--key", path, "--new-key")
    assert path.stat().st_mode & 0o777 == 0o600
    assert done["insurer_key"] == Signer.from_seed(path.read_bytes()).public_key.hex()
    assert failed(capsys, "--key", path, "--new-key")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["--device", "car"], 2, "name the device with --device ID, and --broker URL or --out FILE"),
        (["--out", "x"], 2, "name the device with --device ID"),
        (["--device", "a/b", "--out", "x"], 2, "device id 'a/b'"),
        (["--device", "car", "--out", "x", "--batch-s", "0"], 2, "batch_s of 0 is outside 1 to 240"),
        (["--device", "car", "--out", "x", "--period", "wings=100"], 2, "'wings' is not a signal that is polled"),
        (["--device", "car", "--broker", "mqtt://example.org"], 2, "plain MQTT leaves this machine"),
    ],
)
def test_a_wrong_command_is_one_line(capsys, key, arguments, status, line):
    code, told_line = failed(capsys, "--key", key, *arguments)
    assert code == status
    assert line in told_line


def test_a_key_that_cannot_be_used_is_named(capsys, tmp_path, key):
    wanted = ("--device", "car", "--out", tmp_path / "x", "--key")
    assert failed(capsys, *wanted, tmp_path / "none")[1].startswith(f"{tmp_path / 'none'}: No such file")
    key.chmod(0o644)
    assert "others may read this key" in failed(capsys, *wanted, key)[1]
    key.chmod(0o600)
    key.write_bytes(b"short")
    assert "has 32 bytes, this file has 5" in failed(capsys, *wanted, key)[1]


def test_no_broker_is_try_again(capsys, key, free_port):
    status, line = failed(capsys, "--key", key, "--device", "car", "--broker", f"mqtt://127.0.0.1:{free_port}")
    assert status == 75
    assert "no broker there" in line


def test_a_broker_that_does_not_let_us_write_is_told(capsys, key, mosquitto, tmp_path):
    acl = tmp_path / "acl"
    acl.write_text("topic read #\n")
    mosquitto.stop()
    config = tmp_path / "mosquitto" / "mosquitto.conf"
    user = getpass.getuser()  # started by root, the broker would become a user who may not read the test's folder
    config.write_text(f"{config.read_text()}\nacl_file {acl}\nuser {user}\n")
    mosquitto.start()
    status, line = failed(capsys, "--key", key, "--device", "car", "--broker", mosquitto.url)
    assert status == 1
    assert "the broker refuses the message: Not authorized" in line
