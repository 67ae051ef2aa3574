"""Messages a second of an ingest worker, which acks after the sync, against a C client, which acks at once.

    publisher -> mosquitto -> mosquitto_sub (libmosquitto, PUBACK at once)
    publisher -> mosquitto -> paho and nothing else
    publisher -> mosquitto -> `ubi ingest run` -> Parquet, synced -> application acks

Same broker, same messages, in turn. The time is from the first publish to the last message received. Of a worker it is
to the application acks of all but its last segment: a last one that is not full waits a second for more. Messages are
a minute of recorded driving each, as a car sends them: distinct, and valid. Two fleets: cars that were offline send
many messages each and get one ack a segment; cars on the road send one each, so that every message needs an ack.
UBI_BENCH_REALTIME=1 (as root) measures as if nobody else used the machine, a second or two at a time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from tqdm import tqdm

from device.chain import Chain
from device.contract import bodies, topics, wire
from device.contract import wire_pb2 as pb
from device.contract.signing import Signer
from ingest.broker import WINDOW
from ingest.worker import Limits
from tests.bench.drives import recorded_drives
from tests.bench.measure import ROOT, against, ahead_of_others, cpu_s, judged, measured
from tests.bench.publisher import Publisher, publish_packet
from tests.bench.row import Row
from tests.bench.wire import messages
from tests.bench.worker import IngestWorker, until
from tests.mosquitto import Mosquitto, find_mosquitto
from tests.ports import free_port

MESSAGES = 48_000  # a second of work, several segments for each worker
BATCH_ROWS = 120  # a minute
OFFLINE_CARS = 100
REPEATS = 3
WITHIN_S = 60
QUIET_S = 10.0  # no ack for so long: no more will come
SHARED = "$share/c-client/ubi/v1/+/up"
PAHO = "tests.bench.paho_client"
RECEIVE_WINDOW = WINDOW  # the worker's
SEGMENT = Limits().messages


class Took(NamedTuple):
    """Messages taken in `wall_s`, messages taken in the end, and the CPU seconds of the subscriber for those; the
    most memory that one worker held.
    """

    messages: int
    wall_s: float
    acked: int
    cpu_s: float
    peak_mb: float = 0.0


def run() -> list[Row]:
    """Measure; without mosquitto tell so."""
    broker, client = find_mosquitto(), shutil.which("mosquitto_sub")
    if broker is None or client is None:
        sys.stderr.write("bench: ingest is SKIPPED: it needs mosquitto and mosquitto_sub (mosquitto-clients)\n")
        return [Row("SKIPPED: mosquitto or mosquitto_sub is not installed", 0.0, "messages")]
    bodies_of = driven_minutes()
    offline, on_road = (packets(bodies_of, cars) for cars in (OFFLINE_CARS, MESSAGES))
    runs: dict[str, list[Took]] = {}
    with tempfile.TemporaryDirectory() as folder, mosquitto(broker, Path(folder)) as server:
        ways: dict[str, Callable[[Path], Took]] = {
            "C client": lambda _: subscriber(c_client(client, server.port), server, offline),
            "paho": lambda _: subscriber(paho_client(server.port), server, offline),
            "worker": lambda into: workers(1, server, offline, into),
            "two workers": lambda into: workers(2, server, offline, into),
            "worker, an ack a message": lambda into: workers(1, server, on_road, into),
        }
        for repeat in tqdm(range(REPEATS), desc="ingest", unit="repeat", disable=None):
            for name, way in ways.items():
                runs.setdefault(name, []).append(way(Path(folder) / f"{name} {repeat}"))
    return rows(runs)


def rows(runs: dict[str, list[Took]]) -> list[Row]:
    """Table of the measurements."""
    rate = {name: [took.messages / took.wall_s for took in of] for name, of in runs.items()}
    cpu_us = {name: [took.cpu_s / MESSAGES * 1e6 for took in of] for name, of in runs.items()}
    ratio = partial(against, theirs=rate["C client"], unit="x C client")
    of_one = partial(ratio, goal="at least 0.5, beat 0.8", meets=lambda x: x >= 0.5)
    out = [
        of_one("one worker", rate["worker"]),
        of_one("one worker, an ack a message", rate["worker, an ack a message"]),
        ratio("paho alone, acking at once", rate["paho"]),
        ratio("two workers", rate["two workers"], goal="at least 0.8", meets=lambda x: x >= 0.8),
    ]
    for name in ("worker", "worker, an ack a message", "two workers"):
        heard = [100 * took.acked / MESSAGES for took in runs[name]]
        out.append(measured(f"{name}: messages", rate[name], "1/s", rate["C client"]))
        out.append(measured(f"{name}: samples", [BATCH_ROWS * value for value in rate[name]], "1/s"))
        out.append(measured(f"{name}: CPU", cpu_us[name], "us/message", cpu_us["C client"]))
        out.append(judged(f"{name}: acked at once", heard, "%", "all", lambda x: x == 100))
        out.append(measured(f"{name}: peak memory of one", [took.peak_mb for took in runs[name]], "MB"))
    return out


def driven_minutes() -> list[bodies.Motion]:
    """Motion batches of a whole minute, of the project's own recorded trips."""
    recordings = recorded_drives()[-1].read()
    decoded = (wire.decode(payload) for recording in recordings for payload in messages(recording, BATCH_ROWS))
    motion = (message.body for message in decoded if isinstance(message, wire.Message))
    return [body for body in motion if isinstance(body, bodies.Motion) and body.count == BATCH_ROWS]


