"""What was ever written to an outbox, noted by SQLite itself: a trigger in the outbox's own file, in its transaction.

The code under test knows nothing of it. Each version of a message's bytes is kept, and each release; the rows outlive
the release of the message.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from device.outbox import Outbox

_TRIGGERS = """
CREATE TABLE journal (seq INTEGER NOT NULL, payload BLOB);
CREATE TRIGGER journal_written AFTER INSERT ON message
    BEGIN INSERT INTO journal VALUES (NEW.seq, NEW.payload); END;
CREATE TRIGGER journal_changed AFTER UPDATE OF payload ON message
    BEGIN INSERT INTO journal VALUES (NEW.seq, NEW.payload); END;
CREATE TRIGGER journal_released AFTER DELETE ON message
    BEGIN INSERT INTO journal VALUES (OLD.seq, NULL); END;
"""


class Journal(NamedTuple):
    """Of one stream: the versions of each message by seq, the seqs released, the seqs that still wait."""

    stream_id: str
    written: dict[int, list[bytes]]
    released: set[int]
    waiting: set[int]


def prepare_outbox(path: Path, stream_id: bytes | None = None) -> None:
    """Make an outbox that keeps a journal."""
    Outbox(path, stream_id).close()
    with sqlite3.connect(path) as db:
        db.executescript(_TRIGGERS)
    db.close()


def read_journal(path: Path) -> Journal:
    """Read the journal of an outbox that nobody has open."""
    db = sqlite3.connect(path)
    try:
        (stream_id,) = db.execute("SELECT stream_id FROM stream").fetchone()
        waiting = {seq for (seq,) in db.execute("SELECT seq FROM message")}
        written, released = defaultdict(list), set()
        for seq, payload in db.execute("SELECT seq, payload FROM journal ORDER BY rowid"):
            if payload is None:
                released.add(seq)
            else:
                written[seq].append(bytes(payload))
    finally:
        db.close()
    return Journal(stream_id.hex(), dict(written), released, waiting)
