"""Bodies in the outbox's file that become tombstones: given up for space, or withdrawn because they may not leave.

Within a transaction of the caller, whose log must have room for it: `at_most_bytes` is of the pages that change. Rows
that the disk has changed are left for whoever sends them to notice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Final

from device.contract.wire import tombstone
from device.outbox_file import PAGE_BYTES, OutboxFile, crc
from device.outbox_ranks import SACRIFICED, WITHDRAWN, Rank, smaller

CHUNK_ROWS: Final = 8


def sacrifice(file: OutboxFile, needed: int, at_most_bytes: int) -> Counter[str]:
    """Gain so many bytes, or what can be gained; counts of bodies and bytes."""
    counts: Counter[str] = Counter()
    changed = 0
    for rank, counter in SACRIFICED.items():
        for seq, payload in oldest(file, rank) if needed else ():
            if counts["sacrificed_bytes"] >= needed or changed >= at_most_bytes:
                break
            stone = smaller(payload)
            if len(stone) < len(payload):
                _bury(file, seq, stone)
                counts[counter] += 1
                counts["sacrificed_bytes"] += len(payload) - len(stone)
                changed += max(len(payload), PAGE_BYTES)
    return +counts


def withdraw(file: OutboxFile, ranks: Collection[Rank], at_most_bytes: int) -> Counter[str]:
    """Withdraw what there is of these ranks; counts of bodies."""
    counts: Counter[str] = Counter()
    changed = 0
    for rank in sorted(ranks):
        for seq, payload in oldest(file, rank):
            if changed >= at_most_bytes:
                return counts
            _bury(file, seq, tombstone(payload))
            counts[WITHDRAWN[rank]] += 1
            changed += max(len(payload), PAGE_BYTES)
    return counts


def oldest(file: OutboxFile, rank: Rank) -> Iterator[tuple[int, bytes]]:
    """Seq and bytes of whole rows of a rank, the oldest first; they may be replaced on the way."""
    query = "SELECT seq, crc, CAST(payload AS BLOB) FROM message WHERE rank = ? AND seq > ? ORDER BY seq LIMIT ?"
    seq = 0
    while rows := file.rows(query, (rank, seq, CHUNK_ROWS)):
        for seq, checksum, payload in rows:
            if crc(payload) == checksum:
                yield seq, payload


def _bury(file: OutboxFile, seq: int, stone: bytes) -> None:
    file.run("DELETE FROM message WHERE seq = ?", (seq,))  # an update would not merge pages
    file.run("INSERT INTO message VALUES (?, ?, ?, ?)", (seq, Rank.REST, crc(stone), stone))
