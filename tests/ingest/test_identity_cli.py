from __future__ import annotations

import json
import time

import polars as pl
import pytest

import ubi
from features.policies import read_policies
from ingest.contract.lake import Lake
from ingest.gate import Gate
from ingest.seal import seal
from ingest.worker import Worker
from tests.ingest.drive import Drive

CAR = ("--zone", "Europe/Berlin", "--broker", "mqtts://broker.example")


def told(capsys, *arguments):
    assert ubi.main(["ingest", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def failed(capsys, *arguments):
    status = ubi.main(["ingest", *map(str, arguments)])
    return status, capsys.readouterr().err.strip().splitlines()[-1].removeprefix("ubi: error: ")


@pytest.fixture
def site(capsys, tmp_path):
    told(capsys, "ca", "--out", tmp_path / "ca", "--host", "broker.example", "--broker-folder", "/etc/mosquitto/ubi")
    return ("--ca", tmp_path / "ca", "--registry", tmp_path / "registry.jsonl")


def enrol(capsys, site, tmp_path, name, *options):
    return told(capsys, "enrol", name, *site, "--out", tmp_path / name, *CAR, *options)


def test_the_configuration_names_the_folder_where_the_broker_will_have_it(site, tmp_path):
    conf = (tmp_path / "ca" / "broker" / "mosquitto.conf").read_text()
    assert "cafile /etc/mosquitto/ubi/cars.pem" in conf
    assert "listener 8883\n" in conf
    assert "listener 8884 127.0.0.1\n" in conf
    assert "$" not in conf


def test_a_device_is_enrolled_listed_linked_and_revoked(capsys, site, tmp_path):
    consent = ("--purpose", "pricing", "--purpose", "accident", "--motion", "full")
    out = enrol(capsys, site, tmp_path, "car-1", *consent, "--policy", "P-1", "--driver", "D-1", "--json")
    assert json.loads(out)["bundle"] == str(tmp_path / "car-1")
    enrol(capsys, site, tmp_path, "car-2", "--purpose", "pricing")
    rows = json.loads(told(capsys, "devices", *site[2:], "--policies", tmp_path / "policies.csv", "--json"))
    assert [(row["device_id"], row["status"], row["purposes"], row["motion"], row["policy_id"]) for row in rows] == [
        ("car-1", "active", "accident+pricing", "full", "P-1"),
        ("car-2", "active", "pricing", "off", None),
    ]
    linked = read_policies(tmp_path / "policies.csv")
    assert linked.select("policy_id", "driver_id", "device_id").rows() == [("P-1", "D-1", "car-1")]
    assert json.loads(told(capsys, "revoke", "car-1", *site, "--json"))["status"] == "revoked"
    assert [row["status"] for row in json.loads(told(capsys, "devices", *site[2:], "--json"))] == ["revoked", "active"]


def test_enrolled_again_the_consent_stays_unless_said(capsys, site, tmp_path):
    enrol(capsys, site, tmp_path, "car-1", "--purpose", "pricing", "--motion", "full")
    told(capsys, "enrol", "car-1", *site, "--out", tmp_path / "two", *CAR, "--again")
    assert 'motion = "full"' in (tmp_path / "two" / "device.toml").read_text()
    told(capsys, "enrol", "car-1", *site, "--out", tmp_path / "three", *CAR, "--again", "--purpose", "pricing")
    assert 'motion = "off"' in (tmp_path / "three" / "device.toml").read_text()


@pytest.fixture
def lake(tmp_path):
    lake, now_ms = Lake(tmp_path / "lake"), time.time_ns() // 1_000_000
    worker = Worker(lake, "w", lambda _topic, _payload: None, gate=Gate(lake.root))
    for name in ("car-1", "car-2"):
        for message in Drive(name).trip():
            worker.take(message.topic, message.payload, now_ms)
    worker.flush(now_ms)
    seal(lake, now_ms)
    return lake


def test_forgetting_tells_what_went_and_the_list_of_erasures_not_of_whom(capsys, site, lake, tmp_path):
    enrol(capsys, site, tmp_path, "car-1", "--purpose", "pricing")
    (row,) = json.loads(told(capsys, "forget", "car-1", "--lake", lake.root, *site, "--json"))
    assert (row["messages"], row["trips"], row["events"], row["motion"]) == (6, 1, 1, 20)
    assert told(capsys, "forget", "--lake", lake.root) == "none\n"
    out = told(capsys, "erasures", "--lake", lake.root)
    assert row["erasure"] in out
    assert "car-1" not in out
    assert json.loads(told(capsys, "devices", *site[2:], "--json")) == []
    assert [row["device_id"] for row in json.loads(told(capsys, "status", "--lake", lake.root, "--json"))] == ["car-2"]


def test_retention_tells_what_went(capsys, lake, tmp_path):
    (tmp_path / "retention.toml").write_text("[days]\nmotion = 30\nrejects = 30\n")  # the drives are of January
    gone = json.loads(told(capsys, "retain", "--lake", lake.root, "--config", tmp_path / "retention.toml", "--json"))
    assert gone == {"motion": 40, "rejects": 0}
    assert lake.scan("motion").select(pl.len()).collect().item() == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("enrol", "c", "--ca", "ca", "--registry", "r", "--out", "o", *CAR), 2, "say what the person agreed to"),
        (
            ("enrol", "c", "--ca", "ca", "--registry", "r", "--out", "o", *CAR, "--again", "--motion", "full"),
            2,
            "--location and --motion are part of the consent; say --purpose as well",
        ),
        (
            (
                "enrol",
                "c",
                "--ca",
                "ca",
                "--registry",
                "r",
                "--out",
                "o",
                *CAR,
                "--purpose",
                "pricing",
                "--policy",
                "P",
            ),
            2,
            "--policy and --driver go together",
        ),
        (("enrol", "c", "--ca", "no", "--registry", "r", "--out", "o", *CAR, "--purpose", "pricing"), 2, "no/cars.pem"),
        (("devices", "--registry", "no"), 2, "no: No such file or directory; name the file that 'ubi ingest enrol'"),
        (("revoke", "c", "--ca", "ca", "--registry", "r"), 2, "r: no device 'c'; there is no such file"),
        (("ca", "--out", "ca2", "--host", "a b"), 2, "host 'a b'"),
        (("forget", "c", "--lake", "no"), 2, "no: no lake here"),
        (("forget", "c", "--lake", "lake", "--ca", "ca"), 2, "say --registry too"),
        (("forget", "c", "--lake", "lake", "--features", "no"), 2, "no: no such folder"),
        (("retain", "--lake", "lake", "--config", "no"), 2, "no: No such file or directory; name a file with days"),
        (("run", "--lake", "lake", "--broker", "mqtt://localhost", "--registry", "no"), 2, "no: No such file"),
        (("run", "--lake", "lake", "--broker", "mqtt://localhost", "--cert-file", "x"), 2, "go together"),
    ],
)
def test_wrong_inputs_get_one_clear_line(capsys, tmp_path, monkeypatch, arguments, status, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lake" / "messages").mkdir(parents=True)
    got, line = failed(capsys, *arguments)
    assert (got, said in line) == (status, True), line


def test_a_host_that_is_no_name_leaves_no_half_made_authority(capsys, tmp_path):
    assert failed(capsys, "ca", "--out", tmp_path / "ca", "--host", "a b")[0] == 2
    told(capsys, "ca", "--out", tmp_path / "ca", "--host", "broker.example", "--host", "10.0.0.1")
    assert (tmp_path / "ca" / "cars.key").exists()
