"""An emulated device for the tests of ingest: real messages, chained and signed as the wire asks, without a car."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from device.contract import bodies, topics, wire
from device.contract import wire_pb2 as pb
from device.contract.motion import COLUMNS
from device.contract.trip import TripSummary

START_MS = 1_767_225_600_000  # 2026-01-01
PERIOD_MS = 500


class Sent(NamedTuple):
    """A message as the device fixed it."""

    topic: str
    payload: bytes
    seq: int
    hash: bytes


@dataclass
class Drive:
    """Writes one stream: `start`, `motion`, `event`, `end`, `health`, or a whole `trip`."""

    device_id: str = "car"
    start_ms: int = START_MS
    recording: str = "ab" * 32
    outbox: str = ""  # another one is another stream
    messages: list[Sent] = field(default_factory=list)
    _trip_seq: int = 0
    _rows: int = 0

    @property
    def stream_id(self) -> bytes:
        return hashlib.sha256((self.device_id + self.outbox).encode()).digest()[:16]

    def put(self, body: bodies.Body) -> Sent:
        seq = len(self.messages) + 1
        header = wire.Header(
            device_id=self.device_id,
            stream_id=self.stream_id,
            seq=seq,
            prev_hash=self.messages[-1].hash if self.messages else b"",
            boot_id=b"boot",
            queued_at_ms=self.start_ms + 1_000 * seq,
            mono_ms=1_000 * seq,
            clock_quality=pb.CLOCK_RECORDED,
        )
        encoded = wire.encode(header, body)
        self.messages.append(Sent(topics.up(self.device_id), encoded.payload, seq, encoded.hash))
        return self.messages[-1]

    def start(self, **fields: object) -> Sent:
        self._trip_seq, self._rows = len(self.messages) + 1, 0
        values = {
            "period_ms": PERIOD_MS,
            "started_at_ms": self.start_ms + 1_000 * len(self.messages),
            "utc_offset_min": 60,
            "rules_version": 1,
            "sensor_grade": pb.GRADE_OBD_SPEED,
            "recording": self.recording,
            "recorded_file": "drive.ubirec",
            "odometer_m": 1_000,
        }
        return self.put(bodies.TripStart(**(values | fields)))  # type: ignore[arg-type]

    def motion(self, rows: int = 10) -> Sent:
        columns: dict[str, list[int | None]] = {name: [None] * rows for name in COLUMNS}
        columns["speed_dkmh"] = [300 + (7 * (self._rows + i)) % 50 if i % 4 else None for i in range(rows)]
        columns["accel_lon_cmps2"] = [(-1) ** i * ((self._rows + i) % 400) for i in range(rows)]
        columns["quality"] = [0] * rows
        body = bodies.Motion(self._trip_seq, PERIOD_MS * self._rows, rows, columns)
        self._rows += rows
        return self.put(body)

    def event(self, onset_ms: int = 1_000) -> Sent:
        end_ms = onset_ms + 1_000
        return self.put(
            bodies.Event(self._trip_seq, 1, 2, onset_ms, onset_ms + 500, end_ms, 1_500, 450, 500, -80, 1, 1)
        )

    def end(self) -> Sent:
        summary = TripSummary(
            duration_ms=PERIOD_MS * self._rows,
            samples=self._rows,
            distance_mm=12_345_678,
            distance_by_speed_mm={3: 12_345_678},
            event_counts={10: 1},
        )
        return self.put(bodies.TripEnd(self._trip_seq, pb.END_OF_RECORDING, summary, odometer_m=13_345))

    def health(self, **counters: int) -> Sent:
        return self.put(bodies.Health(counters or {"resent": 3}))

    def trip(self, batches: int = 2) -> list[Sent]:
        """Write a whole trip with one event and a health message inside."""
        first = len(self.messages)
        self.start()
        for _ in range(batches):
            self.motion()
        self.event()
        self.health()
        self.end()
        return self.messages[first:]


def fleet(devices: int, trips: int = 1) -> list[Sent]:
    """Messages of several devices, one after the other."""
    drives = [Drive(f"car-{i}", START_MS + i * 86_400_000 * 9) for i in range(devices)]
    return [message for drive in drives for _ in range(trips) for message in drive.trip()]


def seqs(ranges: Iterable[pb.Range]) -> set[int]:
    """Numbers in an ack's ranges."""
    return {seq for span in ranges for seq in range(span.first, span.last + 1)}
