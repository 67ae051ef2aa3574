"""A running worker as its operator sees it: metrics, health, what systemd is told, and what stands in the log."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingest.systemd import ALIVE_EVERY_S, Systemd
from tests.conftest import REPOSITORY
from tests.ingest.drive import Drive
from tests.ingest.process import Car, Ingest, wait_for

UNITS = REPOSITORY / "ingest" / "units"


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def watched_at(ingest):
    """URL of a worker's monitor, from its log."""
    return next(line.split()[-1] for line in ingest.log.read_text().splitlines() if "watched at" in line)


def scraped(url):
    families = text_string_to_metric_families(get(f"{url}/metrics")[1])
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@pytest.fixture
def notified(tmp_path, monkeypatch):
    """What systemd would hear."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield end


@pytest.mark.broker
def test_a_scrape_follows_what_the_worker_does(mosquitto, tmp_path):
    drive = Drive("car")
    drive.trip()
    with (
        Ingest(mosquitto.url, tmp_path / "lake", "--monitor", "0") as ingest,
        Car(drive, mosquitto.url, tmp_path) as car,
    ):
        url = watched_at(ingest)
        assert url.startswith("http://127.0.0.1:")
        assert get(f"{url}/health")[0] == 200
        car.deliver()
        wait_for(lambda: scraped(url)["ubi_ingest_stored_total",] == len(drive.messages))
        found = scraped(url)
        assert found["ubi_ingest_commit_seconds_count",] >= 1
        assert found["ubi_ingest_connected",] == 1
        mosquitto.stop()
        wait_for(lambda: scraped(url)["ubi_ingest_connected",] == 0)
        mosquitto.start()
        wait_for(lambda: scraped(url)["ubi_ingest_connected",] == 1)


@pytest.mark.broker
def test_systemd_is_told_of_ready_alive_and_stopping(mosquitto, tmp_path, notified):
    with Ingest(mosquitto.url, tmp_path / "lake") as ingest:
        assert [notified.recv(64) for _ in range(2)] == [b"READY=1", b"WATCHDOG=1"]
        ingest.process.terminate()
        heard = [notified.recv(64)]
        while heard[-1] == b"WATCHDOG=1":
            heard.append(notified.recv(64))
    assert heard[-1] == b"STOPPING=1"


def test_alive_is_said_every_few_seconds_and_nothing_where_nobody_listens(notified, tmp_path):
    systemd = Systemd()
    for now_s in (0.0, 1.0, ALIVE_EVERY_S, ALIVE_EVERY_S + 1):
        systemd.alive(now_s)
    systemd.stopping()
    assert [notified.recv(64) for _ in range(3)] == [b"WATCHDOG=1", b"WATCHDOG=1", b"STOPPING=1"]
    Systemd("").ready()
    Systemd(str(tmp_path / "gone")).ready()


@pytest.mark.broker
def test_the_log_is_json_and_names_no_device_vehicle_or_place(mosquitto, tmp_path):
    drive = Drive("car-of-smith")
    drive.start(vehicle="VIN WVWZZZ1JZXW000001", adapter="ELM of Smith", odometer_m=123_456_789)
    drive.motion()
    drive.end()
    module = ("ubi", "--log-level", "debug", "--log-format", "json")
    with Ingest(mosquitto.url, tmp_path / "lake", "--monitor", "0", module=module) as ingest:
        url = json.loads(ingest.log.read_text().splitlines()[1])["message"].split()[-1]
        with Car(drive, mosquitto.url, tmp_path) as car:
            car.deliver()
        foreign = Drive("other-car")
        foreign.start(vehicle="WVWZZZ1JZXW000001")
        from tests.bench.publisher import Publisher, publish_packet

        with Publisher(mosquitto.port, "thief") as publisher:  # a message on a foreign topic, and one of rubbish
            packets = [foreign.messages[0].payload, b"Smith lives at 52.5200 N 13.4050 E"]
            publisher.send([publish_packet("ubi/v1/car-of-smith/up", p, i) for i, p in enumerate(packets)])
        wait_for(lambda: scraped(url).get(("ubi_ingest_rejected_total", "garbage")) == 1)
        told = get(f"{url}/metrics")[1] + get(f"{url}/health")[1]
        assert ingest.stop()[0] == 0
    lines = [json.loads(line) for line in ingest.log.read_text().splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
    assert lines[-1]["facts"]["rejected"] == 2
    told += ingest.log.read_text()
    for secret in ("smith", "Smith", "other-car", "WVWZZZ", "ELM of", "123456789", "52.52", drive.stream_id.hex()):
        assert secret not in told


@pytest.mark.parametrize("name", sorted(path.name for path in UNITS.iterdir()))
def test_a_unit_is_what_systemd_accepts(name, tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / name.replace("@.", "@1.")
    text = (UNITS / name).read_text().replace("/opt/ubi/bin/ubi", sys.executable)
    path.write_text(text)
    for other in UNITS.iterdir():  # a timer names its service
        if other.name != name:
            (tmp_path / other.name).write_text(other.read_text().replace("/opt/ubi/bin/ubi", sys.executable))
    result = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=60)
    ours = [line for line in result.stderr.splitlines() if Path(name).stem.removesuffix("@") in line]
    assert (result.returncode, ours) == (0, [])


def test_the_units_run_commands_that_exist():
    from ingest.cli import _parser

    for unit in UNITS.glob("*.service"):
        (line,) = [line for line in unit.read_text().splitlines() if line.startswith("ExecStart=")]
        words = (
            line.partition(" ingest ")[2]
            .replace("${BROKER}", "mqtts://b")
            .replace("$OPTIONS", "")
            .replace("$SEAL_OPTIONS", "")
            .split()
        )
        assert _parser().parse_args(words)
