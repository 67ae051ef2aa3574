"""What a driving hour costs a SIM card in each privacy setting, both ways, with TLS, acks, pings and IP headers.

    recording -> agent -> outbox -> uplink -> TLS with client certificate -> counted link -> mosquitto -> insurer

Time is virtual, and nothing goes on before a message is acknowledged: so every message is sent and acked alone, as in
a car on a good network; a backlog costs less. Pings are counted as if nothing else were ever sent. The anchor of a row
is the messages alone.
"""

from __future__ import annotations

import tempfile
import threading
from itertools import pairwise, product
from pathlib import Path

from tqdm import tqdm

from device.agent import Agent, AgentSettings
from device.clock import RecordedClock
from device.contract.broker import ClientCertificate, parse_broker
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.outbox import Outbox
from device.privacy import LOCATIONS, MOTIONS
from device.uplink import Uplink
from device.uplink_connection import KEEPALIVE_S
from tests.bench import imu_drives
from tests.bench.drives import recorded_drives
from tests.bench.row import Row
from tests.counting_link import CountingLink, Passed
from tests.insurer import Insurer, until
from tests.mosquitto import find_mosquitto
from tests.tls_broker import TlsBroker, tls_broker

MS_PER_HOUR, S_PER_HOUR = 3_600_000, 3_600
BYTES_PER_KB = 1_000
BOX = "bench-car"
DRIVES = {"KIT": 1, "POLIDriving": 1, "own trips": 2}  # recordings of each kind
PINGS = 20
PAUSE_S = 0.2
IMU_AGAIN_MS = 600_000  # between two drives with an IMU: a trip ends, the box stays calibrated
IMU_DRIVES = 4


def run() -> list[Row]:
    """Measure every setting on each kind of drive."""
    binary = find_mosquitto()
    if binary is None:
        return [Row("mosquitto is not installed", 0, "")]
    rows = []
    with (
        tempfile.TemporaryDirectory() as folder,
        tls_broker(binary, Path(folder), asks=True) as broker,
        CountingLink(broker.port) as link,
        Insurer(broker.plain_port),
    ):
        bench = Bench(link, Path(folder), broker)
        rows += [bench.connection(), bench.ping()]
        ping_bytes = rows[-1].value * S_PER_HOUR / KEEPALIVE_S
        for name, drives in plays().items():
            settings = list(product(LOCATIONS, MOTIONS) if any(map(has_gnss, drives)) else product(["off"], MOTIONS))
            for location, motion in tqdm(settings, desc=name, disable=None):
                passed, sent, hours = bench.play(drives, location, motion)
                value = (passed.on_the_air / hours + ping_bytes) / BYTES_PER_KB
                told = f"{name}: location {location}, motion {motion}"
                rows.append(Row(told, value, "kB/h", 0, sent / hours / BYTES_PER_KB))
    return rows


def plays() -> dict[str, list[list[Reading]]]:
    """Kinds of drives: readings of each recording. Of the BMW the last drive of several, when its IMU is calibrated."""
    kinds = {
        kind.name: [rec.readings for rec in kind._replace(files=kind.files[: DRIVES[kind.name]]).read()]
        for kind in recorded_drives()
    }
    if bmw := imu_drives.bmw():
        one = imu_drives.merged(imu_drives.speed_readings(bmw, 5.0), imu_drives.imu_readings(bmw))
        again = one[-1].t_ms + IMU_AGAIN_MS
        kinds["BMW with an IMU"] = [[r._replace(t_ms=r.t_ms + n * again) for n in range(IMU_DRIVES) for r in one]]
    return kinds


def has_gnss(readings: list[Reading]) -> bool:
    """Whether a receiver was there."""
    return any(reading.signal == "latitude_deg" for reading in readings)


class Bench:
    """A broker behind a counted link, and an insurer that acks every message by itself."""

    def __init__(self, link: CountingLink, folder: Path, broker: TlsBroker) -> None:
        self._link = link
        self._folder = folder
        self._ca_file = broker.cert_file
        self._client = ClientCertificate(broker.cert_file, broker.key_file)
        self._outboxes = 0
        self._never = threading.Event()

    def connection(self) -> Row:
        """What it costs to connect: TCP, TLS with both certificates, MQTT, status."""
        before = self._link.passed()
        uplink = self._connected()
        passed = self._settled().since(before)
        uplink.stop()
        return Row("a connection", passed.on_the_air, "B", 0, passed.up + passed.down)

    def ping(self) -> Row:
        """What one ping and its answer cost."""
        uplink = self._connected()
        before = self._settled()
        connection = uplink._connection
        assert connection is not None
        for _ in range(PINGS):
            heard = self._link.passed().down
            connection._client._send_pingreq()
            while self._link.passed().down == heard:
                self._never.wait(PAUSE_S / 100)
        passed = self._settled().since(before)
        uplink.stop()
        return Row("a ping", passed.on_the_air / PINGS, "B", 0, (passed.up + passed.down) / PINGS)

    def play(self, drives: list[list[Reading]], location: str, motion: str) -> tuple[Passed, int, float]:
        """Play recordings in lockstep with their acks: what passed, bytes of the messages, hours."""
        settings = AgentSettings(BOX, motion=motion == "full", location=location)
        total, sent, hours = Passed(0, 0, 0), 0, 0.0
        for readings in drives:
            self._outboxes += 1
            with Outbox(self._folder / f"{self._outboxes}.outbox") as outbox:
                uplink = self._connected(outbox)
                before = self._settled()
                agent = Agent(settings, outbox, Signer.from_seed(bytes(32)).sign, RecordedClock(0, 60, bytes(16)))
                for reading in readings:
                    agent.push(reading)
                    sent += self._deliver(uplink, outbox, reading.t_ms)
                agent.finish()
                sent += self._deliver(uplink, outbox, readings[-1].t_ms)
                passed = self._settled().since(before)
                uplink.stop()
            total = Passed(*map(sum, zip(total, passed, strict=True)))
            hours += driven_ms(readings) / MS_PER_HOUR
        return total, sent, hours

    def _connected(self, outbox: Outbox | None = None) -> Uplink:
        address = parse_broker(f"mqtts://localhost:{self._link.port}")
        uplink = Uplink(BOX, address, self._ca_file, client=self._client)
        if outbox is not None:
            uplink.add(outbox)
        until(lambda: uplink.is_ready, lambda: uplink.step(0, 0.01))
        return uplink

    def _deliver(self, uplink: Uplink, outbox: Outbox, now_ms: int) -> int:
        size = sum(len(row.payload) for row in outbox.unacked(1_000)) if outbox.waiting() else 0
        while outbox.waiting():
            uplink.step(now_ms, 0.01)
        return size

    def _settled(self) -> Passed:
        """Totals when nothing moves any more."""
        before = self._link.passed()
        while (now := self._pause()) != before:
            before = now
        return now

    def _pause(self) -> Passed:
        self._never.wait(PAUSE_S)
        return self._link.passed()


def driven_ms(readings: list[Reading]) -> int:
    """Time between the readings, gaps of parking left out."""
    gaps = (later.t_ms - earlier.t_ms for earlier, later in pairwise(readings))
    return sum(gap for gap in gaps if gap < IMU_AGAIN_MS)
