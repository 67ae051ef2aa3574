"""A damaged outbox: set aside, what can be read of it is still sent, and the agent goes on with a new stream.

    ubi.outbox              the outbox; a new one after damage
    ubi.outbox-suspect      damage was met while running: the next start sets it aside without looking
    ubi.outbox-damaged      set aside just now, the insurer not told yet
    ubi.outbox-set-aside    set aside and told, only the newest is kept: nothing here reads it again
    ubi.outbox-rescued-ID   an outbox of the old stream with the messages that could be read: sent, then deleted

SD cards die like this, most often after power cuts. A kill between any two steps is made good by the next start: the
outbox moves before its log does, and `-damaged` loses its name only when the new outbox holds the counts of the loss.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Final

from device.contract import wire
from device.contract.errors import DamagedError, DiskError
from device.outbox import Outbox
from device.outbox_file import OutboxFile, crc, suspect_mark
from device.outbox_ranks import rank_of
from device.outbox_room import Limits

log = logging.getLogger(__name__)

LOGS: Final = ("-wal", "-journal", "-shm")
MAX_SEARCH: Final = 1_000_000  # seqs looked for one by one, 10 us each


def open_outboxes(path: Path, limits: Limits | None = None) -> list[Outbox]:
    """Open the outbox that the agent writes to, and those that are only to be sent; set aside what is damaged.

    Parameters
    ----------
    path : Path
        Of the first; the others lie beside it.
    limits : Limits or None
        Of the first.

    Returns
    -------
    list of Outbox
        The first is to be written to.

    Raises
    ------
    UbiError
        As `Outbox`, but for damage.
    DiskError
        If the damaged file cannot be renamed, or a new one is damaged as well.
    """
    _delete_sent(path)
    with ExitStack() as stack:
        try:
            first = stack.enter_context(_first(path, limits))
            others = [stack.enter_context(Outbox(file)) for file in _rescued(path)]
        except OSError as error:
            raise DiskError(f"{path}: {error.strerror}; check the folder, its rights and the free space") from error
        stack.pop_all()
    return [first, *others]


def _first(path: Path, limits: Limits | None) -> Outbox:
    damaged, suspect = _beside(path, "damaged"), suspect_mark(path)
    if not damaged.exists():
        if not (suspect.exists() and path.exists()):
            try:
                return Outbox(path, limits=limits)
            except DamagedError as error:
                log.warning("%s", error)
        path.replace(damaged)
    counters: dict[str, int] = {}
    if not path.exists():
        for suffix in LOGS:
            with suppress(FileNotFoundError):
                Path(f"{path}{suffix}").replace(f"{damaged}{suffix}")
        counters = {"damaged": 1} | _rescue(damaged, path)
    try:
        outbox = Outbox(path, limits=limits, counters=counters)
    except DamagedError as error:  # new, and nobody has written to it: the disk itself is broken
        path.unlink(missing_ok=True)
        raise DiskError(f"{error}; a new file is damaged as well: replace the card") from error
    aside = _beside(path, "set-aside")
    for suffix in (*LOGS, ""):
        Path(f"{aside}{suffix}").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            Path(f"{damaged}{suffix}").replace(f"{aside}{suffix}")
    suspect.unlink(missing_ok=True)
    told = ", ".join(f"{total} {name}" for name, total in counters.items())
    log.warning("%s: stream %s begins; the damaged file is %s: %s", path, outbox.stream_id.hex(), aside, told)
    return outbox


def _rescue(damaged: Path, path: Path) -> dict[str, int]:
    """Copy the messages that are whole into an outbox of their own; counts of what was found and what was not."""
    draft = _beside(path, "rescued")
    for suffix in ("", *LOGS):
        Path(f"{draft}{suffix}").unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(damaged, isolation_level=None)) as old:
            old.execute("PRAGMA locking_mode = EXCLUSIVE")
            stream_id, next_seq, waiting = _known(old)
            rescued = _copy(old, draft, stream_id, next_seq)
    except (sqlite3.Error, DiskError) as error:
        log.warning("%s: nothing of it can be read: %s", damaged, error)
        draft.unlink(missing_ok=True)
        return {"damaged_uncounted": 1}
    if rescued:
        draft.replace(_beside(path, f"rescued-{stream_id.hex()}"))
    else:
        draft.unlink(missing_ok=True)
    lost = {"damaged_uncounted": 1} if waiting is None else {"damaged_messages": waiting - rescued}
    return {"rescued_messages": rescued} | lost


def _known(old: sqlite3.Connection) -> tuple[bytes, int, int | None]:
    """Stream, next seq, and how many messages waited if that can still be counted."""
    row = old.execute("SELECT stream_id, next_seq FROM stream").fetchone()
    match row:
        case (bytes(stream_id), int(next_seq)) if len(stream_id) == wire.STREAM_ID_BYTES and 1 <= next_seq < 2**63:
            pass
        case _:
            raise sqlite3.DatabaseError("the stream's own row is damaged")
    try:
        return stream_id, next_seq, old.execute("SELECT count(*) FROM message").fetchone()[0]
    except sqlite3.DatabaseError:
        return stream_id, next_seq, None


def _copy(old: sqlite3.Connection, draft: Path, stream_id: bytes, next_seq: int) -> int:
    copied = 0
    with closing(OutboxFile(draft, stream_id)) as new, new.transaction():
        for seq, payload in _whole(old, next_seq):
            message = wire.decode(payload)
            if isinstance(message, wire.Message) and (message.header.stream_id, message.header.seq) == (stream_id, seq):
                new.run("INSERT INTO message VALUES (?, ?, ?, ?)", (seq, rank_of(payload), crc(payload), payload))
                copied += 1
        head = bytes(wire.HASH_BYTES) if next_seq > 1 else b""  # nobody will write to it
        new.run("UPDATE stream SET next_seq = ?, head = ?", (next_seq, head))
    return copied


def _whole(old: sqlite3.Connection, next_seq: int) -> Iterator[tuple[int, bytes]]:
    """Messages whose checksum fits, looked for one by one: a damaged page hides only what lies on it or under it."""
    for seq in range(max(1, next_seq - MAX_SEARCH), next_seq):
        try:
            row = old.execute("SELECT crc, payload FROM message WHERE seq = ?", (seq,)).fetchone()
        except sqlite3.DatabaseError:
            continue
        if row and isinstance(row[1], bytes) and crc(row[1]) == row[0]:
            yield seq, row[1]


def _delete_sent(path: Path) -> None:
    """Delete rescued outboxes of which all is acknowledged."""
    for file in _rescued(path):
        with suppress(DamagedError):
            with Outbox(file) as outbox:
                waiting = outbox.waiting()
            if waiting:
                continue
        file.unlink()  # sent, or damaged a second time


def _rescued(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"{path.name}-rescued-{'[0-9a-f]' * 32}"))


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.name}-{what}")
