"""Many workers on one broker, of which any may be added, killed or stalled at any time: real processes throughout."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest

from ingest.broker import SHARED_FILTER
from ingest.contract.lake import Lake
from ingest.query import gaps, status
from ingest.seal import seal
from tests.ingest.drive import START_MS, Drive
from tests.ingest.process import Car, Ingest, wait_for

pytestmark = pytest.mark.broker
NOW_MS = START_MS + 1_000_000


def assert_nothing_lost_and_nothing_doubled(root, drives):
    lake = Lake(root)
    report = seal(lake, NOW_MS)
    assert (report.conflicts, report.incomplete, report.open) == (0, 0, 0)
    assert gaps(lake) == []
    assert {row["device_id"]: row["messages"] for row in status(lake)} == {d.device_id: len(d.messages) for d in drives}
    motion = lake.scan("motion").collect()
    assert motion.height == lake.scan("trips").collect()["samples"].sum()
    assert motion.select("trip_key", "t_ms").n_unique() == motion.height


@pytest.mark.timeout(180)
def test_a_stalled_a_killed_and_a_new_worker_lose_and_double_nothing(mosquitto, tmp_path):
    lake, drive = tmp_path / "lake", Drive("car")
    with (
        Ingest(mosquitto.url, lake) as stalled,
        Ingest(mosquitto.url, lake) as killed,
        Ingest(mosquitto.url, lake, "--json") as steady,
        Car(drive, mosquitto.url, tmp_path) as car,
    ):
        assert SHARED_FILTER in steady.log.read_text()
        drive.trip(batches=20)
        stalled.process.send_signal(signal.SIGSTOP)  # its third of the messages goes to it and comes to nothing
        car.deliver()
        assert car.uplink.counters["resent"] > 0
        drive.trip(batches=20)
        car.queue()
        wait_for(lambda: car.step() < 0 or car.uplink._lanes[drive.stream_id].sent)
        killed.process.kill()
        with Ingest(mosquitto.url, lake, "--json") as added:
            car.deliver()
            stalled.process.send_signal(signal.SIGCONT)  # what it held it stores now, late and a second time
            drive.trip(batches=20)
            car.deliver()
            told = [json.loads(worker.stop()[1]) for worker in (steady, added)]
        assert stalled.stop()[0] == 0
    assert min(counts["stored"] for counts in told) > 0
    assert_nothing_lost_and_nothing_doubled(lake, [drive])


@pytest.mark.timeout(180)
def test_workers_run_while_the_lake_is_sealed_and_read(mosquitto, tmp_path):
    lake, drives = tmp_path / "lake", [Drive(f"car-{number}") for number in range(3)]
    with Ingest(mosquitto.url, lake), Ingest(mosquitto.url, lake):
        for step in range(3):
            for drive in drives:
                drive.trip(batches=3 + step)
                with Car(drive, mosquitto.url, tmp_path) as car:
                    car.queue()
                    while car.step():
                        if Lake(lake).message_files():
                            seal(Lake(lake), NOW_MS + 40 * 86_400_000 * step)  # days are over, trips are given up
            assert sum(row["messages"] for row in status(Lake(lake))) == sum(len(d.messages) for d in drives)
    assert_nothing_lost_and_nothing_doubled(lake, drives)


def test_until_idle_ends_when_the_broker_does_not_come_back(mosquitto, tmp_path):
    command = ["ingest", "run", "--broker", mosquitto.url, "--lake", str(tmp_path / "lake"), "--until-idle", "2"]
    log = (tmp_path / "log").open("w+b")
    with subprocess.Popen([sys.executable, "-m", "ubi", *command], stdout=subprocess.PIPE, stderr=log) as process:
        wait_for(lambda: b"connected to" in (tmp_path / "log").read_bytes())
        mosquitto.kill9()
        process.communicate(timeout=60)
    assert process.returncode == 75
    assert "went away and did not come back within 2 s; what had come is on disk" in (tmp_path / "log").read_text()
    log.close()
