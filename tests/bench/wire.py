"""Bytes of a motion row on the wire, with header, hash and checkpoint, on recorded drives; JSON rows beside it.

The messages are those of the agent itself; rows with every column (an IMU's, 10 a second) are made from the sensors of
recorded cars and chained as the agent does. JSON rows are the same motion in plain units, without spaces and without
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
from device.chain import Chain
from device.clock import RecordedClock
from device.contract import bodies, wire
from device.contract.motion import COLUMNS, PERIOD_MS
from device.contract.signing import Signer
from device.outbox import Outbox
from replay_data.player import Recording
from tests.bench.drives import recorded_drives
from tests.bench.imu_rows import PERIOD_MS as IMU_PERIOD_MS
from tests.bench.imu_rows import Columns, full_rows
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
    out = [
        row
        for name, columns in full_rows()
        for batch, goal in BATCHES.items()
        for row in full(name, columns, batch, goal)
    ]
    for drives in recorded_drives():
        recordings = drives.read()
        for batch, goal in BATCHES.items():
            sizes = [measure(rec, batch) for rec in tqdm(recordings, desc=f"{drives.name}, {batch}", disable=None)]
            out += table(f"{drives.name}, {batch} a message", [size for size in sizes if size["motion"][1]], goal)
    return out


def full(name: str, columns: Columns, batch: int, goal: float) -> list[Row]:
    """Rows of a drive with every column, in messages of so many rows; what is left over at its end is not sent."""
    chain = Chain(
        device_id="car-1",
        stream_id=bytes(16),
        boot_id=bytes(16),
        next_seq=1,
        head=b"",
        sign=Signer.from_seed(bytes(32)).sign,
        signed_ms=0,
    )
    sizes: list[dict[str, Size]] = []
    samples = len(columns["speed_dkmh"])
    for first in range(0, samples - batch + 1, batch):
        part = {column: values[first : first + batch] for column, values in columns.items()}
        body = bodies.Motion(1, first * IMU_PERIOD_MS, batch, part)
        now_ms = (first + batch) * IMU_PERIOD_MS
        sent = chain.add(body, mono_ms=now_ms, utc_ms=now_ms, quality=2, next_within_ms=batch * IMU_PERIOD_MS)
        text = json.dumps(list(json_rows(body, IMU_PERIOD_MS)), separators=(",", ":")).encode()
        packed = zstandard.ZstdCompressor(level=wire.ZSTD_LEVEL).compress(text)
        sizes.append(
            {"motion": (len(sent.payload), batch), "json": (len(text), batch), "json_zstd": (len(packed), batch)}
        )
    whole_name = f"{name}, every column at 10 Hz, {batch} a message"
    return table(whole_name, sizes, goal) if sizes else []


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
        *([row("all messages", "all", "json")] if "all" in sizes[0] else []),
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


def json_rows(body: bodies.Motion, period_ms: int = PERIOD_MS) -> Iterator[dict[str, Any]]:
    """A batch row by row, in plain units."""
    for index in range(body.count):
        row: dict[str, Any] = {"t_ms": body.first_t_ms + index * period_ms}
        for column in COLUMNS:
            name, quanta = UNITS.get(column, (column, 1))
            value = body.columns[column][index] if body.columns.get(column) else None
            if value is not None:
                row[name] = value if quanta == 1 else value / quanta
        yield row
