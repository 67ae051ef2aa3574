from __future__ import annotations

import getpass
import json
import signal
import subprocess
import sys
import threading

import pytest

from device.contract import topics
from device.contract.broker import parse_broker
from device.contract.errors import TryAgainError, UbiError, UsageError
from ingest import broker as broker_module
from ingest.broker import SHARED_FILTER, Broker
from ingest.contract.lake import Lake
from ingest.embedded import EmbeddedBroker
from ingest.query import status
from ingest.seal import seal
from ingest.serve import serve
from ingest.worker import Limits, Worker
from tests.ingest.drive import START_MS, Drive
from tests.ingest.process import Car, Ingest, wait_for
from tests.mosquitto import Mosquitto, find_mosquitto

pytestmark = pytest.mark.broker
NOW_MS = START_MS + 1_000_000


def assert_all_sealed(lake, drives):
    """Nothing lost, nothing doubled."""
    seal(lake, NOW_MS)
    trips = lake.scan("trips").collect()
    assert trips["complete"].all()
    assert trips["chain_ok"].all()
    assert trips["conflicts"].sum() == 0
    assert trips["trip_id"].n_unique() == trips.height
    rows = {row["device_id"]: row for row in status(lake)}
    for drive in drives:
        row = rows[drive.device_id]
        assert (row["messages"], row["missing"]) == (len(drive.messages), 0)
    motion = lake.scan("motion").collect()
    assert motion.height == trips["samples"].sum()
    assert motion.select("trip_key", "t_ms").n_unique() == motion.height


def test_messages_reach_the_lake_and_the_outbox_empties(mosquitto, tmp_path):
    lake, drives = tmp_path / "lake", [Drive(f"car-{i}") for i in range(3)]
    with Ingest(mosquitto.url, lake, "--json") as ingest:
        for drive in drives:
            drive.trip()
            with Car(drive, mosquitto.url, tmp_path) as car:
                car.deliver()
        status_code, out = ingest.stop()
    assert status_code == 0
    assert json.loads(out)["stored"] == 18
    assert_all_sealed(Lake(lake), drives)


def test_stopping_writes_and_acknowledges_what_is_held(mosquitto, tmp_path, monkeypatch):
    drive, lake, stop, taken = Drive("car"), Lake(tmp_path / "lake"), threading.Event(), []
    drive.trip()
    real = Worker.take
    monkeypatch.setattr(Worker, "take", lambda self, *message: (real(self, *message), taken.append(message)))
    patient = Limits(age_ms=3_600_000)
    address = parse_broker(mosquitto.url)
    worker = threading.Thread(target=serve, args=(lake, address, stop), kwargs={"limits": patient})
    worker.start()
    with Car(drive, mosquitto.url, tmp_path) as car:
        car.queue()
        wait_for(lambda: car.step() < 0 or len(taken) >= len(drive.messages))
        assert lake.message_files() == []
        stop.set()
        wait_for(lambda: car.step() == 0)
    worker.join(10)
    assert lake.scan_messages().collect().height == len(drive.messages)


