"""The worker: payloads in, durable segments out, application acks last. No clock, no network.

    take    hold a payload as it came
    flush   judge what is held, all at once; write it; then acknowledge it

Memory is bounded because the caller flushes when `due` says so and reads nothing from the network meanwhile.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Final

from device.contract import topics, wire
from device.contract import wire_pb2 as pb
from device.contract.errors import TryAgainError
from ingest.clocks import Clocks
from ingest.contract import durable
from ingest.contract.lake import Lake
from ingest.gate import Gate
from ingest.judge import Sound, judge
from ingest.segments import MESSAGES, REJECTS, Segment, message_row, reject_row

log = logging.getLogger(__name__)

Publish = Callable[[str, bytes], bool | None]
RANGES_PER_ACK: Final = 2_000  # at most 44 kB; a device takes 64 kB
RECENT: Final = 100_000  # hashes remembered to drop duplicates early, about 15 MB; sealing drops the rest


@dataclass(frozen=True, slots=True)
class Limits:
    """When a segment is full."""

    messages: int = 4_000
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
    gate : Gate or None
        What else decides whether a message is kept: registry, consent, erasures. None keeps all that is sound.

    Attributes
    ----------
    counters : Counter
        `received`, `stored`, `duplicates`, `rejected`, `rejected_<reason>`, `segments`, `acks`, `acks_dropped`,
        `registry_errors`.
    clocks : Clocks
        What the devices' clocks say of this computer's.
    """

    def __init__(
        self, lake: Lake, name: str, publish: Publish, limits: Limits | None = None, gate: Gate | None = None
    ) -> None:
        self._lake = lake
        self._name = name
        self._publish = publish
        self._limits = limits or Limits()
        self._gate = gate
        self._held: list[tuple[str, bytes, int]] = []
        self._held_bytes = 0
        self._oldest_ms: int | None = None
        self._messages = Segment(*MESSAGES)
        self._rejects = Segment(*REJECTS)
        self._stored: _Acks = {}
        self._refused: _Acks = {}
        self._recent = _Recent(RECENT)
        self.counters: Counter[str] = Counter()
        self.clocks = Clocks()

    def take(self, topic: str, payload: bytes, received_ms: int) -> None:
        """Hold one payload."""
        self._held.append((topic, payload, received_ms))
        self._held_bytes += len(payload)
        if self._oldest_ms is None:
            self._oldest_ms = received_ms

    @property
    def held(self) -> int:
        """Messages that are not on disk yet."""
        return len(self._held)

    def held_ms(self, now_ms: int) -> int:
        """How long the first of them has been held."""
        return 0 if self._oldest_ms is None else max(now_ms - self._oldest_ms, 0)

    def due(self, now_ms: int) -> bool:
        """Whether what is held should be flushed now."""
        if self._oldest_ms is None:
            return False
        return (
            not 0 <= now_ms - self._oldest_ms < self._limits.age_ms
            or len(self._held) >= self._limits.messages
            or self._held_bytes >= self._limits.payload_bytes
        )

    def flush(self, now_ms: int) -> None:
        """Judge what is held, make it durable, then acknowledge it. The commit order is `durable.commit`'s.

        Never raises on bytes. `now_ms` is UTC and after all of it was taken: devices compare their clocks with it.

        Raises
        ------
        TryAgainError
            If the disk refuses. Nothing was acknowledged, so the devices will send it again; or flush again.
        """
        name = f"{now_ms:013d}-{self._name}-{self.counters['segments']:06d}.parquet"
        try:
            with (
                self._gate.writing()
                if self._gate is not None
                else nullcontext(enter_result=False) as somebody_forgotten
            ):
                if somebody_forgotten:
                    self._let_go()
                self._sort()
                files = {
                    path: content
                    for segment in (self._messages, self._rejects)
                    for path, content in segment.files(self._lake.root, name)
                }
                durable.commit(files, then=partial(self._acknowledge, now_ms))
        except OSError as error:
            raise TryAgainError(
                f"{self._lake.root}: {error.strerror}; nothing of this segment was acknowledged, devices send it again"
            ) from error
        self.counters["stored"] += len(self._messages.rows)
        self.counters["segments"] += len(files)
        if self._gate is not None and self._gate.errors:
            self.counters["registry_errors"] = self._gate.errors
        self._messages.clear()
        self._rejects.clear()
        self._oldest_ms = None

    def _let_go(self) -> None:
        """Rows that a disk refused before somebody was forgotten: they must not come to it after all."""
        if self._gate is not None:
            for segment in (self._messages, self._rejects):
                segment.drop(self._gate.forgotten)

    def _sort(self) -> None:
        """Judge what is held: to messages, rejects or duplicates."""
        held, self._held, self._held_bytes = self._held, [], 0
        self.counters["received"] += len(held)
        devices = [_device_of(topic) for topic, _, _ in held]
        admit = self._gate.judge if self._gate is not None else None
        verdicts = judge(zip(devices, (payload for _, payload, _ in held), strict=True), admit)
        for (topic, payload, received_ms), device_id, verdict in zip(held, devices, verdicts, strict=True):
            if isinstance(verdict, Sound):
                self._keep(verdict, payload, received_ms)
            else:
                self._refuse(verdict, topic, device_id, payload, received_ms)
        self.clocks.judge()

    def _keep(self, sound: Sound, payload: bytes, received_ms: int) -> None:
        header = sound.header
        self.clocks.hear(header, received_ms)
        # A tombstone has the hash of the message it was: it must not hide that message, if both come.
        if self._recent.seen(sound.hash + b"\1" if sound.is_tombstone else sound.hash):
            self.counters["duplicates"] += 1
        else:
            self._messages.add(message_row(sound, payload, received_ms), len(payload))
        self._stored.setdefault((header.device_id, header.stream_id), []).append(header.seq)

    def _refuse(self, reject: wire.Reject, topic: str, device: str | None, payload: bytes, received_ms: int) -> None:
        self.counters["rejected"] += 1
        self.counters[f"rejected_{reject.reason}"] += 1
        if not self._recent.seen(hashlib.sha256(payload).digest()):
            self._rejects.add(reject_row(reject, topic, device, payload, received_ms), len(payload))
        header = reject.header
        if reject.reason == wire.Reason.BEYOND_CONSENT:
            self._keep_tombstone(payload, device, received_ms)
        if header is not None and header.device_id == device and reject.reason != wire.Reason.UNKNOWN_DEVICE:
            self._refused.setdefault((header.device_id, header.stream_id), []).append(header.seq)

    def _keep_tombstone(self, payload: bytes, device: str | None, received_ms: int) -> None:
        """Header and body hash of what consent does not cover: the chain holds, and the trip is whole without it."""
        stone = wire.tombstone(payload)
        (verdict,) = judge([(device, stone)])
        if isinstance(verdict, Sound) and not self._recent.seen(verdict.hash + b"\1"):
            self._messages.add(message_row(verdict, stone, received_ms), len(stone))

    def _acknowledge(self, now_ms: int) -> None:
        for key in sorted(self._stored.keys() | self._refused.keys()):
            device_id, stream_id = key
            stored, refused = ranges(self._stored.get(key, ())), ranges(self._refused.get(key, ()))
            for ack in _acks(stream_id, stored, refused):
                ack.acked_at_ms = now_ms
                taken = self._publish(topics.ack(device_id), ack.SerializeToString(deterministic=True))
                self.counters["acks_dropped" if taken is False else "acks"] += 1
        self._stored.clear()
        self._refused.clear()


_Acks = dict[tuple[str, bytes], list[int]]
_device_of = lru_cache(65_536)(topics.device_of)


def ranges(seqs: Iterable[int]) -> list[pb.Range]:
    """Join numbers to inclusive ranges, rising."""
    joined: list[pb.Range] = []
    first = last = 0
    for seq in sorted(seqs):
        if first and seq > last + 1:
            joined.append(pb.Range(first=first, last=last))
            first = seq
        first, last = first or seq, seq
    return [*joined, pb.Range(first=first, last=last)] if first else joined


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
