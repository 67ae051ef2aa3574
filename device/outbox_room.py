"""Room for the outbox: how many bytes it may use, and a reserve for the day on which the disk is full.

The reserve is a file of real blocks beside the outbox. When another program has filled the disk, SQLite cannot even
delete: every change goes through its log first, and the log cannot grow. Then the reserve is deleted, and what it held
lets the outbox give up motion and go on with trips and events.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 2**20  # holds a log of 256 pages; a trip's end writes about 10


@dataclass(frozen=True, slots=True)
class Limits:
    """What the outbox leaves to others.

    `max_bytes`: of its file in use. `keep_free_bytes`: motion is given up rather than that less than this is left,
    on the disk and inside the file together.
    """

    max_bytes: int = 64 * 2**20
    keep_free_bytes: int = 16 * 2**20


def missing_bytes(limits: Limits, used: int, unused: int, free: float) -> int:
    """How many bytes have to be given up, 0 if there is room.

    Parameters
    ----------
    limits : Limits
    used, unused : int
        Bytes of the outbox's file that hold something, and that hold nothing.
    free : int
        Bytes free on the disk.
    """
    return int(max(used - limits.max_bytes, limits.keep_free_bytes - free - unused, 0))


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write to the disk of a folder."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


class Reserve:
    """The reserve of one outbox."""

    def __init__(self, outbox: Path, size: int = RESERVE_BYTES) -> None:
        self.path = outbox.with_name(f"{outbox.name}-reserve")
        self.size = size

    def fill(self, free: float, keep_free: int) -> None:
        """Make the file if it is not there and the disk has room for it; a disk that refuses is asked again later."""
        if free < keep_free + self.size or self.path.exists():
            return
        try:
            with self.path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self.size)
        except OSError:
            self.spend()

    def spend(self) -> bool:
        """Delete the file; whether there was one."""
        with suppress(OSError):
            self.path.unlink()
            return True
        return False
