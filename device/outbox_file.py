"""The SQLite file under the outbox: its tables, its transactions, and what can go wrong with it in one line each.

    commit   WAL, synchronous=FULL: one sync of the log; what returned is on the disk
    unsynced the same without a sync of its own, for what may be undone by a power cut

The file is locked for as long as it is open. Used from one thread.
"""

from __future__ import annotations

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Final

from device.contract.errors import DamagedError, DiskError, TryAgainError, UbiError
from device.contract.wire import HASH_BYTES, STREAM_ID_BYTES
from device.outbox_ranks import rank_of

SCHEMA_VERSION: Final = 2
APPLICATION_ID: Final = 0x75626931  # "ubi1"
BUSY_TIMEOUT_S: Final = 2.0
PAGE_BYTES: Final = 4_096
LOG_PAGES: Final = 1_000  # of the log before it is copied into the file: the more, the fewer syncs
SMALL_LOG_PAGES: Final = 32  # on a full disk: the log goes round in the blocks that it has
SHRINK_PAGES: Final = 1_024  # given back to the disk at a time

# crc: of state and payload, because SQLite does not notice changed bytes inside a value.
_TABLES: Final = (
    """CREATE TABLE stream (
        stream_id BLOB NOT NULL,
        next_seq INTEGER NOT NULL,
        head BLOB NOT NULL,
        state BLOB NOT NULL,
        state_crc INTEGER NOT NULL,
        stored INTEGER NOT NULL,
        rejected INTEGER NOT NULL
    )""",
    """CREATE TABLE message (
        seq INTEGER PRIMARY KEY, rank INTEGER NOT NULL, crc INTEGER NOT NULL, payload BLOB NOT NULL
    )""",
    "CREATE INDEX message_order ON message (rank, seq)",
    "CREATE TABLE counter (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID",
)
_IN_USE: Final = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
# ERROR and CONSTRAINT: no table of that name, two rows of one seq: no statement here fails so on a whole file.
_DAMAGE: Final = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_FORMAT,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_CONSTRAINT,
}
_UNREADABLE: Final = {sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS}

crc = zlib.crc32


def suspect_mark(outbox: Path) -> Path:
    """File that tells the next start that damage was met while running."""
    return outbox.with_name(f"{outbox.name}-suspect")