def test_until_idle_ends_by_itself(mosquitto, tmp_path):
    command = ["ingest", "run", "--broker", mosquitto.url, "--lake", str(tmp_path / "lake"), "--until-idle", "0.5"]
    result = subprocess.run([sys.executable, "-m", "ubi", *command], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    assert result.stdout.splitlines()[0] == "received    0"


@pytest.mark.timeout(180)
def test_a_worker_killed_before_any_step_of_a_commit_loses_and_doubles_nothing(mosquitto, tmp_path):
    drive = Drive("car")
    with Car(drive, mosquitto.url, tmp_path) as car:
        for step in range(6):
            drive.trip()
            car.queue()
            dies = ("tests.ingest.dies", str(step))
            with Ingest(mosquitto.url, tmp_path / "lake", module=dies) as ingest:
                wait_for(lambda i=ingest: car.step() < 0 or i.process.poll() is not None)
                assert ingest.process.returncode == -signal.SIGKILL
            if step < 4:
                assert car.outbox.waiting() >= 6  # nothing was acked before it was on disk
        with Ingest(mosquitto.url, tmp_path / "lake"):
            car.deliver()
    assert_all_sealed(Lake(tmp_path / "lake"), [drive])


def test_a_broker_killed_between_puback_and_delivery_loses_nothing(mosquitto, tmp_path):
    drive = Drive("car")
    with Car(drive, mosquitto.url, tmp_path) as car, Ingest(mosquitto.url, tmp_path / "lake") as ingest:
        for _ in range(2):
            drive.trip()
            car.queue()
            wait_for(lambda: car.step() < 0 or car.uplink._lanes[drive.stream_id]._sent)
            mosquitto.kill9()
            car.step()
            mosquitto.start()
            car.deliver()
        status_code, _ = ingest.stop()
    assert status_code == 0
    assert_all_sealed(Lake(tmp_path / "lake"), [drive])


def test_two_workers_share_the_load_where_the_broker_shares(mosquitto, tmp_path):
    lake, drives = tmp_path / "lake", [Drive(f"car-{i}") for i in range(4)]
    with Ingest(mosquitto.url, lake, "--json") as one, Ingest(mosquitto.url, lake, "--json") as two:
        assert SHARED_FILTER in one.log.read_text()
        for drive in drives:
            drive.trip(batches=10)
            with Car(drive, mosquitto.url, tmp_path) as car:
                car.deliver()
        counts = [json.loads(ingest.stop()[1])["stored"] for ingest in (one, two)]
    assert min(counts) > 0
    assert sum(counts) >= sum(len(drive.messages) for drive in drives)
    assert_all_sealed(Lake(lake), drives)


def test_the_same_flow_through_the_embedded_broker(tmp_path):
    lake, drive, stop = Lake(tmp_path / "lake"), Drive("car"), threading.Event()
    drive.trip()
    with EmbeddedBroker() as embedded:
        address = parse_broker(embedded.url)
        worker = threading.Thread(target=serve, args=(lake, address, stop))
        worker.start()
        with Car(drive, embedded.url, tmp_path) as car:
            car.deliver()
        stop.set()
        worker.join(10)
    assert not worker.is_alive()
    assert_all_sealed(lake, [drive])


def test_the_embedded_broker_takes_no_thread_along_and_names_a_taken_port():
    before = threading.active_count()
    with EmbeddedBroker() as embedded:
        port = parse_broker(embedded.url).port
        with pytest.raises(TryAgainError, match="Address already in use; name another port"):
            EmbeddedBroker(port).__enter__()
    assert threading.active_count() == before


def test_a_shared_filter_is_used_only_where_a_probe_came_through(mosquitto):
    filters = {}
    with EmbeddedBroker() as embedded:
        for url in (mosquitto.url, embedded.url):
            broker = Broker(parse_broker(url), lambda topic, payload: None)
            broker.connect()
            filters[url] = broker._filter
            broker.close()
    assert filters == {mosquitto.url: SHARED_FILTER, embedded.url: topics.UP_FILTER}


def test_no_broker_is_try_again(tmp_path, free_port):
    with pytest.raises(TryAgainError, match=r"no broker there \(Connection refused\); start it"):
        serve(Lake(tmp_path), parse_broker(f"mqtt://localhost:{free_port}"), threading.Event())


def test_a_listener_that_is_no_broker_is_told_apart(tmp_path, monkeypatch):
    import socket

    monkeypatch.setattr(broker_module, "CONNECT_WITHIN_S", 0.2)
    monkeypatch.setattr(broker_module, "MQTT5_WITHIN_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = parse_broker(f"mqtt://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(TryAgainError, match="does not answer as an MQTT broker"):
            serve(Lake(tmp_path), address, threading.Event())


def test_a_broker_that_refuses_is_named_with_its_reason(mosquitto, tmp_path):
    mosquitto.stop()
    mosquitto._config.write_text(mosquitto._config.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    mosquitto.start()
    with pytest.raises(UbiError, match="refuses the connection: Not authorized"):
        serve(Lake(tmp_path), parse_broker(mosquitto.url), threading.Event())


def test_tls_is_spoken_and_an_unknown_authority_refused(tmp_path, free_port):
    certificate, key = make_certificate(tmp_path)
    # started by root, the broker would become a user who may not read the test's folder
    extra = f"certfile {certificate}\nkeyfile {key}\nuser {getpass.getuser()}"
    broker = Mosquitto(find_mosquitto() or pytest.skip("no mosquitto"), tmp_path / "broker", free_port, extra)
    broker.start()
    try:
        address = parse_broker(f"mqtts://localhost:{free_port}")
        done = serve(Lake(tmp_path), address, threading.Event(), until_idle_s=0.2, ca_file=certificate)
        assert done["received"] == 0
        command = ["ingest", "run", "--broker", str(address), "--lake", str(tmp_path)]
        refused = subprocess.run([sys.executable, "-m", "ubi", *command], capture_output=True, text=True, timeout=60)
        assert refused.returncode == 1
        assert "its certificate is not trusted (self-signed certificate); see --ca-file" in refused.stderr
    finally:
        broker.stop()


def make_certificate(folder):
    """A certificate for localhost that is its own authority, and its key."""
    certificate, key = folder / "cert.pem", folder / "key.pem"
    name = ["/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    curve = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", *curve, "-subj", *name, "-out", certificate, "-keyout", key]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_unknown_devices_from_beyond_this_machine_need_a_word(tmp_path):
    with pytest.raises(UsageError, match="say --insecure"):
        serve(Lake(tmp_path), parse_broker("mqtts://broker.example"), threading.Event())


def test_a_lake_that_cannot_be_written_stops_before_any_message_is_taken(mosquitto, tmp_path):
    (tmp_path / "lake").write_text("a file")
    with pytest.raises(UbiError, match="cannot be written"):
        serve(Lake(tmp_path / "lake"), parse_broker(mosquitto.url), threading.Event())


def test_a_disk_that_fills_up_ends_the_worker_and_acks_nothing(mosquitto, tmp_path, monkeypatch):
    from ingest.contract import durable

    drive, lake = Drive("car"), Lake(tmp_path / "lake")
    drive.trip()
    address, errors = parse_broker(mosquitto.url), []
    (lake.root / "messages").mkdir(parents=True)

    def run():
        try:
            serve(lake, address, threading.Event())
        except TryAgainError as error:
            errors.append(str(error))

    real = durable.os.fsync

    def fsync(descriptor):
        if ".parquet" in durable.os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(durable.os, "fsync", fsync)
    worker = threading.Thread(target=run)
    worker.start()
    with Car(drive, mosquitto.url, tmp_path) as car:
        car.queue()
        wait_for(lambda: car.step() < 0 or not worker.is_alive())
        assert car.outbox.waiting() == 6
    worker.join(10)
    assert "No space left on device; nothing of this segment was acknowledged" in errors[0]
