"""Bytes of a motion row on the wire, with header, hash and checkpoint, on recorded drives; JSON rows beside it.

The messages are those of the agent itself. JSON rows are the same motion in plain units, without spaces and without
what is not known; the smallest that a row-wise sender would write.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard
from tqdm import tqdm

from device.agent import Agent, AgentSettings
from device.clock import RecordedClock
from device.contract import bodies, wire
from device.contract.motion import COLUMNS, PERIOD_MS
from device.outbox import Outbox
from replay_data.player import Recording
from tests.bench.drives import recorded_drives
from tests.bench.measure import spread
from tests.bench.row import Row

BATCHES = {500: 10.0, 50: 13.0}  # rows of a message -> goal, bytes a row
COMMIT_MS = 3_600_000  # bytes do not depend on it
UNITS = {
    "speed_dkmh": ("speed_kmh", 10),
    "accel_lon_cmps2": ("accel_lon_mps2", 100),
    "accel_lat_cmps2": ("accel_lat_mps2", 100),
    "accel_peak_cmps2": ("accel_peak_mps2", 100),
    "yaw_rate_ddps": ("yaw_rate_dps", 10),
}

Size = tuple[int, int]  # bytes, motion rows


def run() -> list[Row]:
    """Measure each kind of drives at both batch sizes."""
    out = []
    for drives in recorded_drives():
        recordings = drives.read()
        for batch, goal in BATCHES.items():
            sizes = [measure(rec, batch) for rec in tqdm(recordings, desc=f"{drives.name}, {batch}", disable=None)]
            out += table(f"{drives.name}, {batch} a message", [size for size in sizes if size["motion"][1]], goal)
    return out


def table(name: str, sizes: list[dict[str, Size]], goal: float) -> list[Row]:
    """Rows of one kind; a value is of all drives together, the spread is between drives."""

    def row(told: str, key: str, anchor: str | None) -> Row:
        each = [size[key][0] / size[key][1] for size in sizes]
        value, beside = whole(sizes, key), None if anchor is None else whole(sizes, anchor)
        return Row(f"{name}: {told}", value, "B/row", spread(each), beside)

    judged = row("motion", "motion", "json")
    return [
        judged._replace(goal=f"at most {goal:g} B/row", met=judged.value <= goal),
        row("JSON rows, zstd", "json_zstd", "json"),
        row("all messages", "all", "json"),
    ]


def whole(sizes: list[dict[str, Size]], key: str) -> float:
    """Bytes a row over all drives."""
    return sum(size[key][0] for size in sizes) / sum(size[key][1] for size in sizes)


def measure(recording: Recording, batch: int) -> dict[str, Size]:
    """Play a recording into an outbox, and weigh what is in it."""
    payloads = messages(recording, batch)
    bodies_of = [
        (payload, message.body) for payload in payloads if isinstance(message := wire.decode(payload), wire.Message)
    ]
    motion = [(payload, body) for payload, body in bodies_of if isinstance(body, bodies.Motion)]
    rows = sum(body.count for _, body in motion)
    texts = [json.dumps(list(json_rows(body)), separators=(",", ":")).encode() for _, body in motion]
    packed = [zstandard.ZstdCompressor(level=wire.ZSTD_LEVEL).compress(text) for text in texts]
    return {
        "motion": (sum(len(payload) for payload, _ in motion), rows),
        "all": (sum(map(len, payloads)), rows),
        "json": (sum(map(len, texts)), rows),
        "json_zstd": (sum(map(len, packed)), rows),
    }


def messages(recording: Recording, batch: int) -> list[bytes]:
    """Messages of a recording at so many rows a batch."""
    settings = AgentSettings(
        recording.device_id, motion=True, batch_ms=batch * PERIOD_MS, commit_ms=COMMIT_MS, recording=recording.sha256
    )
    clock = RecordedClock(recording.head.started_at_ms, recording.head.utc_offset_min, boot_id=recording.stream_id)
    with tempfile.TemporaryDirectory() as folder, Outbox(Path(folder) / "outbox", recording.stream_id) as outbox:
        agent = Agent(settings, outbox, recording.signer.sign, clock)
        for reading in recording.readings:
            agent.push(reading)
        agent.finish()
        return [row.payload for row in outbox.unacked(outbox.next_seq)]


def json_rows(body: bodies.Motion) -> Iterator[dict[str, Any]]:
    """A batch row by row, in plain units."""
    for index in range(body.count):
        row: dict[str, Any] = {"t_ms": body.first_t_ms + index * PERIOD_MS}
        for column in COLUMNS:
            name, quanta = UNITS.get(column, (column, 1))
            value = body.columns[column][index] if body.columns.get(column) else None
            if value is not None:
                row[name] = value if quanta == 1 else value / quanta
        yield row
