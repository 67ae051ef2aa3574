"""An hour and more of the wall clock: recorded drives through a pseudo-terminal, python-OBD, broker and worker, with
faults at random.

    python -m tests.soak.wall [--seed N] [--gap-s X] [--trips N]

Prints fault x times x outcome and writes bench-results/soak-wall.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from signal import SIGKILL
from typing import Final

from device.contract import bodies, wire
from device.contract.signals import Reading
from ingest.contract.lake import Lake
from ingest.seal import seal
from replay_data.elm327 import PlayedAdapter
from replay_data.elm327_faults import FaultyElm
from replay_data.player import read_recording
from replay_data.pseudo_terminal import PlayClock
from tests.faults.disk import Disk
from tests.faults.journal import prepare_outbox, read_journal
from tests.faults.oracle import Verdict, judge
from tests.faults.parts import TRIPS, Part, WorkerPart
from tests.mosquitto import Mosquitto, find_mosquitto
from tests.ports import free_port
from tests.soak.account import Account, Driven, settle, table

RESULT: Final = Path("bench-results") / "soak-wall.json"
PLAYED: Final = (
    "calm-2_2025-11-04",
    "brisk-1_2025-11-12",
    "reckless-2_2025-11-13",
    "reckless-2_2025-11-05",
    "brisk-2_2025-11-07",
)
PAUSE_MS: Final = 195_000  # between drives: longer than what ends a trip
DRIVING_V, PARKED_V = 14.1, 12.6
STEP_S: Final = 0.05
DRAIN_WITHIN_S: Final = 120.0
ADAPTER_FAULTS: Final = ("silent", "garbage", "noise", "padded", "foreign", "stale", "no_data", "low_voltage")
GIVEN_UP_MS: Final = 40 * 86_400_000


class Agent(Part):
    """`ubi device run`; `days` is how far its wall clock is off from its next life on."""

    def __init__(self, folder: Path, url: str, adapter: Path, outbox: Path) -> None:
        super().__init__("agent", folder)
        self.days = 0.0
        self._config = folder / "device.toml"
        keys = {
            "device_id": "soak-car",
            "zone": "Europe/Berlin",
            "broker": url,
            "obd_port": str(adapter),
            "obd_protocol": "6",
            "outbox": str(outbox),
            "key_file": str(folder / "soak.key"),
            "motion": "full",
        }
        self._config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))

    def command(self) -> list[str]:
        return ["tests.faults.shifted", str(self.days), "device", "run", "--config", str(self._config)]

    def children(self) -> list[int]:
        """Processes it has started."""
        with suppress(OSError):
            return [int(child) for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        return []


class Soak:
    """The car, the road and the insurer; `strike` lets a fault begin."""

    def __init__(self, folder: Path, seed: str, trips: int) -> None:
        self.rng = random.Random(seed)
        self.drives, readings = day(trips)
        self.clock = PlayClock()
        self.elm = FaultyElm(readings, random.Random(seed))
        self._port = folder / "adapter"
        binary = find_mosquitto()
        if binary is None:
            raise RuntimeError("mosquitto is not installed (apt-get install mosquitto)")
        self.broker = Mosquitto(binary, folder / "broker", free_port())
        self.broker.start()
        self.disk = Disk(folder / "car", lambda: [] if self.agent.pid is None else [self.agent.pid])
        self.disk.__enter__()
        self.outbox = folder / "car" / "soak.outbox"
        prepare_outbox(self.outbox)
        self.agent = Agent(folder, self.broker.url, self._port, self.outbox)
        self.worker = WorkerPart("worker", folder, self.broker.url, folder / "lake")
        self.lake = Lake(folder / "lake")
        self._plug()
        self._undo: list[tuple[float, Callable[[], object]]] = []
        self.struck: Counter[str] = Counter()
        self.struck_drives: dict[str, set[str]] = {}
        self.faults: dict[str, Callable[[float], bool]] = {
            **{name: lambda s, name=name: self._adapter(name, s) for name in ADAPTER_FAULTS},  # type: ignore[misc]
            "pulled": self._pull,
            "process killed": lambda s: self._kill_polling(),
            "agent killed": lambda s: self.agent.kill9(),
            "broker killed": self._kill_broker,
            "disk full": self._fill,
            "clock jump": lambda s: self._jump(),
        }

    def strike(self, fault: str, seconds: float) -> None:
        """Let a fault happen for so long, if it can happen now."""
        if self.faults[fault](seconds):
            self.struck[fault] += 1
            now_ms = self.clock.now_ms()
            at = [drive.name for drive in self.drives if drive.start_ms <= now_ms < drive.end_ms]
            self.struck_drives.setdefault(fault, set()).update(at)

    def turn(self, seconds: float) -> None:
        """Let time pass: restart what is down, undo what is due."""
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            due = [item for item in self._undo if item[0] <= time.monotonic()]
            for item in due:
                self._undo.remove(item)
                item[1]()
            self.agent.tend()
            self.worker.tend()
            threading.Event().wait(STEP_S)

    def drain(self) -> None:
        """No more faults; deliver what is left."""
        while self._undo:
            self._undo.pop()[1]()
        until_s = time.monotonic() + DRAIN_WITHIN_S
        while True:
            self.turn(5.0)
            self.agent.terminate()
            if not read_journal(self.outbox).waiting or time.monotonic() > until_s:
                break
        self.agent.retired = True
        self.worker.terminate()
        self.worker.retired = True

    def close(self) -> None:
        """Leave nothing behind."""
        self.agent.kill9()
        self.worker.kill9()
        self.broker.stop()
        self.adapter.__exit__(None, None, None)
        self.disk.__exit__(None, None, None)

    def judge(self) -> tuple[Account, Verdict]:
        """Every message by the oracle, every drive by the account."""
        journal = read_journal(self.outbox)
        seal(self.lake, time.time_ns() // 1_000_000 + GIVEN_UP_MS)
        verdict = judge(self.lake, [journal])
        held = self.lake.scan_messages().select("seq", "payload").collect()
        payloads = dict(held.iter_rows())
        starts = {}
        for seq, payload in payloads.items():
            message = wire.decode(payload)
            if isinstance(message, wire.Message) and isinstance(message.body, bodies.TripStart):
                starts[0, seq] = round(self.clock.play_ms(message.body.start_mono_ms * 1_000_000))
        return settle(self.drives, [payloads], starts), verdict

    def _plug(self) -> None:
        self.adapter = PlayedAdapter(self.elm, latency_ms=20.0, clock=self.clock)
        self.adapter.__enter__()
        new = self._port.with_suffix(".new")
        new.symlink_to(self.adapter.port)
        new.replace(self._port)
        self._plugged = True

    def _adapter(self, fault: str, seconds: float) -> bool:
        if self.elm.fault is not None:
            return False
        self.elm.fault = fault
        self._later(seconds, lambda: setattr(self.elm, "fault", None))
        return True

    def _pull(self, seconds: float) -> bool:
        if not self._plugged:
            return False
        self._plugged = False
        self._port.unlink()
        self.adapter.__exit__(None, None, None)
        self._later(seconds, self._plug)
        return True

    def _kill_polling(self) -> bool:
        children = self.agent.children()
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, SIGKILL)
        return bool(children)

    def _kill_broker(self, seconds: float) -> bool:
        if any(undo == self.broker.start for _, undo in self._undo):
            return False
        self.broker.kill9()
        self._later(seconds, self.broker.start)
        return True

    def _fill(self, seconds: float) -> bool:
        if not self.disk.fill():
            return False
        self._later(seconds, self.disk.heal)
        return True

    def _jump(self) -> bool:
        self.agent.days = self.rng.choice([-9_000.0, -1.0, -0.01, 0.0, 0.01, 1.0, 9_000.0])
        return self.agent.kill9()

    def _later(self, seconds: float, action: Callable[[], object]) -> None:
        self._undo.append((time.monotonic() + seconds, action))


def day(trips: int) -> tuple[list[Driven], list[Reading]]:
    """Recorded drives, one after the other, with the adapter's voltage."""
    drives, readings, at_ms = [], [], 0
    for name in PLAYED[:trips]:
        file = next(trip for trip in TRIPS if name in trip.name)
        own = read_recording(file, "soak").readings
        speeds = [(r.t_ms, r.value) for r in own if r.signal == "speed_kmh" and r.value is not None]
        metres = sum((b - a) / 7_200 * (v + w) for (a, v), (b, w) in pairwise(speeds))
        end_ms = at_ms + own[-1].t_ms
        drives.append(Driven(file.stem, at_ms, end_ms, metres))
        readings += [r._replace(t_ms=at_ms + r.t_ms) for r in own if r.signal != "adapter_voltage_v"]
        readings += [Reading(t, "adapter_voltage_v", DRIVING_V) for t in range(at_ms, end_ms, 1_000)]
        at_ms = end_ms + PAUSE_MS
        readings += [Reading(t, "adapter_voltage_v", PARKED_V) for t in range(end_ms, at_ms, 1_000)]
    return drives, readings


