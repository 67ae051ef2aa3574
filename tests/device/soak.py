"""A soak of the agent: hours of driving on a virtual clock, with every fault of the road at random.

    python -m tests.device.soak [--hours 24] [--seed N]

The car, its adapter and the network are played (`tests.device.virtual`); agent, outbox, chain and battery are real. At
the end every drive is accounted for, the table fault x times x outcome is printed, and bench-results/soak.json written.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from device.agent import AgentSettings
from device.contract import bodies, wire
from tests.device.virtual import Computer, Drive, World

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
RESULTS: Final = Path("bench-results") / "soak.json"
WHOLE: Final = 0.985  # of the true distance; the first seconds of a drive pass while the adapter connects
MOST: Final = 1.01
OUTCOMES: Final = ("whole", "part, told", "missed, told", "UNTOLD", "TOO MUCH", "DOUBLED")  # the last three never
# What a drive may lose beyond the time of the faults themselves: until a started engine is noticed, and after a fault
# the longest back-off (75 s) and the connecting.
NOTICED_MS: Final = 25_000
RECOVERED_MS: Final = 100_000
CUTS: Final = frozenset({"agent killed", "reboot, short", "reboot, long"})
HARMLESS: Final = frozenset({"disk full", "no broker", "clock jumps"})  # they cost no reading
TELLING: Final = ("obd_failed", "obd_silent", "obd_garbled", "obd_no_data", "power_low", "trips_cut_by_reboot")


@dataclass(frozen=True)
class Fault:
    """What breaks: for how long, and how often in an hour of driving."""

    name: str
    least_ms: int
    most_ms: int
    per_hour: float


FAULTS: Final = (
    Fault("pulled", 5_000, 10 * MINUTE_MS, 0.5),
    Fault("silent", 5_000, 5 * MINUTE_MS, 0.5),
    Fault("garbage", 5_000, 5 * MINUTE_MS, 0.5),
    Fault("clone noise", MINUTE_MS, 20 * MINUTE_MS, 0.5),
    Fault("process killed", 100, 200, 1.0),
    Fault("low voltage", 10_000, 40 * MINUTE_MS, 0.25),
    Fault("disk full", 10_000, 30 * MINUTE_MS, 0.25),
    Fault("no broker", 10_000, 3 * HOUR_MS, 0.5),
    Fault("clock jumps", MINUTE_MS, HOUR_MS, 0.5),
    Fault("agent killed", 0, 0, 1.0),
    Fault("reboot, short", 10_000, 100_000, 0.25),
    Fault("reboot, long", 200_000, 15 * MINUTE_MS, 0.25),
)


class Soak:
    """One run; `strikes` are (time, fault), `verdicts` outcome by drive."""

    def __init__(self, folder: Path, hours: float, seed: int) -> None:
        self._draw = random.Random(seed)
        self.drives = self._made_drives(hours)
        self.world = World(self.drives)
        settings = AgentSettings("car", motion=True, patience_ms=30_000)
        self.computer = Computer(self.world, folder, settings, seed)
        self.strikes: list[tuple[int, int, Fault]] = []  # from, until, what
        self._ends: list[tuple[int, str]] = []

    def run(self) -> None:
        """Play it all, then let everything be sent."""
        self.computer.start()
        last_ms = self.drives[-1].end_ms
        due_ms = {fault: self._next(fault, 0) for fault in FAULTS}
        while self.world.now_ms < last_ms:
            fault = min(due_ms, key=lambda fault: due_ms[fault])
            self._until(min(due_ms[fault], last_ms))
            if self.world.now_ms < last_ms:
                self._strike(fault)
                due_ms[fault] = self._next(fault, self.world.now_ms)
        self._until(last_ms + 4 * HOUR_MS)

    def _made_drives(self, hours: float) -> list[Drive]:
        drives, at_ms, left_ms = [], MINUTE_MS, hours * HOUR_MS
        while left_ms > 0:
            lasts_ms = self._draw.randrange(3, 60) * MINUTE_MS
            drives.append(Drive(at_ms, at_ms + lasts_ms, self._draw.random() < 0.2))
            at_ms += lasts_ms + self._draw.choice([5, 20, 60, 240]) * MINUTE_MS
            left_ms -= lasts_ms
        return drives

    def _next(self, fault: Fault, now_ms: int) -> int:
        """When it strikes next; time counts only while the car is driven, for it is then that a fault costs."""
        left_ms = self._draw.expovariate(fault.per_hour) * HOUR_MS
        for drive in self.drives:
            from_ms = max(now_ms, drive.start_ms)
            if from_ms < drive.end_ms:
                if left_ms < drive.end_ms - from_ms:
                    return round(from_ms + left_ms)
                left_ms -= drive.end_ms - from_ms
        return self.drives[-1].end_ms + 1

    def _until(self, until_ms: int) -> None:
        """Let time pass; faults end meanwhile."""
        while self._ends and self._ends[0][0] <= until_ms:
            ends_ms, name = self._ends.pop(0)
            self.computer.run(ends_ms)
            if not any(other == name for _, other in self._ends):
                self._mend(name)
        self.computer.run(until_ms)

    def _strike(self, fault: Fault) -> None:
        now_ms = self.world.now_ms
        lasts_ms = self._draw.randint(fault.least_ms, fault.most_ms)
        self.strikes.append((now_ms, now_ms + lasts_ms, fault))
        if fault.name == "agent killed":
            self.computer.cut()
            self.computer.start()
        elif fault.name.startswith("reboot"):
            self.world.clock_known = self._draw.random() < 0.5 and "clock jumps" not in self.world.broken
            self.computer.reboot(lasts_ms)
        else:
            self.world.broken.add(fault.name)
            if fault.name == "clock jumps":
                self.world.clock_known = False
                self.world.clock_wrong_by_ms = self._draw.choice([-1, 1, 400, -9_000]) * 86_400_000
            self._ends.append((now_ms + lasts_ms, fault.name))
            self._ends.sort()

    def _mend(self, name: str) -> None:
        self.world.broken.discard(name)
        if name == "clock jumps":
            self.world.clock_known, self.world.clock_wrong_by_ms = True, 0


class Account:
    """What the insurer holds of a soak, drive by drive."""

    def __init__(self, soak: Soak) -> None:
        self.soak = soak
        insurer = soak.computer.insurer
        streams = {stream for stream, _ in insurer.payloads}
        assert len(streams) == 1
        decoded = [wire.decode(insurer.payloads[key], "car") for key in sorted(insurer.payloads)]
        self.messages = [message for message in decoded if isinstance(message, wire.Message)]
        self.faults: dict[str, int] = {
            "not readable": len(decoded) - len(self.messages),
            "changed when sent again": insurer.changed,
            "holes": self.messages[-1].header.seq - len(self.messages),
            "chain broken": sum(b.header.prev_hash != a.hash for a, b in pairwise(self.messages)),
            "waiting in the car": soak.computer.outbox.waiting(),
        }
        self.trips = self._trips()
        self.verdicts = [self._verdict(drive) for drive in soak.drives]
        self.counters: Counter[str] = Counter()
        for message in self.messages:
            if isinstance(message.body, bodies.Health):
                self.counters.update(message.body.counters)

    def _trips(self) -> list[tuple[int, bodies.TripEnd, Counter[str]]]:
        """Start in the world's time, end, and counters told between the trip before and this one's end."""
        soak, starts, trips, told = self.soak, {}, [], Counter[str]()
        began_ms = {f"boot-{boot}".encode(): ms for boot, ms in soak.computer.boots.items()}
        for message in self.messages:
            body = message.body
            if isinstance(body, bodies.TripStart):
                starts[message.header.seq] = began_ms[message.header.boot_id] + body.start_mono_ms
            elif isinstance(body, bodies.Health):
                told.update(body.counters)
            elif isinstance(body, bodies.TripEnd):
                trips.append((starts.pop(body.trip_seq), body, told))
                told = Counter()
        self.faults["trips without an end"] = len(starts)
        return trips

    def _verdict(self, drive: Drive) -> str:
        mine = [trip for trip in self.trips if drive.start_ms - MINUTE_MS <= trip[0] < drive.end_ms]
        share = sum(end.summary.distance_mm for _, end, _ in mine) / 1_000 / drive.distance_m
        if share > MOST:
            return "DOUBLED"
        if share >= WHOLE:
            return "whole"
        if (1 - share) * drive.distance_m > self._excused_m(drive) + (1 - WHOLE) * drive.distance_m:
            return "TOO MUCH"
        later = next((told for start_ms, _, told in self.trips if start_ms >= drive.end_ms), Counter[str]())
        told = sum((told for _, _, told in mine), Counter[str]()) + later
        is_told = any(told[name] for name in TELLING) or any(end.summary.unobserved_ms for _, end, _ in mine)
        if not is_told:
            return "UNTOLD"
        return "part, told" if mine else "missed, told"

    def _excused_m(self, drive: Drive) -> float:
        """True distance while something was broken or was being got over."""
        spans = [(drive.start_ms, drive.start_ms + NOTICED_MS)]
        full = [(from_ms, until_ms) for from_ms, until_ms, fault in self.soak.strikes if fault.name == "disk full"]
        for struck_ms, until_ms, fault in self.soak.strikes:
            from_ms = struck_ms
            if fault.name in CUTS:  # what a full disk had refused was in memory only
                for full_ms, ends_ms in reversed(full):
                    from_ms = min(from_ms, full_ms) if full_ms <= from_ms <= ends_ms else from_ms
            if fault.name not in HARMLESS:
                spans.append((from_ms, until_ms + RECOVERED_MS))
        return sum(
            drive.speed_kmh(t_ms) / 3.6
            for t_ms in range(drive.start_ms, drive.end_ms, 1_000)
            if any(from_ms <= t_ms < until_ms for from_ms, until_ms in spans)
        )

    def table(self) -> list[dict[str, Any]]:
        """Rows: fault, how often, and what became of the drives that it struck."""
        rows = []
        for fault in FAULTS:
            struck = [(from_ms, until_ms) for from_ms, until_ms, other in self.soak.strikes if other is fault]
            touched = [
                verdict
                for drive, verdict in zip(self.soak.drives, self.verdicts, strict=True)
                if any(from_ms < drive.end_ms and until_ms >= drive.start_ms for from_ms, until_ms in struck)
            ]
            rows.append({"fault": fault.name, "times": len(struck), "drives": len(touched)} | Counter(touched))
        return rows

    @property
    def is_clean(self) -> bool:
        """Nothing lost without a word, nothing doubled, nothing broken."""
        return not any(self.faults.values()) and not set(OUTCOMES[3:]) & set(self.verdicts)


def main(argv: list[str]) -> int:
    """Run one soak and print its account."""
    parser = argparse.ArgumentParser(description="Hours of driving on a virtual clock, with faults at random.")
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args(argv)
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), options.hours, options.seed)
        soak.run()
        account = Account(soak)
        soak.computer.cut()
    head = f"seed {options.seed}: {options.hours:g} h of driving, {len(soak.drives)} drives, {len(account.trips)} trips"
    print(head)
    print(f"{'fault':<16}{'times':>6}{'drives':>8}" + "".join(f"{name:>16}" for name in OUTCOMES))
    for row in account.table():
        counts = "".join(f"{row.get(name, 0):>16}" for name in OUTCOMES)
        print(f"{row['fault']:<16}{row['times']:>6}{row['drives']:>8}{counts}")
    print(f"{'all drives':<30}" + "".join(f"{account.verdicts.count(name):>16}" for name in OUTCOMES))
    print(account.faults)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"head": head, "table": account.table(), "faults": account.faults}, indent=1))
    return 0 if account.is_clean else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
