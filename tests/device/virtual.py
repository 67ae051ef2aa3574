"""A car, its adapter, a computer and an insurer on a virtual clock, for `device.live.Live` to live in.

Everything below the adapter's process is played: what it would have said until now is made when it is read.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from device.agent import Agent, AgentSettings
from device.contract import wire
from device.contract import wire_pb2 as pb
from device.contract.errors import DiskError
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.live import Live
from device.outbox import Outbox
from device.power import Battery, PowerSettings
from device.sensors import Sensors
from device.sources.obd import ObdSource
from device.sources.obd_lines import Connected, Failed, Reply, Stage, make_line

START_UTC_MS: Final = 1_800_000_000_000
PIDS: Final = (0x0C, 0x0D, 0x1F, 0x42)
SPEED_MS, SLOW_MS, VOLTAGE_MS = 200, 1_000, 30_000
VIN: Final = "WVWZZZ1JZXW386752"
CONNECT_MS: Final = 2_000


class Drive(NamedTuple):
    """A drive of the ground truth; times are of the world, which begins at 0."""

    start_ms: int
    end_ms: int
    electric: bool = False

    def speed_kmh(self, now_ms: int) -> float:
        """Stop and go: 100 s from standing to 60 km/h and back, the last 10 s standing."""
        if not self.start_ms <= now_ms < self.end_ms - 10_000:
            return 0.0
        return 60.0 * math.sin(math.pi * ((now_ms - self.start_ms) % 100_000) / 100_000)

    @property
    def distance_m(self) -> float:
        """True distance."""
        step_ms = 100
        return sum(self.speed_kmh(t) for t in range(self.start_ms, self.end_ms, step_ms)) / 3.6 * step_ms / 1_000


@dataclass
class World:
    """What is true: time, drives, and what is broken just now."""

    drives: Sequence[Drive]
    now_ms: int = 0
    boot: int = 0
    boot_began_ms: int = 0  # of monotonic time 0
    broken: set[str] = field(default_factory=set)
    clock_known: bool = True
    clock_wrong_by_ms: int = 0
    drive_at: int = 0

    @property
    def mono_ms(self) -> int:
        """Time since boot."""
        return self.now_ms - self.boot_began_ms

    def driving(self, now_ms: int) -> Drive | None:
        """The drive of a time; asked with times that rise, mostly."""
        while self.drive_at and self.drives[self.drive_at].start_ms > now_ms:
            self.drive_at -= 1
        while self.drive_at < len(self.drives) - 1 and self.drives[self.drive_at].end_ms <= now_ms:
            self.drive_at += 1
        drive = self.drives[self.drive_at]
        return drive if drive.start_ms <= now_ms < drive.end_ms else None

    def voltage_v(self, now_ms: int) -> float:
        """At the socket."""
        if "low voltage" in self.broken:
            return 11.2
        return 14.1 if self.driving(now_ms) else 12.6


class Adapter:
    """The polling process of an adapter in this world, as `device.sources.obd_process.PollingProcess`."""

    def __init__(self, world: World, options: str, draw: random.Random) -> None:
        self._world, self._draw = world, draw
        self._voltage_only = json.loads(options)["voltage_ms"] is not None
        self._boot = world.boot
        self._began_ms = self._until_ms = world.now_ms
        self._connected = self._ended = False

    def fileno(self) -> None:
        return None

    def kill(self) -> None:
        self._ended = True

    def read(self) -> bytes | None:
        world, from_ms = self._world, self._until_ms
        self._until_ms = world.now_ms
        if self._ended or "pulled" in world.broken or "process killed" in world.broken:
            return None
        if "silent" in world.broken:
            return b""
        if "garbage" in world.broken:
            return bytes(self._draw.randrange(256) for _ in range(40)) + b"\n"
        if self._voltage_only:
            return self._said(from_ms, "adapter_voltage_v", VOLTAGE_MS // 6)
        if not self._connected:
            return self._connect()
        said = self._said(from_ms, "speed_kmh", SPEED_MS) + self._said(from_ms, "adapter_voltage_v", VOLTAGE_MS)
        return said + self._said(from_ms, "rpm", SLOW_MS) + self._said(from_ms, "run_time_s", SLOW_MS * 10)

    def _connect(self) -> bytes | None:
        if self._until_ms - self._began_ms < CONNECT_MS:
            return make_line(Stage("connect", searching=True)).encode()
        if self._world.driving(self._until_ms) is None:
            self._ended = True
            return make_line(Failed("the car names no supported PID", stale=False)).encode()
        self._connected = True
        connected = Connected("ELM327 v1.4b", "ISO 15765-4", PIDS, is_clone=False, vin=VIN, baudrate=38_400)
        return make_line(connected).encode()

    def _said(self, from_ms: int, signal: str, period_ms: int) -> bytes:
        lines = []
        for t_ms in range(-(-from_ms // period_ms) * period_ms, self._until_ms, period_ms):
            value, refusal = self._value(signal, t_ms), None
            if value is None and signal == "rpm" and self._is_electric(t_ms):
                continue
            if "clone noise" in self._world.broken and self._draw.random() < 0.4:
                value, refusal = None, self._draw.choice(["length", "range", "foreign", "no_data"])
            elif value is None:
                refusal = "no_data"
            lines.append(make_line(Reply(Reading(t_ms - self._world.boot_began_ms, signal, value), refusal)))
        return "".join(lines).encode()

    def _is_electric(self, t_ms: int) -> bool:
        drive = self._world.driving(t_ms)
        return drive is not None and drive.electric

    def _value(self, signal: str, t_ms: int) -> float | None:
        drive = self._world.driving(t_ms)
        if signal == "adapter_voltage_v":
            return self._world.voltage_v(t_ms)
        if drive is None:
            return None
        if signal == "speed_kmh":
            return float(round(drive.speed_kmh(t_ms)))
        if drive.electric:
            return None
        return 1_500.0 if signal == "rpm" else float((t_ms - drive.start_ms) // 1_000)


class Clock:
    """The computer's clock."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.boot_id = f"boot-{world.boot}".encode()

    @property
    def quality(self) -> int:
        return pb.CLOCK_NTP if self._world.clock_known else pb.CLOCK_UNKNOWN

    def utc_ms(self, mono_ms: int) -> int:
        wrong_by_ms = 0 if self._world.clock_known else self._world.clock_wrong_by_ms
        return START_UTC_MS + self._world.boot_began_ms + mono_ms + wrong_by_ms

    def utc_offset_min(self, utc_ms: int) -> int:
        return 60


