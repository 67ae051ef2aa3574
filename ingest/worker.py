"""The worker: payloads in, durable segments out, application acks last. No clock, no network.

    take    decode, sort out duplicates and rejects, hold the rows
    flush   write what is held, then acknowledge it

Memory is bounded because the caller flushes when `due` says so and reads nothing from the network meanwhile.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from device.contract import topics, wire
from device.contract import wire_pb2 as pb
from device.contract.errors import TryAgainError
from ingest.contract import durable
from ingest.contract.lake import Lake
from ingest.segments import MESSAGES, REJECTS, Segment, message_row, reject_row

log = logging.getLogger(__name__)

Publish = Callable[[str, bytes], bool | None]
RANGES_PER_ACK: Final = 2_000  # at most 44 kB; a device takes 64 kB
RECENT: Final = 100_000  # hashes remembered to drop duplicates early, about 15 MB; sealing drops the rest


@dataclass(frozen=True, slots=True)
class Limits:
    """When a segment is full."""

    messages: int = 2_000
    payload_bytes: int = 16 * 2**20
    age_ms: int = 1_000  # of the first message that waits; a device resends after 60 s without an ack


class Worker:
    """Takes messages and makes them durable.

    Parameters
    ----------
    lake : Lake
    name : str
        Part of its file names; no two workers of a lake share one.
    publish : callable
        Sends an ack: topic, payload; False where it had to be dropped. Called only after the rows it acknowledges are
        on disk.
    limits : Limits

    Attributes
    ----------
    counters : Counter
        `received`, `stored`, `duplicates`, `rejected`, `rejected_<reason>`, `segments`, `acks`, `acks_dropped`.
    """

    def __init__(self, lake: Lake, name: str, publish: Publish, limits: Limits | None = None) -> None:
        self._lake = lake
        self._name = name
        self._publish = publish
        self._limits = limits or Limits()
        self._messages = Segment(*MESSAGES)
        self._rejects = Segment(*REJECTS)
        self._stored: _Acks = {}
        self._refused: _Acks = {}
        self._recent = _Recent(RECENT)
        self._oldest_ms: int | None = None
        self._waiting = 0
        self.counters: Counter[str] = Counter()

    def take(self, topic: str, payload: bytes, received_ms: int) -> None:
        """Judge one payload by itself and hold it. Never raises on bytes."""
        self.counters["received"] += 1
        self._waiting += 1
        if self._oldest_ms is None:
            self._oldest_ms = received_ms
        device_id = topics.device_of(topic)
        message = wire.decode(payload, device_id)
        if device_id is None:
            message = wire.Reject(wire.Reason.WRONG_DEVICE, "the topic names no device")
        if isinstance(message, wire.Reject):
            self._refuse(message, topic, device_id, payload, received_ms)
        else:
            self._keep(message, payload, received_ms)

    def due(self, now_ms: int) -> bool:
        """Whether what is held should be flushed now."""
        if self._oldest_ms is None:
            return False
        return (
            not 0 <= now_ms - self._oldest_ms < self._limits.age_ms
            or self._waiting >= self._limits.messages
            or self._messages.payload_bytes + self._rejects.payload_bytes >= self._limits.payload_bytes
        )

    def flush(self, now_ms: int) -> None:
        """Make durable what is held, then acknowledge it. The commit order is `durable.commit`'s, steps 1 to 5.

        Raises
        ------
        TryAgainError
            If the disk refuses. Nothing was acknowledged, so the devices will send it again.
        """
        name = f"{now_ms:013d}-{self._name}-{self.counters['segments']:06d}.parquet"
        files = dict(self._messages.files(self._lake.root, name)) | dict(self._rejects.files(self._lake.root, name))
        try:
            durable.commit(files, then=self._acknowledge)
        except OSError as error:
            raise TryAgainError(
                f"{self._lake.root}: {error.strerror}; nothing of this segment was acknowledged, devices send it again"
            ) from error
        self.counters["stored"] += len(self._messages.rows)
        self.counters["segments"] += len(files)
        self._messages.clear()
        self._rejects.clear()
        self._oldest_ms, self._waiting = None, 0

    def _keep(self, message: wire.Message, payload: bytes, received_ms: int) -> None:
        header = message.header
        # A tombstone has the hash of the message it was: it must not hide that message, if both come.
        if self._recent.seen(message.hash + bytes([message.body is None])):
            self.counters["duplicates"] += 1
        else:
            self._messages.add(message_row(message, payload, received_ms))
        self._stored.setdefault((header.device_id, header.stream_id), set()).add(header.seq)

    def _refuse(self, reject: wire.Reject, topic: str, device: str | None, payload: bytes, received_ms: int) -> None:
        self.counters["rejected"] += 1
        self.counters[f"rejected_{reject.reason}"] += 1
        row = reject_row(reject, topic, device, payload, received_ms)
        if not self._recent.seen(row["payload_sha256"]):
            self._rejects.add(row)
        header = reject.header
        if header is not None and header.device_id == device:
            self._refused.setdefault((header.device_id, header.stream_id), set()).add(header.seq)

    def _acknowledge(self) -> None:
        for key in sorted(self._stored.keys() | self._refused.keys()):
            device_id, stream_id = key
            for ack in _acks(stream_id, ranges(self._stored.get(key, ())), ranges(self._refused.get(key, ()))):
                taken = self._publish(topics.ack(device_id), ack.SerializeToString(deterministic=True))
                self.counters["acks_dropped" if taken is False else "acks"] += 1
        self._stored.clear()
        self._refused.clear()


_Acks = dict[tuple[str, bytes], set[int]]


def ranges(seqs: Iterable[int]) -> list[pb.Range]:
    """Join numbers to inclusive ranges, rising."""
    joined: list[pb.Range] = []
    for seq in sorted(seqs):
        if joined and joined[-1].last + 1 == seq:
            joined[-1].last = seq
        else:
            joined.append(pb.Range(first=seq, last=seq))
    return joined


def _acks(stream_id: bytes, stored: list[pb.Range], rejected: list[pb.Range]) -> Iterator[pb.Ack]:
    for start in range(0, len(stored), RANGES_PER_ACK):
        yield pb.Ack(stream_id=stream_id, stored=stored[start : start + RANGES_PER_ACK])
    for start in range(0, len(rejected), RANGES_PER_ACK):
        yield pb.Ack(stream_id=stream_id, rejected=rejected[start : start + RANGES_PER_ACK])


class _Recent:
    """The last `size` keys."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._keys: OrderedDict[bytes, None] = OrderedDict()

    def seen(self, key: bytes) -> bool:
        """Whether the key is remembered; remembers it."""
        known = key in self._keys
        self._keys[key] = None
        self._keys.move_to_end(key)
        if len(self._keys) > self._size:
            self._keys.popitem(last=False)
        return known
