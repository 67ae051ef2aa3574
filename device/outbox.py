"""The outbox: messages wait here, in one SQLite file, until the insurer says that it holds them.

One transaction stores the fixed bytes of new messages, the head of the hash chain, the next seq and the state of
everything that made them (detector, trip, position), so that a kill at any instant leaves either all or nothing.

    commit   WAL, synchronous=FULL: one sync; what returned is on the disk
    release  no sync of its own: a deletion that a power cut undoes is only a row sent, and acked, once more

The file is locked for as long as it is open: two agents on one outbox would fork the chain. Used from one thread.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, Self

from device.contract.errors import ContractError, TryAgainError, UbiError
from device.contract.wire import STREAM_ID_BYTES, Encoded

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x75626931  # "ubi1"
BUSY_TIMEOUT_S: Final = 2.0
_SCHEMA: Final = f"""
CREATE TABLE stream (
    stream_id BLOB NOT NULL,
    next_seq INTEGER NOT NULL,
    head BLOB NOT NULL,
    state BLOB NOT NULL,
    stored INTEGER NOT NULL,
    rejected INTEGER NOT NULL
);
CREATE TABLE message (seq INTEGER PRIMARY KEY, payload BLOB NOT NULL);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""


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

    Raises
    ------
    UbiError
        If the file is no outbox of this version, belongs to another stream, or cannot be opened.
    TryAgainError
        If another process has it open.
    """

    def __init__(self, path: Path, stream_id: bytes | None = None) -> None:
        self.path = path
        with self._one_line_errors():
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            try:
                self._open(stream_id)
            except BaseException:
                self._db.close()
                raise

    def _open(self, stream_id: bytes | None) -> None:
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        with self._transaction():
            self._create_or_check(stream_id)
        row = self._db.execute("SELECT stream_id, next_seq, head, state, stored, rejected FROM stream").fetchone()
        self.stream_id: bytes = row[0]
        self.next_seq: int = row[1]
        self.head: bytes = row[2]
        self.state: bytes = row[3]
        self.stored: int = row[4]
        self.rejected: int = row[5]
        if stream_id is not None and stream_id != self.stream_id:
            raise UbiError(f"{self.path}: holds stream {self.stream_id.hex()}, not {stream_id.hex()}; use another file")

    def _create_or_check(self, stream_id: bytes | None) -> None:
        (application_id,) = self._db.execute("PRAGMA application_id").fetchone()
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables == 0 and application_id == 0:
            for statement in _SCHEMA.strip().rstrip(";").split(";\n"):
                self._db.execute(statement)
            born = os.urandom(STREAM_ID_BYTES) if stream_id is None else stream_id
            self._db.execute("INSERT INTO stream VALUES (?, 1, x'', x'', 0, 0)", (born,))
        elif application_id != APPLICATION_ID:
            raise UbiError(f"{self.path}: a database, but not an outbox of ubi; name another file")
        elif version != SCHEMA_VERSION:
            raise UbiError(f"{self.path}: outbox version {version}, this release reads {SCHEMA_VERSION}; update ubi")

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
        """
        if first_seq != self.next_seq:
            raise ContractError(f"{self.path}: next seq is {self.next_seq}, not {first_seq}")
        next_seq = first_seq + len(messages)
        head = messages[-1].hash if messages else self.head
        rows = [(first_seq + index, message.payload) for index, message in enumerate(messages)]
        with self._one_line_errors(), self._transaction():
            self._db.executemany("INSERT INTO message VALUES (?, ?)", rows)
            self._db.execute("UPDATE stream SET next_seq = ?, head = ?, state = ?", (next_seq, head, state))
        self.next_seq, self.head, self.state = next_seq, head, state

    def unacked(self, limit: int, after_seq: int = 0) -> list[Row]:
        """Up to `limit` rows in seq order, from the first after `after_seq` on."""
        query = "SELECT seq, payload FROM message WHERE seq > ? ORDER BY seq LIMIT ?"
        with self._one_line_errors():
            return [Row(seq, payload) for seq, payload in self._db.execute(query, (after_seq, limit))]

    def payload(self, seq: int) -> bytes | None:
        """Bytes of one waiting row, None when it was acknowledged."""
        with self._one_line_errors():
            row = self._db.execute("SELECT payload FROM message WHERE seq = ?", (seq,)).fetchone()
        return row and bytes(row[0])

    def waiting(self) -> int:
        """How many rows are not acknowledged."""
        with self._one_line_errors():
            (count,) = self._db.execute("SELECT count(*) FROM message").fetchone()
        return int(count)

    def release(self, stream_id: bytes, stored: Ranges = (), rejected: Ranges = ()) -> Released:
        """Delete what the insurer holds, or has refused for good, and count both. Other streams' acks do nothing."""
        if stream_id != self.stream_id:
            return Released(0, 0)
        with self._one_line_errors(), self._unsynced(), self._transaction():
            released = Released(self._delete(stored), self._delete(rejected))
            update = "UPDATE stream SET stored = stored + ?, rejected = rejected + ?"
            self._db.execute(update, released)
        self.stored += released.stored
        self.rejected += released.rejected
        return released

    def _delete(self, ranges: Ranges) -> int:
        clamped = ((max(first, 0), min(last, self.next_seq - 1)) for first, last in ranges)
        statement = "DELETE FROM message WHERE seq BETWEEN ? AND ?"
        return sum(self._db.execute(statement, span).rowcount for span in clamped if span[0] <= span[1])

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        self._db.execute("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self._db.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise TryAgainError(f"{self.path}: in use by another process; stop it first") from error
            raise UbiError(f"{self.path}: {error}; check the folder, its rights and the free space") from error
        except sqlite3.DatabaseError as error:
            raise UbiError(f"{self.path}: {error}; set the file aside, the next start makes a new stream") from error