def main(arguments: list[str]) -> int:
    """Return 0 if every drive and every message is accounted for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.wall")
    parser.add_argument("--seed", default=str(int.from_bytes(os.urandom(4))))
    parser.add_argument("--gap-s", type=float, default=25.0, help="mean time between faults")
    parser.add_argument("--trips", type=int, default=len(PLAYED))
    options = parser.parse_args(arguments)
    sys.stderr.write(f"soak: seed {options.seed}\n")
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), options.seed, options.trips)
        try:
            while not soak.clock.started:
                soak.turn(0.2)
            last_ms = soak.drives[-1].end_ms + PAUSE_MS
            while soak.clock.now_ms() < last_ms:
                soak.turn(soak.rng.expovariate(1 / options.gap_s))
                if soak.clock.now_ms() < soak.drives[-1].end_ms:
                    soak.strike(soak.rng.choice(list(soak.faults)), soak.rng.uniform(1.0, 15.0))
            soak.drain()
            account, verdict = soak.judge()
            traceback = b"Traceback" in soak.agent.log.read_bytes() + soak.worker.log.read_bytes()
        finally:
            soak.close()
    outcome = {drive.name: drive.outcome for drive in account.drives}
    struck = {
        fault: (times, ", ".join(f"{n} {o}" for o, n in Counter(outcome[d] for d in soak.struck_drives[fault]).items()))
        for fault, times in sorted(soak.struck.items())
    }
    told = f"{verdict.written} messages written, " + ", ".join(f"{k} {v}" for k, v in asdict(verdict).items() if v)
    minutes = (time.monotonic() - began_s) / 60
    lives = f"{soak.agent.lives} lives of the agent, ended by itself {dict(soak.agent.ended)}, traceback {traceback}"
    sys.stdout.write(f"{table(account, struck)}\noracle: {told}\n{minutes:.0f} minutes, {lives}, seed {options.seed}\n")
    RESULT.parent.mkdir(exist_ok=True)
    content = {"seed": options.seed, "minutes": minutes, "struck": struck, "account": account.to_dict()}
    RESULT.write_text(json.dumps(content | {"verdict": asdict(verdict)}, indent=1, default=str) + "\n")
    return int(bool(account.faults or verdict.faults or traceback))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
