"""How many cars one ingest worker carries, and what grows with their number.

    cars, each on a connection of its own -> mosquitto -> `ubi ingest run` -> Parquet, synced -> ack to each car

First fleets at one message every ten seconds, as cars on the road send: what the worker and the broker take for a
message and for a car. Then a fleet that sends faster and faster, up to the rate at which acks come late: ten times that
rate is the number of cars. A message is ten seconds of driving at 2 Hz. Broker, worker and cars share the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from tqdm import tqdm

from device.contract import topics
from ingest.contract.lake import Lake
from ingest.contract.tables import SEALED
from ingest.seal import seal
from ingest.worker import Limits, Worker
from tests.bench.drives import recorded_drives
from tests.bench.fleet_cars import ROWS
from tests.bench.measure import KB_PER_MB, ROOT, cpu_s, memory_mb
from tests.bench.row import Row
from tests.bench.wire import messages
from tests.bench.worker import IngestWorker
from tests.mosquitto import Mosquitto, find_mosquitto
from tests.ports import free_port

CARS: Final = "tests.bench.fleet_cars"
EVERY_S: Final = 10.0
ON_TIME: Final = ((1_000, 20.0), (5_000, 20.0), (15_000, 20.0))
PUSHED_CARS: Final = 5_000
PUSHED: Final = (2_000, 6_000, 12_000, 18_000, 24_000)  # messages a second
PUSHED_S: Final = 8.0
NOW_MS: Final = 1_795_000_000_000  # any time after the recordings
LATE_S: Final = 5.0  # an ack later than this is a worker that does not keep up


class Took(NamedTuple):
    """What a fleet of so many cars cost."""

    cars: int
    told: dict[str, Any]
    worker_s: float
    broker_s: float
    worker_mb: float
    broker_mb: float
    files: int


def run() -> list[Row]:
    """Measure; without mosquitto tell so."""
    binary = find_mosquitto()
    if binary is None:
        sys.stderr.write("bench: fleet is SKIPPED: it needs mosquitto\n")
        return [Row("SKIPPED: mosquitto is not installed", 0.0, "messages")]
    with tempfile.TemporaryDirectory() as folder:
        fleets = [(cars, EVERY_S, seconds) for cars, seconds in ON_TIME]
        fleets += [(PUSHED_CARS, PUSHED_CARS / rate, PUSHED_S) for rate in PUSHED]
        took = []
        for number, (cars, every_s, seconds) in enumerate(tqdm(fleets, desc="fleet", unit="fleet", disable=None)):
            took.append(drive(binary, Path(folder) / str(number), cars, every_s, seconds))
            if took[-1].told["p99_s"] > LATE_S:
                break
    return [*on_time_rows(took[: len(ON_TIME)]), *pushed_rows(took[len(ON_TIME) :]), *storage_rows()]


def drive(binary: str, folder: Path, cars: int, every_s: float, seconds: float) -> Took:
    """Let a fleet drive on a broker and a worker of its own."""
    server = Mosquitto(binary, folder / "mosquitto", free_port())
    server.start()
    try:
        with IngestWorker(folder, folder / "lake", "--broker", server.url) as worker:
            idle_mb = memory_mb(server.pid, "VmRSS")
            with fleet(server.port, cars, every_s, seconds) as talk:
                before = [worker.cpu_s, cpu_s(server.pid)]
                told = json.loads(talk())
                after = [worker.cpu_s, cpu_s(server.pid)]
                broker_mb, worker_mb = memory_mb(server.pid, "VmHWM") - idle_mb, memory_mb(worker.pid, "VmHWM")
    finally:
        server.stop()
    files = len(Lake(folder / "lake").message_files())
    worker_s, broker_s = (end - start for start, end in zip(before, after, strict=True))
    return Took(cars, told, worker_s, broker_s, worker_mb, broker_mb, files)


@contextmanager
def fleet(port: int, cars: int, every_s: float, seconds: float) -> Iterator[Any]:
    """Start a fleet, connected; what is yielded lets it drive and returns what it told."""
    command = [sys.executable, "-m", CARS, str(port), str(cars), str(every_s), str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError("the fleet did not connect")

        def talk() -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            return process.stdout.readline()

        try:
            yield talk
        finally:
            process.stdin.close()


def on_time_rows(fleets: list[Took]) -> list[Row]:
    """Table of fleets that send every ten seconds."""
    rows = []
    for took in fleets:
        sent, name = took.told["sent"], f"{took.cars:,} cars"
        rows += [
            Row(f"{name}: acked", 100 * took.told["acked"] / sent, "%", goal="all", met=took.told["acked"] == sent),
            Row(f"{name}: time to the ack, median", took.told["median_s"], "s"),
            Row(f"{name}: time to the ack, 99 %", took.told["p99_s"], "s"),
            Row(f"{name}: CPU of the worker", 1e6 * took.worker_s / sent, "us/message"),
            Row(f"{name}: CPU of the broker", 1e6 * took.broker_s / sent, "us/message"),
            Row(f"{name}: memory of the worker", took.worker_mb, "MB"),
            Row(f"{name}: memory of the broker", KB_PER_MB * took.broker_mb / took.cars, "kB/car"),
            Row(f"{name}: files", took.files / took.told["took_s"], "1/s"),
        ]
    return rows


def pushed_rows(fleets: list[Took]) -> list[Row]:
    """Table of one fleet that sends faster and faster."""
    rows, carried = [], 0
    for took, rate in zip(fleets, PUSHED, strict=False):
        reached = took.told["acked"] / took.told["took_s"]
        in_time = took.told["p99_s"] <= LATE_S and took.told["acked"] == took.told["sent"]
        carried = max(carried, round(rate * EVERY_S)) if in_time else carried
        rows += [
            Row(f"{rate:,} messages/s: acked", reached, "1/s"),
            Row(f"{rate:,} messages/s: time to the ack, 99 %", took.told["p99_s"], "s", met=in_time),
            Row(f"{rate:,} messages/s: CPU of the worker", 1e6 * took.worker_s / took.told["sent"], "us/message"),
            Row(f"{rate:,} messages/s: CPU of the broker", 1e6 * took.broker_s / took.told["sent"], "us/message"),
            Row(f"{rate:,} messages/s: CPU of the cars", 1e6 * took.told["cpu_s"] / took.told["sent"], "us/message"),
        ]
    return [*rows, Row("cars that one worker carried, at a message every 10 s", carried, "cars")]


def storage_rows() -> list[Row]:
    """What recorded driving takes in the lake, ten seconds a message: as received, and sealed. No two are alike."""
    rows = []
    for drives in recorded_drives():
        with tempfile.TemporaryDirectory() as folder:
            lake, count = Lake(folder), 0
            worker = Worker(lake, "w", lambda _topic, _payload: True, Limits(messages=2**31, payload_bytes=2**31))
            for recording in drives.read():
                for payload in messages(recording, ROWS):
                    worker.take(topics.up(recording.device_id), payload, NOW_MS)
                    count += 1
            worker.flush(NOW_MS)
            seal(lake, NOW_MS)
            received = sum(file.stat().st_size for file in lake.message_files())
            sealed = sum(file.stat().st_size for table in SEALED for file in lake.sealed_files(table))
        rows += [
            Row(f"{drives.name}: as received", received / count, "B/message"),
            Row(f"{drives.name}: sealed beside it", sealed / count, "B/message"),
        ]
    return rows