def packets(minutes: list[bodies.Motion], cars: int) -> list[bytes]:
    """MESSAGES packets of so many cars, which send in turn."""
    sign = Signer.from_seed(bytes(32)).sign
    chains = [
        Chain(
            device_id=f"car-{car}",
            stream_id=car.to_bytes(16, "big"),
            boot_id=bytes(16),
            next_seq=1,
            head=b"",
            sign=sign,
            signed_ms=0,
        )
        for car in range(cars)
    ]
    out = []
    for number in tqdm(range(MESSAGES), desc=f"messages of {cars} cars", unit="", unit_scale=True, disable=None):
        body, time_ms = minutes[number % len(minutes)], number // cars * 60_000
        payload = chains[number % cars].add(body, mono_ms=time_ms, utc_ms=time_ms, quality=1, next_within_ms=60_000)
        out.append(publish_packet(topics.up(f"car-{number % cars}"), payload.payload, number))
    return out


def c_client(binary: str, port: int) -> list[str]:
    """Command of mosquitto_sub that takes all; it prints lengths only."""
    window = ["-V", "mqttv5", "-D", "CONNECT", "receive-maximum", str(RECEIVE_WINDOW)]
    return [
        binary,
        "-p",
        str(port),
        "-C",
        str(MESSAGES),
        "-W",
        str(WITHIN_S),
        *window,
        "-q",
        "1",
        "-t",
        SHARED,
        "-F",
        "%l",
    ]


def paho_client(port: int) -> list[str]:
    """Command of a paho client that takes all."""
    return [sys.executable, "-m", PAHO, str(port), str(RECEIVE_WINDOW), SHARED, str(MESSAGES)]


def subscriber(command: list[str], server: Mosquitto, sent: list[bytes]) -> Took:
    """Let a client take all that ends by itself then."""
    known = server.log.read_text().count(SHARED)
    with Publisher(server.port, "publisher") as publisher:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        until(lambda: server.log.read_text().count(SHARED) > known)
        used_s = cpu_s(process.pid)
        with ahead_of_others(process.pid, server.pid, os.getpid()):
            began_s = perf_counter()
            publisher.send(sent)
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = perf_counter() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return Took(len(sent), wall_s, len(sent), usage.ru_utime + usage.ru_stime - used_s)


def workers(count: int, server: Mosquitto, sent: list[bytes], folder: Path) -> Took:
    """Let so many workers take all into one lake."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(IngestWorker(folder / str(number), folder / "lake", "--broker", server.url))
            for number in range(count)
        ]
        acks = stack.enter_context(heard_acks(server.port, len(sent) - count * SEGMENT))
        publisher = stack.enter_context(Publisher(server.port, "publisher"))
        used_s = sum(worker.cpu_s for worker in running)
        with ahead_of_others(server.pid, os.getpid(), *(worker.pid for worker in running)):
            began_s = perf_counter()
            publisher.send(sent)
            acked = acks.wait_for(len(sent))
        messages_then, then_s = acks.mark
        cpu_s_used = sum(worker.cpu_s for worker in running) - used_s
        peak_mb = max(worker.peak_mb for worker in running)
        took = Took(messages_then, then_s - began_s, acked, cpu_s_used, peak_mb)
    stored = sum(worker.counters["stored"] for worker in running)
    if stored != len(sent):
        raise RuntimeError(f"{stored} of {len(sent)} messages were stored")
    return took


class Acks:
    """Counts the messages that application acks name; `mark` is how many there were, and when, once it was enough."""

    def __init__(self, enough: int) -> None:
        self.mark = (0, 0.0)
        self._enough = enough
        self._more = threading.Condition()
        self._count = 0

    def take(self, payload: bytes) -> None:
        """Count an ack."""
        with self._more:
            self._count += sum(span.last - span.first + 1 for span in pb.Ack.FromString(payload).stored)
            if self.mark[0] < self._enough:
                self.mark = (self._count, perf_counter())
            self._more.notify()

    def wait_for(self, count: int) -> int:
        """Wait until so many messages are acknowledged, or no more are; how many."""
        with self._more:
            until_s = perf_counter() + WITHIN_S
            while self._count < count and perf_counter() < until_s and self._more.wait(QUIET_S):
                pass
            return self._count


@contextmanager
def heard_acks(port: int, enough: int) -> Iterator[Acks]:
    """Listen to the acks of all cars."""
    acks, ready = Acks(enough), threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "listener", protocol=mqtt.MQTTv311)

    def on_message(_client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        acks.take(bytes(message.payload))

    client.on_message = on_message
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.subscribe("ubi/v1/+/ack", qos=0)
    client.loop_start()
    ready.wait(WITHIN_S)
    try:
        yield acks
    finally:
        client.disconnect()
        client.loop_stop()


@contextmanager
def mosquitto(binary: str, folder: Path) -> Iterator[Mosquitto]:
    """A broker that logs who subscribes."""
    server = Mosquitto(binary, folder / "mosquitto", free_port(), "log_type error\nlog_type subscribe")
    server.start()
    try:
        yield server
    finally:
        server.stop()
