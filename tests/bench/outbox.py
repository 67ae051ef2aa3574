"""What the outbox asks of an SD card: syncs and bytes of a driving hour, and what a full outbox costs at a start.

recording -> agent -> outbox, every message acked at once; one process under strace, which counts the syncs
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tqdm import tqdm

from device.contract import bodies, wire
from device.contract.motion import COLUMNS
from device.outbox import Outbox
from device.outbox_room import Limits
from tests.bench.drives import recorded_drives
from tests.bench.measure import ROOT, measured, used
from tests.bench.row import Row

DRIVES = {"KIT": 1, "POLIDriving": 1, "own trips": 3}  # recordings of each kind
SETTINGS = ((10, "off"), (10, "full"), (30, "full"))  # commit_s and motion
REPEATS = 3
FULL = Limits()
BATCH_ROWS = 600
MB, KB = 2**20, 1_000


def run() -> list[Row]:
    """Measure on the first recordings of each kind, and on an outbox filled to its budget."""
    rows = []
    for drives in recorded_drives():
        for commit_s, motion in SETTINGS:
            name = f"{drives.name}, commit_s {commit_s}, motion {motion}"
            told = drive(commit_s, motion, drives.files[: DRIVES[drives.name]])
            rows.append(Row(f"{name}: syncs", told["syncs"] / told["hours"], "1/h"))
            rows.append(Row(f"{name}: written", told["written"] / told["hours"] / MB, "MB/h"))
            rows.append(Row(f"{name}: largest state", told["state"] / KB, "kB"))
    return rows + full_outbox()


def drive(commit_s: int, motion: str, files: list[Path]) -> dict[str, Any]:
    """Play recordings in a process of their own, its syncs counted."""
    strace = shutil.which("strace")
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        counts = Path(folder) / "syncs"
        counting = [strace, "-f", "-e", "trace=fsync,fdatasync", "-o", str(counts)] if strace else []
        command = [sys.executable, "-m", "tests.bench.outbox_drive", folder, str(commit_s), motion, *map(str, files)]
        told: dict[str, Any] = json.loads(
            subprocess.run([*counting, *command], stdout=subprocess.PIPE, check=True).stdout
        )
        told["syncs"] = counts.read_text().count("sync(") if strace else float("nan")
    return told


def full_outbox() -> list[Row]:
    """Start, sacrifice and delivery of an outbox that has waited for weeks."""
    opened, gave_up, delivered, left = [], [], [], []
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        path = Path(folder) / "outbox"
        made = fill(path)
        for _ in tqdm(range(REPEATS), desc="full outbox", disable=None):
            shutil.copytree(folder, Path(folder) / "copy")
            copy = Path(folder) / "copy" / "outbox"
            outbox, took = used(lambda copy=copy: Outbox(copy, limits=FULL))  # type: ignore[misc]
            opened.append(took.cpu_s * KB)
            _, took = used(lambda outbox=outbox: fill_more(outbox, 50))  # type: ignore[misc]
            gave_up.append(took.cpu_s * KB / 50)
            _, took = used(lambda outbox=outbox: deliver(outbox))  # type: ignore[misc]
            delivered.append(took.cpu_s * KB)
            outbox.close()
            left.append(copy.stat().st_size / MB)
            shutil.rmtree(copy.parent)
    return [
        Row("full outbox: messages", made, "1"),
        measured("full outbox: start with its check, CPU", opened, "ms"),
        measured("full outbox: a batch that pushes others out, CPU", gave_up, "ms"),
        measured("full outbox: all delivered in windows of 500, CPU", delivered, "ms"),
        measured("full outbox: file after that", left, "MB"),
    ]


def fill(path: Path) -> int:
    """Queue motion up to the budget."""
    with Outbox(path, limits=FULL) as outbox:
        while not outbox.counters:
            fill_more(outbox, 100)
        return outbox.waiting()


def fill_more(outbox: Outbox, batches: int) -> None:
    """Queue batches of a minute at 10 Hz, each in its own commit."""
    draw = random.Random(outbox.next_seq)
    columns: dict[str, list[int | None]] = {name: [None] * BATCH_ROWS for name in COLUMNS}
    columns["quality"] = [0] * BATCH_ROWS
    for name in ("accel_lon_cmps2", "accel_lat_cmps2", "yaw_rate_ddps"):
        columns[name] = [draw.randrange(-300, 300) for _ in range(BATCH_ROWS)]
    body = bodies.Motion(1, 0, BATCH_ROWS, columns)
    for _ in range(batches):
        head = wire.Header("car", outbox.stream_id, outbox.next_seq, outbox.head, b"boot", 0, 0, 1)
        outbox.commit(outbox.next_seq, [wire.encode(head, body)], b"{}")


def deliver(outbox: Outbox) -> None:
    """The insurer takes all of it, window by window."""
    while seqs := outbox.in_order(500):
        for seq in seqs:
            outbox.payload(seq)
        outbox.release(outbox.stream_id, [(seq, seq) for seq in seqs])
