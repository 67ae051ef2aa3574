"""What identity costs: a worker that judges by a registry, a registry read again, and an erasure against a bare scan.

Time is CPU time, each measured beside its anchor in the same repeat: the same judging without a registry; parsing every
line anew; reading every column of every file of the lake once.
"""

from __future__ import annotations

import shutil
import tempfile
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl
from tqdm import tqdm

from ingest.contract.lake import Lake
from ingest.devices import ACTIVE, Consent, Device, Key
from ingest.forget import Places, forget
from ingest.gate import Gate
from ingest.judge import judge
from ingest.registry import Registry, read_registry
from ingest.seal import seal
from ingest.worker import Worker
from tests.bench.measure import against, measured, used
from tests.bench.row import Row
from tests.ingest.drive import START_MS, Drive

REPEATS = 5
MESSAGES = 4_000  # a segment
ROWS_A_MESSAGE = 50
LINES = 20_000
CARS, TRIPS, BATCHES = 40, 20, 10


def run() -> list[Row]:
    """Measure all three."""
    with tempfile.TemporaryDirectory() as folder:
        return [*judging(Path(folder)), *reading(Path(folder)), *forgetting(Path(folder))]


def judging(folder: Path) -> list[Row]:
    """A segment of motion messages, judged with a registry and without."""
    registry = folder / "registry.jsonl"
    registry.write_bytes(Registry(device(f"car-{i}") for i in range(1_000)).to_bytes())
    gate = Gate(folder / "lake", registry)
    drive = Drive("car-500")
    drive.start()
    payloads = [("car-500", drive.motion(ROWS_A_MESSAGE).payload) for _ in range(MESSAGES)]
    ours, theirs = [], []
    for _ in tqdm(range(REPEATS), desc="judging", disable=None):
        theirs.append(used(lambda: judge(payloads))[1].cpu_s)
        ours.append(used(lambda: judge(payloads, gate.judge))[1].cpu_s)
    name = f"judging {MESSAGES} messages of {ROWS_A_MESSAGE} rows"
    extra = [1e6 * (our - their) / MESSAGES for our, their in zip(ours, theirs, strict=True)]
    return [
        against(f"{name}, registry to none", ours, theirs, "ratio"),
        measured(f"{name}, more a message", extra, "us"),
    ]


def reading(folder: Path) -> list[Row]:
    """A registry of many lines, one of them changed."""
    path = folder / "many.jsonl"
    registry = Registry(device(f"car-{i}") for i in range(LINES))
    path.write_bytes(registry.to_bytes())
    ours, theirs = [], []
    for repeat in tqdm(range(REPEATS), desc="reading", disable=None):
        (_, lines), anew = used(partial(read_registry, path))
        registry.devices["car-7"] = device("car-7", ("ab" if repeat % 2 else "cd") * 32)
        path.write_bytes(registry.to_bytes())
        again = used(partial(read_registry, path, lines))[1]
        ours.append(again.cpu_s)
        theirs.append(anew.cpu_s)
    return [
        measured(f"registry of {LINES} lines, first read", theirs, "s"),
        against(f"registry of {LINES} lines, one changed, to the first read", ours, theirs, "ratio"),
    ]


def forgetting(folder: Path) -> list[Row]:
    """One of many cars erased from messages, sealed tables and ledger, search included."""
    root = folder / "filled"
    lake = Lake(root)
    worker = Worker(lake, "w", lambda _topic, _payload: None, gate=Gate(root))
    for number in range(CARS):
        drive = Drive(f"car-{number}")
        for _ in range(TRIPS):
            drive.start()
            for _ in range(BATCHES):
                drive.motion(500)
            drive.event()
            drive.end()
        for message in drive.messages:
            worker.take(message.topic, message.payload, START_MS)
        worker.flush(START_MS)
    seal(lake, START_MS + 86_400_000)
    ours, theirs, copy = [], [], folder / "copy"
    for repeat in tqdm(range(REPEATS), desc="forgetting", disable=None):
        shutil.copytree(root, copy)
        theirs.append(used(lambda: [pl.read_parquet(file) for file in copy.rglob("*.parquet")])[1].cpu_s)
        ours.append(used(partial(forget, Places(Lake(copy)), f"car-{repeat}", START_MS))[1].cpu_s)
        shutil.rmtree(copy)
    size_mb = sum(file.stat().st_size for file in root.rglob("*.parquet")) / 2**20
    return [against(f"forgetting 1 of {CARS} cars in {size_mb:.0f} MB, to reading it once", ours, theirs, "ratio")]


def device(name: str, key: str = "ab" * 32) -> Device:
    """An active device with full consent."""
    today = date(2026, 1, 1)
    return Device(name, ACTIVE, today, Consent(("pricing",), "off", "full"), (Key(key, today),))