class FullDiskOutbox(Outbox):
    """An outbox whose disk may be full."""

    world: World

    def commit(self, first_seq: int, messages: Sequence[wire.Encoded], state: bytes) -> None:
        if "disk full" in self.world.broken:
            raise DiskError(f"{self.path}: database or disk is full")
        super().commit(first_seq, messages, state)


class Insurer:
    """Broker, insurer and uplink in one: takes what waits and acknowledges it, while the network is there."""

    def __init__(self, world: World) -> None:
        self.counters: Counter[str] = Counter()
        self.payloads: dict[tuple[bytes, int], bytes] = {}
        self.changed = 0  # the same seq with other bytes
        self.last_error, self.is_ready = "", True
        self.outbox: Outbox | None = None
        self._world = world

    def step(self, now_ms: int, wait_s: float = 0.0) -> None:
        box = self.outbox
        self.is_ready = "no broker" not in self._world.broken
        if box is None or not self.is_ready or not box.waiting():
            return
        seqs = box.in_order(200)
        for seq in seqs:
            payload = box.payload(seq)
            assert payload is not None
            known = self.payloads.setdefault((box.stream_id, seq), payload)
            self.changed += known != payload
        try:
            box.release(box.stream_id, [(seq, seq) for seq in seqs])
        except DiskError:
            self.counters["disk"] += 1

    def stop(self) -> None:
        self.is_ready = False


class Computer:
    """The computer in the car: starts the agent, turns it, and may be cut off at any step."""

    def __init__(self, world: World, folder: Path, settings: AgentSettings, seed: int = 0) -> None:
        self.world, self.insurer = world, Insurer(world)
        self._path, self._settings = folder / "ubi.outbox", settings
        self._draw = random.Random(seed)
        self._signer = Signer.from_seed(bytes(32))
        self.live: Live | None = None
        self.boots = {world.boot: world.boot_began_ms}

    def start(self) -> None:
        """Start the agent."""
        world = self.world
        self.outbox = FullDiskOutbox(self._path)
        self.outbox.world = world
        agent = Agent(self._settings, self.outbox, self._signer.sign, Clock(world), world.mono_ms)
        obd = ObdSource(
            "/dev/obd",
            paused_voltage_ms=5_000,
            spawn=lambda options: Adapter(world, options, self._draw),
            rng=self._draw,
        )
        self.insurer.outbox = self.outbox
        battery = Battery(PowerSettings(), world.mono_ms)
        self.live = Live(agent, Sensors(obd), self.insurer, [self.outbox], battery, self._signer.vin_hash)  # type: ignore[arg-type]
        self.agent, self.obd = agent, obd

    def run(self, until_ms: int) -> None:
        """Let time pass, step by step, as the agent wants it."""
        world = self.world
        while world.now_ms < until_ms:
            if self.live is None:
                world.now_ms = until_ms
                return
            self.live.step(world.mono_ms)
            next_ms = max(self.live.wake_ms(world.mono_ms), world.mono_ms + 100) + world.boot_began_ms
            world.now_ms = min(next_ms, until_ms)

    def cut(self) -> None:
        """kill -9, or no power: nothing is stored any more."""
        if self.live is not None:
            self.obd.close()
            self.outbox.close()
        self.live = self.insurer.outbox = None

    def reboot(self, away_ms: int) -> None:
        """The power is cut, and comes back so much later."""
        self.cut()
        world = self.world
        world.now_ms += away_ms
        world.boot, world.boot_began_ms = world.boot + 1, world.now_ms - 15_000
        self.boots[world.boot] = world.boot_began_ms
        self.start()
