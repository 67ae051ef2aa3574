"""Days of driving on a virtual clock, faults at random at the adapter's process, the disk, the network and the clock.

    python -m tests.soak.virtual [--seed N] [--hours 24] [--gap-min 6]

Everything from the adapter's lines on is the agent's own: supervision, battery, merge, motion, trips, chain, outbox.
Prints fault x times x outcome and writes bench-results/soak-virtual.json.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from device.agent import AgentSettings
from device.contract import bodies, wire
from tests.device import virtual
from tests.device.virtual import Computer, Drive, World
from tests.soak.account import Account, Driven, settle, table

RESULT: Final = Path("bench-results") / "soak-virtual.json"
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
PAUSE_MS: Final = (6 * MINUTE_MS, 180 * MINUTE_MS)
DRIVE_MS: Final = (5 * MINUTE_MS, 75 * MINUTE_MS)
ELECTRIC: Final = 0.25
# What lasts, and for how long at most.
LASTING_S: Final = {
    "pulled": 60.0,
    "process killed": 1.0,
    "silent": 60.0,
    "garbage": 30.0,
    "clone noise": 120.0,
    "low voltage": 20.0,
    "disk full": 300.0,
    "no broker": 7_200.0,
}
CLOCK_S: Final = (-9_000 * 86_400, -86_400, -60, 60, 86_400, 9_000 * 86_400)


class Recorded(virtual.FullDiskOutbox):
    """Notes when each trip began, of the world's clock; a full disk may keep its trip_start waiting."""

    starts: dict[tuple[bytes, int], int]

    def commit(self, first_seq: int, messages: Sequence[wire.Encoded], state: bytes) -> None:
        super().commit(first_seq, messages, state)
        for seq, encoded in enumerate(messages, first_seq):
            message = wire.decode(encoded.payload)
            if isinstance(message, wire.Message) and isinstance(message.body, bodies.TripStart):
                began_ms = self.world.boot_began_ms + message.body.start_mono_ms
                self.starts.setdefault((self.stream_id, seq), min(began_ms, self.world.now_ms))


class Soak:
    """A computer in its world, and what strikes it."""

    def __init__(self, folder: Path, seed: str, hours: float) -> None:
        self.rng = random.Random(seed)
        self.world = World(drives(self.rng, hours))
        self.computer = Computer(self.world, folder, AgentSettings("soak-car", patience_ms=30_000))
        self.starts: dict[tuple[bytes, int], int] = {}
        Recorded.starts = self.starts
        self.struck: Counter[str] = Counter()
        self.struck_at: defaultdict[str, list[int]] = defaultdict(list)
        self._ends: dict[str, int] = {}

    def run(self, gap_ms: float) -> None:
        """Drive all drives, then wait until everything is delivered."""
        world, computer = self.world, self.computer
        computer.start()
        last_ms = world.drives[-1].end_ms
        while world.now_ms < last_ms:
            until_ms = world.now_ms + max(1_000, round(self.rng.expovariate(1 / gap_ms)))
            while world.now_ms < until_ms:
                next_ms = min([until_ms, *(end for end in self._ends.values() if end > world.now_ms)])
                computer.run(next_ms)
                self._heal()
            self._strike()
        self._ends = dict.fromkeys(self._ends, 0)
        self._heal()
        computer.run(world.now_ms + HOUR_MS)

    def account(self) -> Account:
        """Every drive against what the insurer holds."""
        streams: defaultdict[bytes, dict[int, bytes]] = defaultdict(dict)
        for (stream, seq), payload in self.computer.insurer.payloads.items():
            streams[stream][seq] = payload
        order = list(streams)
        starts = {(order.index(stream), seq): at for (stream, seq), at in self.starts.items() if stream in streams}
        driven = [
            Driven(f"{i:03d} {'electric' if d.electric else 'engine'}", d.start_ms, d.end_ms, d.distance_m)
            for i, d in enumerate(self.world.drives)
        ]
        account = settle(driven, streams.values(), starts)
        account.strangers += self.computer.insurer.changed
        return account

    def outcomes(self, account: Account) -> dict[str, tuple[int, str]]:
        """Of each fault: how often, and what came of the drives it struck."""
        told = {}
        for fault, times in sorted(self.struck.items()):
            hit = [
                settled.outcome
                for drive, settled in zip(self.world.drives, account.drives, strict=True)
                if any(drive.start_ms <= at < drive.end_ms for at in self.struck_at[fault])
            ]
            told[fault] = times, ", ".join(f"{count} {name}" for name, count in Counter(hit).items())
        return told

    def _strike(self) -> None:
        world, computer, rng = self.world, self.computer, self.rng
        fault = rng.choice([*LASTING_S, "clock jump", "agent killed", "reboot"])
        self.struck[fault] += 1
        self.struck_at[fault].append(world.now_ms)
        if fault in LASTING_S:
            world.broken.add(fault)
            self._ends[fault] = world.now_ms + round(1_000 * rng.uniform(0.2, 1.0) * LASTING_S[fault])
        elif fault == "clock jump":
            world.clock_known, world.clock_wrong_by_ms = rng.random() < 0.3, 1_000 * rng.choice(CLOCK_S)
        elif fault == "agent killed":
            computer.cut()
            computer.start()
        else:
            computer.reboot(round(rng.choice([20_000, 60_000, 150_000, 400_000]) * rng.uniform(0.8, 1.2)))

    def _heal(self) -> None:
        for fault in [fault for fault, end in self._ends.items() if end <= self.world.now_ms]:
            self.world.broken.discard(fault)
            del self._ends[fault]


def drives(rng: random.Random, hours: float) -> list[Drive]:
    """Drives of so many hours in all, short and long, with pauses."""
    found: list[Drive] = []
    at_ms, driven_ms = 5 * MINUTE_MS, 0
    while driven_ms < hours * HOUR_MS:
        length_ms = round(rng.uniform(*DRIVE_MS) / 100_000) * 100_000
        found.append(Drive(at_ms, at_ms + length_ms, rng.random() < ELECTRIC))
        driven_ms += length_ms
        at_ms += length_ms + rng.randrange(*PAUSE_MS)
    return found


def play(folder: Path, seed: str, hours: float, gap_min: float) -> tuple[Account, dict[str, tuple[int, str]]]:
    """Run and settle; what the soak test and the command share."""
    before, virtual.FullDiskOutbox = virtual.FullDiskOutbox, Recorded  # type: ignore[misc]
    try:
        soak = Soak(folder, seed, hours)
        soak.run(gap_min * MINUTE_MS)
        account = soak.account()
        return account, soak.outcomes(account)
    finally:
        virtual.FullDiskOutbox = before  # type: ignore[misc]


def main(arguments: list[str]) -> int:
    """Return 0 if every drive and every message is accounted for."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.virtual")
    parser.add_argument("--seed", default=str(int.from_bytes(os.urandom(4))))
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--gap-min", type=float, default=6.0, help="mean time between faults")
    options = parser.parse_args(arguments)
    sys.stderr.write(f"soak: seed {options.seed}\n")
    logging.disable(logging.CRITICAL)  # a fault every few minutes is told a line each
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        account, struck = play(Path(folder), options.seed, options.hours, options.gap_min)
    minutes = (time.monotonic() - began_s) / 60
    sys.stdout.write(f"{table(account, struck)}\n{minutes:.1f} minutes, seed {options.seed}\n")
    RESULT.parent.mkdir(exist_ok=True)
    content = {"seed": options.seed, "minutes": minutes, "struck": struck, "account": account.to_dict()}
    RESULT.write_text(json.dumps(content, indent=1) + "\n")
    return int(bool(account.faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