class OutboxFile:
    """An open file with the tables of this release.

    Parameters
    ----------
    path : Path
        Made where it does not exist; its folder must exist.
    stream_id : bytes or None
        Of a new file; None draws it at random.
    counters : mapping of str to int
        Totals that a new file begins with.

    Raises
    ------
    DamagedError
        If the file is not whole.
    UbiError
        If it is a database of another kind, or of a newer release.
    TryAgainError
        If another process has it open, or the disk refuses.
    """

    def __init__(self, path: Path, stream_id: bytes | None = None, counters: Mapping[str, int] | None = None) -> None:
        self.path = path
        self._is_whole = False
        self._db: sqlite3.Connection | None = None
        with self._one_line_errors():
            self._db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
            try:
                self._open(stream_id, counters or {})
            except BaseException:
                self._db.close()
                raise

    def _open(self, stream_id: bytes | None, counters: Mapping[str, int]) -> None:
        self.run("PRAGMA locking_mode = EXCLUSIVE")
        if self.number("PRAGMA page_count") == 0:  # of a new file only: it writes, and a full disk would stop the start
            self.run("PRAGMA auto_vacuum = INCREMENTAL")
        self.run("PRAGMA journal_mode = WAL")
        for setting in ("synchronous = FULL", "secure_delete = FAST", f"journal_size_limit = {LOG_PAGES * PAGE_BYTES}"):
            self.run(f"PRAGMA {setting}")
        self.run(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
        with self.transaction():
            version = self._version()
            if version == 0:
                self._create(stream_id, counters)
            elif version == 1:
                self._migrate()
        self._check()
        self._is_whole = True
        if self.number("PRAGMA auto_vacuum") == 0:  # made by version 1: it never gave a byte back to the disk
            with suppress(DiskError):  # another time
                self.run("PRAGMA auto_vacuum = INCREMENTAL")
                self.run("VACUUM")

    def _version(self) -> int:
        """Schema version, 0 of an empty file."""
        application_id, version = self.number("PRAGMA application_id"), self.number("PRAGMA user_version")
        if application_id == 0 and self.number("SELECT count(*) FROM sqlite_master") == 0:
            return 0
        if application_id != APPLICATION_ID:
            raise UbiError(f"{self.path}: a database, but not an outbox of ubi; name another file")
        if not 1 <= version <= SCHEMA_VERSION:
            raise UbiError(f"{self.path}: outbox version {version}, this release reads {SCHEMA_VERSION}; update ubi")
        return version

    def _create(self, stream_id: bytes | None, counters: Mapping[str, int]) -> None:
        for statement in _TABLES:
            self.run(statement)
        born = os.urandom(STREAM_ID_BYTES) if stream_id is None else stream_id
        self.run("INSERT INTO stream VALUES (?, 1, x'', x'', 0, 0, 0)", (born,))
        self.add_counters(counters)
        self.run(f"PRAGMA application_id = {APPLICATION_ID}")
        self.run(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _migrate(self) -> None:
        """Version 1 had neither ranks nor checksums nor counters."""
        for table in ("stream", "message"):
            self.run(f"ALTER TABLE {table} RENAME TO {table}_1")
        for statement in _TABLES:
            self.run(statement)
        stream_id, next_seq, head, state, stored, rejected = self.rows("SELECT * FROM stream_1")[0]
        self.run(
            "INSERT INTO stream VALUES (?, ?, ?, ?, ?, ?, ?)",
            (stream_id, next_seq, head, state, crc(state), stored, rejected),
        )
        for seq, payload in self.each("SELECT seq, payload FROM message_1"):
            self.run("INSERT INTO message VALUES (?, ?, ?, ?)", (seq, rank_of(payload), crc(payload), payload))
        for table in ("stream", "message"):
            self.run(f"DROP TABLE {table}_1")
        self.run(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _check(self) -> None:
        """Find damage now rather than in mid-trip."""
        told = self.rows("PRAGMA quick_check(1)")
        if told != [("ok",)]:
            raise self._damaged(str(told[0][0]).replace("\n", " "))
        streams = self.rows("SELECT stream_id, next_seq, head, state, state_crc FROM stream")
        if len(streams) != 1:
            raise self._damaged(f"{len(streams)} streams")
        stream_id, next_seq, head, state, state_crc = streams[0]
        whole = len(stream_id) == STREAM_ID_BYTES and len(head) == (HASH_BYTES if next_seq > 1 else 0)
        if not whole or crc(state) != state_crc or self.number("SELECT ifnull(max(seq), 0) FROM message") >= next_seq:
            raise self._damaged("the stream's own row does not fit")

    def run(self, statement: str, values: Iterable[Any] = ()) -> int:
        """Run a statement; how many rows it changed."""
        return self._cursor(statement, values).rowcount

    def rows(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        """All rows of a query."""
        with self._one_line_errors():
            return self._cursor(query, values).fetchall()

    def each(self, query: str, values: Iterable[Any] = ()) -> Iterator[Any]:
        """Rows of a query, one by one."""
        with self._one_line_errors():
            yield from self._cursor(query, values)

    def number(self, query: str) -> int:
        """The one integer that a query answers with."""
        return int(self.rows(query)[0][0])

    def add_counters(self, counts: Mapping[str, int]) -> None:
        """Add to totals that last as long as the stream."""
        statement = "INSERT INTO counter VALUES (?, ?) ON CONFLICT DO UPDATE SET total = total + excluded.total"
        for row in counts.items():
            self.run(statement, row)

    @property
    def used_bytes(self) -> int:
        """Bytes of the file that hold something."""
        return self.number("PRAGMA page_count") * PAGE_BYTES - self.unused_bytes

    @property
    def unused_bytes(self) -> int:
        """Bytes of the file that hold nothing, and are written before the file grows."""
        return self.number("PRAGMA freelist_count") * PAGE_BYTES

    def shrink(self) -> None:
        """Give some unused bytes back to the disk; no sync of its own."""
        if self._db is not None:
            with self._one_line_errors(), self._unsynced():  # a script, because `execute` stops after the first page
                self._db.executescript(f"PRAGMA incremental_vacuum({SHRINK_PAGES})")

    def keep_log_small(self) -> None:
        """The disk is full: the log must do with the blocks it has, at the cost of more syncs, until the next start."""
        self.run(f"PRAGMA wal_autocheckpoint = {SMALL_LOG_PAGES}")

    def close(self) -> None:
        """Close the file; what was committed stays."""
        if self._db is not None:
            self._db.close()
            self._db = None

    @contextmanager
    def transaction(self, *, synced: bool = True) -> Iterator[None]:
        """All or nothing; on the disk at the end if `synced`."""
        with nullcontext() if synced else self._unsynced():
            try:
                self.run("BEGIN IMMEDIATE")
                yield
                self.run("COMMIT")
            finally:
                if self._db is not None and self._db.in_transaction:
                    with suppress(sqlite3.Error):  # the error that brought us here is the one to tell
                        self._db.execute("ROLLBACK")

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        self.run("PRAGMA synchronous = NORMAL")
        try:
            yield
        finally:
            self.run("PRAGMA synchronous = FULL")

    def _cursor(self, statement: str, values: Iterable[Any]) -> sqlite3.Cursor:
        if self._db is None:
            raise UbiError(f"{self.path}: the outbox is closed")
        with self._one_line_errors():
            return self._db.execute(statement, tuple(values))

    def _damaged(self, why: str) -> DamagedError:
        if self._is_whole:  # it was when it was opened, so the next look may miss it too
            with suppress(OSError):
                suspect_mark(self.path).touch()
        return DamagedError(f"{self.path}: damaged: {why}; set the file aside, the next start makes a new stream")

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            code, part = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT), 0xFF  # the rest is detail
            if code & part in _IN_USE:
                raise TryAgainError(f"{self.path}: in use by another process; stop it first") from error
            if code & part in _DAMAGE or code in _UNREADABLE:
                raise self._damaged(str(error)) from error
            told = f"{self.path}: {error}; check the folder, its rights and the free space"
            raise DiskError(told) from error
