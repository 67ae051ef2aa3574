"""A disk of its own for some part of the system, that can be filled and made read-only while it is in use.

A small tmpfs where this process may mount one. Where it may not, `is_real` is False and the disk is a plain folder.
"""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Final, Self

SIZE: Final = "512m"
BALLAST: Final = ".ballast"
CHUNK_BYTES: Final = 2**22


class Disk:
    """A mounted tmpfs at `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.is_real = False
        self._in_trouble = False
        folder.mkdir(parents=True)

    def __enter__(self) -> Self:
        self.is_real = _mount("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(self.folder))
        return self

    def __exit__(self, *exception: object) -> None:
        if self.is_real:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> bool:
        """Take all the space there is; False where it is a plain folder, or in trouble already."""
        if not self.is_real or self._in_trouble:
            return False
        self._in_trouble = True
        descriptor = os.open(self.folder / BALLAST, os.O_WRONLY | os.O_CREAT)
        size = CHUNK_BYTES
        try:
            while size >= 1:
                try:
                    os.posix_fallocate(descriptor, os.fstat(descriptor).st_size, size)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 64
        finally:
            os.close(descriptor)
        return True

    def freeze(self) -> bool:
        """Make it read-only; False also while somebody has a file open for writing."""
        if not self.is_real or self._in_trouble:
            return False
        self._in_trouble = _mount("-o", "remount,ro", str(self.folder))
        return self._in_trouble

    def heal(self) -> None:
        """Make it writable and give the space back."""
        if self._in_trouble:
            if not _mount("-o", "remount,rw", str(self.folder)):
                raise RuntimeError(f"{self.folder}: cannot be made writable again")
            (self.folder / BALLAST).unlink(missing_ok=True)
            self._in_trouble = False


def _mount(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], stderr=subprocess.DEVNULL).returncode == 0
    except FileNotFoundError:
        return False
