"""The campaign: rounds of faults at random instants, each on a world of its own, each judged by the oracle.

    python -m tests.faults.campaign [--seed N] [--share X] [ROUND ...]

Prints fault x times x outcome and writes bench-results/faults.json. `--share 0.1` strikes a tenth as often.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.faults.oracle import MUST_BE_ZERO, Verdict
from tests.faults.world import World
from tests.mosquitto import find_mosquitto
from tests.ports import free_port

RESULTS: Final = Path("bench-results") / "faults.json"


@dataclass(frozen=True)
class Round:
    """How often which fault strikes, how far apart on average, and what the links do to messages meanwhile."""

    name: str
    faults: dict[str, int]
    gap_s: float
    cars: int = 8
    devices: int = 1
    workers: int = 3
    doubled: float = 0.0
    delayed: float = 0.0
    replayed: float = 0.0


@dataclass
class Outcome:
    """What came of a round."""

    round: str
    seed: str
    kills: int
    struck: dict[str, int]
    verdict: Verdict
    endings: dict[str, dict[int, int]]
    tracebacks: list[str]
    lives: int
    seconds: float


SHORT: Final = Round(
    "short",
    {
        "kill agent": 5,
        "kill broker": 2,
        "kill worker": 3,
        "kill sealer": 2,
        "cut link of the cars": 2,
        "cut link of the workers": 1,
        "stall worker": 1,
        "worker's clock days off": 1,
        "lake full": 1,
        "lake read-only": 1,
        "car's disk full": 1,
    },
    0.3,
    cars=3,
    devices=0,
    workers=2,
    doubled=0.1,
    delayed=0.1,
    replayed=0.1,
)
ROUNDS: Final = (
    Round("agent", {"kill agent": 250}, 0.3),
    Round("broker", {"kill broker": 150}, 2.5),
    Round("worker", {"kill worker": 150}, 1.2),
    Round("sealer", {"kill sealer": 80}, 1.0, workers=2),
    Round("link", {"cut link of the cars": 100, "cut link of the workers": 60, "stall link": 25}, 0.8),
    Round("disk", {"lake full": 25, "lake read-only": 25, "car's disk full": 25}, 2.0),
    Round(
        "order",
        {"worker's clock days off": 30, "stall worker": 30, "stall worker for a minute": 3},
        2.0,
        doubled=0.2,
        delayed=0.2,
        replayed=0.1,
    ),
    Round(
        "all at once",
        {
            "kill agent": 240,
            "kill broker": 100,
            "kill worker": 130,
            "kill sealer": 40,
            "cut link of the cars": 40,
            "cut link of the workers": 20,
            "stall link": 15,
            "stall worker": 25,
            "worker's clock days off": 20,
            "lake full": 10,
            "lake read-only": 10,
            "car's disk full": 10,
        },
        0.8,
        devices=2,
        doubled=0.05,
        delayed=0.05,
        replayed=0.02,
    ),
)


def play(round_: Round, seed: str, folder: Path, share: float = 1.0) -> Outcome:
    """Play one round and judge it."""
    binary = find_mosquitto()
    if binary is None:
        raise RuntimeError("mosquitto is not installed (apt-get install mosquitto)")
    began_s = time.monotonic()
    rng = random.Random(seed)
    schedule = [name for name, times in round_.faults.items() for _ in range(round(times * share))]
    rng.shuffle(schedule)
    sizes = {"cars": round_.cars, "devices": round_.devices, "workers": round_.workers}
    with World(folder, binary, free_port(), seed, **sizes) as world:
        for link in (world.car_link, world.worker_link):
            link.doubled, link.delayed, link.replayed = round_.doubled, round_.delayed, round_.replayed
        world.struck.update(dict.fromkeys(round_.faults, 0))  # one that cannot be had here is told as 0 times
        world.turn(1.0)
        for fault in schedule:
            for _ in range(10):
                world.turn(rng.expovariate(1 / round_.gap_s))
                if world.strike(fault):
                    break
        world.drain()
        for link in (world.car_link, world.worker_link):
            world.struck.update({f"message {name}": n for name, n in link.counters.items() if n and name != "cut"})
        return Outcome(
            round=round_.name,
            seed=seed,
            kills=world.kills,
            struck=dict(world.struck),
            verdict=world.judge(),
            endings=world.endings(),
            tracebacks=world.tracebacks(),
            lives=sum(part.lives for part in world.parts),
            seconds=time.monotonic() - began_s,
        )


def table(outcomes: list[Outcome]) -> str:
    """Fault x times x outcome, and what each round's oracle counted."""
    lines = [f"{'round':<12} {'fault':<26} {'times':>6}  outcome"]
    for outcome in outcomes:
        verdict = outcome.verdict
        zero = ", ".join(f"{name} {getattr(verdict, name)}" for name in (*MUST_BE_ZERO, "sacrificed"))
        told = (
            f"{verdict.written} messages written, {verdict.copies} copies in the lake, {verdict.rows} sealed rows",
            zero,
            f"{outcome.kills} kills, {outcome.lives} lives, {outcome.seconds:.0f} s, seed {outcome.seed!r}",
            f"ended by themselves {outcome.endings}, tracebacks {len(outcome.tracebacks) or 'none'}",
        )
        rows = list(outcome.struck.items())
        for number in range(max(len(rows), len(told))):
            fault, times = rows[number] if number < len(rows) else ("", "")
            text = told[number] if number < len(told) else ""
            lines.append(f"{outcome.round if number == 0 else '':<12} {fault:<26} {times:>6}  {text}".rstrip())
        lines += outcome.tracebacks
    verdicts = [outcome.verdict for outcome in outcomes]
    written, lost, doubled = (sum(getattr(v, name) for v in verdicts) for name in ("written", "lost", "doubled"))
    kills = sum(outcome.kills for outcome in outcomes)
    lines.append(f"{kills} kills, {written} messages written, {lost} lost, {doubled} doubled after sealing")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Return 0 if the oracle found nothing, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.campaign")
    parser.add_argument("rounds", nargs="*", metavar="ROUND", help=f"of {', '.join(r.name for r in ROUNDS)}")
    parser.add_argument("--seed", default=str(int.from_bytes(os.urandom(4))))
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args(arguments)
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        for round_ in ROUNDS:
            if options.rounds and round_.name not in options.rounds:
                continue
            seed = f"{options.seed}/{round_.name}"
            outcomes.append(play(round_, seed, Path(folder) / round_.name.replace(" ", "-"), options.share))
            sys.stdout.write(f"{table(outcomes[-1:])}\n\n")
            sys.stdout.flush()
    sys.stdout.write(f"{table(outcomes)}\n")
    write(outcomes)
    return int(any(outcome.verdict.faults or outcome.tracebacks for outcome in outcomes))


def write(outcomes: list[Outcome], target: Path = RESULTS) -> None:
    """Write the outcomes as JSON."""
    target.parent.mkdir(exist_ok=True)
    rows: list[dict[str, Any]] = [asdict(outcome) for outcome in outcomes]
    target.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
