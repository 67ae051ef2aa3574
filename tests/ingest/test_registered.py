"""The whole road with identities: enrolled cars, the shipped broker, a worker with the registry, and a thief."""

from __future__ import annotations

import json

import pytest

from device.config import load_config
from device.contract import topics, wire
from device.uplink import Uplink
from ingest.contract.lake import Lake
from ingest.devices import REVOKED, Consent
from ingest.enrol import revoke
from ingest.seal import seal
from tests.ingest.access import Site
from tests.ingest.drive import START_MS, Drive
from tests.ingest.process import Car, Ingest, wait_for
from tests.mosquitto import find_mosquitto

pytestmark = pytest.mark.broker
NOW_MS = START_MS + 1_000_000


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    binary = find_mosquitto() or pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    site = Site(binary, tmp_path_factory.mktemp("site"))
    yield site
    site.broker.stop()


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def worker(site, lake):
    folder = site.authority.folder / "worker"
    shown = ("--ca-file", folder / "services.pem", "--cert-file", folder / "worker.pem")
    options = (*shown, "--cert-key-file", folder / "worker.key", "--registry", site.registry, "--json")
    return Ingest(f"mqtts://localhost:{site.worker_port}", lake.root, *map(str, options))


def car(site, folder, drive):
    """The drive's car with its bundle, as the agent would use it."""
    config = load_config(site.folder / drive.device_id / "device.toml")
    made = Car(drive, "mqtt://localhost", folder)
    made.uplink = Uplink(config.device_id, config.broker, config.ca_file, resend_ms=60_000, client=config.client)
    made.uplink.add(made.outbox)
    return made


def rejects(lake):
    return [(row["device_id"], row["reason"]) for row in lake.scan_rejects().collect().to_dicts()]


def test_enrolled_cars_deliver_and_a_thief_in_the_workers_group_takes_nothing_away(site, lake, tmp_path):
    drives = [Drive("car-a"), Drive("car-b")]
    with worker(site, lake) as ingest, site.car("car-a") as thief:
        thief.subscribe("$share/ubi-ingest/ubi/v1/+/up")
        drives[1].trip(batches=20)
        with car(site, tmp_path, drives[1]) as sending:
            sending.deliver()
            assert sending.uplink.counters["resent"] == 0
        assert thief.got == []
        thief._client.disconnect()
        drives[0].trip()
        with car(site, tmp_path, drives[0]) as sending:
            sending.deliver()
        assert "ubi-ingest" in ingest.log.read_text()
        status, _ = ingest.stop()
    assert status == 0
    stored = lake.scan_messages().collect()
    assert stored.height == sum(len(drive.messages) for drive in drives)
    seal(lake, NOW_MS)
    assert lake.scan("trips").collect()["complete"].all()


def test_a_car_forges_nothing_of_another_inside_its_own_messages(site, lake):
    victim, thief = Drive("car-b"), Drive("car-a")
    with worker(site, lake) as ingest, site.car("car-a") as stolen, site.car("car-b") as other:
        other.subscribe(topics.ack("car-b"))
        stolen.subscribe(topics.ack("car-a"))
        for message in victim.trip():
            stolen.publish(topics.up("car-a"), message.payload)
        stolen.publish(topics.up("car-a"), thief.start().payload)
        wait_for(lambda: stolen.got)
        _, out = ingest.stop()
    assert json.loads(out)["rejected_wrong_device"] == 6
    assert set(rejects(lake)) == {("car-a", "wrong_device")}
    assert lake.scan_messages().collect()["device_id"].to_list() == ["car-a"]
    assert other.got == []  # nor does anybody hear that it was refused
    assert {topic for topic, _ in stolen.got} == {topics.ack("car-a")}


def test_old_messages_said_again_change_nothing(site, lake, tmp_path):
    drive = Drive("car-a")
    drive.trip()
    with worker(site, lake), car(site, tmp_path, drive) as sending:
        sending.deliver()
    seal(lake, NOW_MS)
    before, files = lake.manifest().to_bytes(), {f: f.read_bytes() for f in lake.root.rglob("sealed/*/*/*/*.parquet")}
    with worker(site, lake), site.car("car-a") as again:
        again.subscribe(topics.ack("car-a"))
        for message in (*reversed(drive.messages), *drive.messages):
            again.publish(message.topic, message.payload)
            again.publish(message.topic, wire.tombstone(message.payload))
        wait_for(lambda: len(again.got) >= 1 and lake.scan_messages().collect().height > len(drive.messages))
    seal(lake, NOW_MS + 1)
    assert json.loads(lake.manifest().to_bytes())["groups"] == json.loads(before)["groups"]
    assert {f: f.read_bytes() for f in files} == files


def test_whoever_is_revoked_while_connected_is_heard_no_more(site, lake, tmp_path):
    site.enrol("car-c", Consent(("pricing",), motion="full"))
    drive = Drive("car-c")
    drive.trip()
    with worker(site, lake), car(site, tmp_path, drive) as sending:
        sending.deliver()
        assert revoke("car-c", site.authority, site.registry, site.now).status == REVOKED
        drive.trip()
        sending.deliver()  # refused, and acknowledged as that
        assert sending.uplink.counters["rejected"] == 6
        assert sending.uplink.is_ready
    assert lake.scan_messages().collect().height == 6
    assert set(rejects(lake)) == {("car-c", "revoked_device")}
