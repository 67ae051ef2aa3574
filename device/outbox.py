"""The outbox: messages wait here, in one SQLite file, until the insurer says that it holds them.

One transaction stores the fixed bytes of new messages, the head of the hash chain, the next seq and the state of
everything that made them (detector, trip, position), so that a kill at any instant leaves either all or nothing.

    commit   one sync: what returned is on the disk. Makes room first if there is none, see `outbox_ranks`
    release  no sync of its own: a deletion that a power cut undoes is only a row sent, and acked, once more
    withhold what the settings no longer let leave: `payload` gives its tombstone from now on, and the next `commit`,
             in the same transaction as the settings, leaves only that in the file

A disk that takes nothing raises `DiskError` and changes nothing; the same call may work later. Two agents on one
outbox would fork the chain: the file is locked for as long as it is open. Used from one thread.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, Self, TypeVar

from device.contract.errors import ContractError, DiskError, UbiError
from device.contract.wire import Encoded, tombstone
from device.outbox_file import OutboxFile, crc
from device.outbox_ranks import Rank, rank_of
from device.outbox_room import Limits, Reserve, free_bytes, missing_bytes
from device.outbox_tombstones import oldest, sacrifice, withdraw

log = logging.getLogger(__name__)

SLACK_BYTES: Final = 2**20  # unused bytes of the file that are kept for the next messages
STEP_BYTES: Final = 4 * 2**20  # given up, or withdrawn, in one transaction at most
FULL_STEP_BYTES: Final = 2**18  # the same on a full disk, where the log must fit into the reserve

T = TypeVar("T")


class Row(NamedTuple):
    """A message that the insurer has not acknowledged yet."""

    seq: int
    payload: bytes


class Released(NamedTuple):
    """How many rows an ack deleted."""

    stored: int
    rejected: int


Ranges = Iterable[tuple[int, int]]  # first and last seq, both included


class Outbox:
    """Outbox of one stream.

    Parameters
    ----------
    path : Path
        Made where it does not exist; its folder must exist.
    stream_id : bytes or None
        16 bytes for a new file (a replay derives them); None draws them at random. An existing file keeps its own,
        and must agree with the one given.
    limits : Limits or None
        What it may use of the disk; None = all of it.
    counters : mapping of str to int
        What a new file has to tell from the beginning.

    Raises
    ------
    DamagedError
        If the file is not whole; `outbox_damage.open_outboxes` goes on with a new one.
    UbiError
        If the file is no outbox, of a newer release, or of another stream.
    TryAgainError
        If another process has it open, or the disk refuses.
    """

    def __init__(
        self,
        path: Path,
        stream_id: bytes | None = None,
        limits: Limits | None = None,
        counters: Mapping[str, int] | None = None,
    ) -> None:
        self.path = path
        self._limits = limits
        self._reserve = Reserve(path)
        self._file = OutboxFile(path, stream_id, counters)
        row = self._file.rows("SELECT stream_id, next_seq, head, state, stored, rejected FROM stream")[0]
        self.stream_id: bytes = row[0]
        self.next_seq: int = row[1]
        self.head: bytes = row[2]
        self.state: bytes = row[3]
        self.stored: int = row[4]
        self.rejected: int = row[5]
        self._waiting = self._file.number("SELECT count(*) FROM message")
        self._saved: Counter[str] = Counter(dict(self._file.rows("SELECT name, total FROM counter")))
        self._unsaved: Counter[str] = Counter()
        self._told_of_room = False
        self._step_bytes = STEP_BYTES
        self._withheld: frozenset[Rank] = frozenset()
        if stream_id is not None and stream_id != self.stream_id:
            self.close()
            raise UbiError(f"{path}: holds stream {self.stream_id.hex()}, not {stream_id.hex()}; use another file")
        self._fill_reserve()

    @property
    def counters(self) -> dict[str, int]:
        """What this stream has lost, in total since its birth; docs/operations.md has each name, with `outbox_`."""
        return dict(self._saved + self._unsaved)

    def commit(self, first_seq: int, messages: Sequence[Encoded], state: bytes) -> None:
        """Store messages, and the state after them, in one transaction; they are on the disk when this returns.

        Parameters
        ----------
        first_seq : int
            Seq of the first message; must be `next_seq`.
        messages : sequence of Encoded
            In seq order, chained from `head`. May be empty: then only the state moves on.
        state : bytes
            Opaque; what a restart needs to continue after these messages.

        Raises
        ------
        DiskError
            The disk takes nothing now; the outbox is as before, and the same call may work later.
        """
        if first_seq != self.next_seq:
            raise ContractError(f"{self.path}: next seq is {self.next_seq}, not {first_seq}")
        next_seq = first_seq + len(messages)
        head = messages[-1].hash if messages else self.head

        def store() -> Counter[str]:
            with self._file.transaction():
                for seq, message in enumerate(messages, first_seq):
                    row = (seq, rank_of(message.payload), crc(message.payload), message.payload)
                    self._file.run("INSERT INTO message VALUES (?, ?, ?, ?)", row)
                update = "UPDATE stream SET next_seq = ?, head = ?, state = ?, state_crc = ?"
                self._file.run(update, (next_seq, head, state, crc(state)))
                withdrawn = self._withdraw()  # that makes room, too: no more than a step in one transaction
                counts = self._unsaved + withdrawn + self._sacrifice(0 if withdrawn else self._missing_bytes())
                self._file.add_counters(counts)
            self._save(counts)
            return withdrawn

        withdrawn = self._also_on_a_full_disk(store)
        self.next_seq, self.head, self.state = next_seq, head, state
        self._waiting += len(messages)
        if withdrawn:
            self._withdraw_rest(withdrawn)
        self._fill_reserve()

    def withhold(self, ranks: Collection[Rank]) -> None:
        """Let nothing of these ranks leave any more but its tombstone; the next `commit` writes that down."""
        self._withheld = frozenset(ranks)

    def withdraw(self) -> None:
        """Write it down now, where no `commit` is about to come; what the disk refuses is withdrawn later."""
        if any(next(oldest(self._file, rank), None) for rank in self._withheld):
            try:
                self.commit(self.next_seq, [], self.state)
            except DiskError as error:
                log.warning("%s; what may not leave any more stays here, and is withdrawn later", error)

    def unacked(self, limit: int, after_seq: int = 0) -> list[Row]:
        """Up to `limit` rows in seq order, from the first after `after_seq` on."""
        query = "SELECT seq, payload FROM message WHERE seq > ? ORDER BY seq LIMIT ?"
        return [Row(*row) for row in self._file.rows(query, (after_seq, limit))]

    def in_order(self, limit: int, last: Rank = Rank.REST) -> list[int]:
        """Up to `limit` seqs in the order in which they are to be sent, of ranks up to `last`."""
        query = "SELECT seq FROM message WHERE rank <= ? ORDER BY rank, seq LIMIT ?"
        return [seq for (seq,) in self._file.rows(query, (last, limit))]

    def payload(self, seq: int) -> bytes | None:
        """Bytes of one waiting row; None when it was acknowledged, or when the disk has changed them: it is lost."""
        query = "SELECT rank, crc, CAST(payload AS BLOB) FROM message WHERE seq = ?"
        for rank, checksum, payload in self._file.rows(query, (seq,)):
            if crc(payload) == checksum:
                return tombstone(payload) if rank in self._withheld else bytes(payload)
            log.error("%s: message %d was changed on the disk and is lost", self.path, seq)
            with self._file.transaction():
                deleted = self._file.run("DELETE FROM message WHERE seq = ?", (seq,))
            self._waiting -= deleted  # not before the disk has taken it
            self._unsaved["damaged_messages"] += 1
        return None

    def waiting(self) -> int:
        """How many rows are not acknowledged."""
        return self._waiting

    def release(self, stream_id: bytes, stored: Ranges = (), rejected: Ranges = ()) -> Released:
        """Delete what the insurer holds, or has refused for good, and count both. Other streams' acks do nothing.

        Raises
        ------
        DiskError
            The disk takes nothing now; the rows stay, are sent again and acknowledged again.
        """
        if stream_id != self.stream_id or not self._waiting:
            return Released(0, 0)

        def delete() -> Released:
            with self._file.transaction(synced=False):
                released = Released(self._delete(stored), self._delete(rejected))
                self._file.run("UPDATE stream SET stored = stored + ?, rejected = rejected + ?", released)
            return released

        stored, rejected = list(stored), list(rejected)
        released = self._also_on_a_full_disk(delete)
        self.stored += released.stored
        self.rejected += released.rejected
        self._waiting -= sum(released)
        if self._file.unused_bytes > SLACK_BYTES and not self._is_disk_short():
            self._file.shrink()
        return released

    def _delete(self, ranges: Ranges) -> int:
        clamped = ((max(first, 0), min(last, self.next_seq - 1)) for first, last in ranges)
        statement = "DELETE FROM message WHERE seq BETWEEN ? AND ?"
        return sum(self._file.run(statement, span) for span in clamped if span[0] <= span[1])

    def _sacrifice(self, needed: int) -> Counter[str]:
        """Make room of so many bytes, if that can be; counts of what it cost."""
        counts = sacrifice(self._file, needed, self._step_bytes)
        if counts:
            told = ", ".join(f"{total} {name}" for name, total in counts.items())
            log.log(logging.DEBUG if self._told_of_room else logging.WARNING, "%s: no room: %s", self.path, told)
            self._told_of_room = True
        return counts

    def _withdraw(self) -> Counter[str]:
        """Withdraw as much of what may not leave as fits into one transaction; counts of it."""
        return withdraw(self._file, self._withheld, self._step_bytes)

    def _withdraw_rest(self, withdrawn: Counter[str]) -> None:
        """The same, in further transactions, until nothing is left; what a disk refuses now `payload` holds back."""
        try:
            while True:
                with self._file.transaction():
                    counts = self._withdraw()
                    self._file.add_counters(counts)
                if not counts:
                    break
                self._save(counts)
                withdrawn += counts
        except DiskError as error:
            log.warning("%s; what is left may not leave either, and is withdrawn later", error)
        told = ", ".join(f"{total} {name}" for name, total in withdrawn.items())
        log.info("%s: may not leave the car any more: %s", self.path, told)

    def _missing_bytes(self) -> int:
        if self._limits is None:
            return 0
        missing = missing_bytes(self._limits, self._file.used_bytes, self._file.unused_bytes, self._free_bytes())
        return missing and missing + self._limits.max_bytes // 64  # not a little with every commit

    def _also_on_a_full_disk(self, change: Callable[[], T]) -> T:
        """Make a change; where the disk refuses, spend the reserve on making room for it, and try once more.

        From then on, until the next start, changes are small ones, that fit into what the reserve gave.
        """
        try:
            return change()
        except DiskError:
            is_new = self._step_bytes != FULL_STEP_BYTES
            if self._limits is None or not (self._reserve.spend() or is_new):
                raise
        log.warning("%s: the disk is full; motion is given up to go on", self.path)
        self._step_bytes = FULL_STEP_BYTES
        self._file.keep_log_small()
        with self._file.transaction():
            counts = self._sacrifice(FULL_STEP_BYTES)
            self._file.add_counters(counts)
        self._save(counts)
        return change()

    def _save(self, counts: Counter[str]) -> None:
        self._saved += counts
        self._unsaved -= counts

    def _fill_reserve(self) -> None:
        if self._limits is not None:
            self._reserve.fill(self._free_bytes(), self._limits.keep_free_bytes)

    def _is_disk_short(self) -> bool:
        return self._limits is not None and self._free_bytes() < self._limits.keep_free_bytes

    def _free_bytes(self) -> float:
        try:
            return free_bytes(self.path.parent)
        except OSError:
            return math.inf

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
