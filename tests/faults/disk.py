"""A disk of its own for some part of the system, that can be filled and made read-only while it is in use.

A small tmpfs where this process may mount one. Elsewhere a plain folder: it is "full" when its users may not let a file
grow (RLIMIT_FSIZE), and read-only by its rights, which stop everybody but root.
"""

from __future__ import annotations

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Self

SIZE: Final = "256m"
BALLAST: Final = ".ballast"
CHUNK_BYTES: Final = 2**22
ROOT: Final = 0


class Disk:
    """A disk at `folder`; `users` gives the ids of the processes that write to it."""

    def __init__(self, folder: Path, users: Callable[[], Iterable[int]], *, may_mount: bool = True) -> None:
        self.folder = folder
        self._users = users
        self._may_mount = may_mount
        self._undo: list[Callable[[], object]] = []
        self._is_mounted = False
        folder.mkdir(parents=True)

    def __enter__(self) -> Self:
        self._is_mounted = self._may_mount and _mount("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(self.folder))
        return self

    def __exit__(self, *exception: object) -> None:
        self.heal()
        if self._is_mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> bool:
        """Let nothing more be written; False where it is in trouble already."""
        if self._undo:
            return False
        if self._is_mounted:
            self._undo = [lambda: (self.folder / BALLAST).unlink(missing_ok=True)]
            _take_all(self.folder / BALLAST)
        else:
            self._undo = [undo for pid in self._users() for undo in _limited(pid)]
        return bool(self._undo)

    def freeze(self) -> bool:
        """Make it read-only; False where it is in trouble, has a file open for writing, or cannot be."""
        if self._undo:
            return False
        if self._is_mounted:
            if _mount("-o", "remount,ro", str(self.folder)):
                self._undo = [lambda: _mount("-o", "remount,rw", str(self.folder))]
        elif os.geteuid() != ROOT:
            folders = [self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())]
            for folder in folders:
                folder.chmod(0o555)
            self._undo = [partial(folder.chmod, 0o755) for folder in folders]
        return bool(self._undo)

    def heal(self) -> None:
        """Make it writable and give the space back."""
        undo, self._undo = self._undo, []
        for action in undo:
            action()


def _take_all(ballast: Path) -> None:
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT)
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


def _limited(pid: int) -> list[Callable[[], object]]:
    """Forbid a process to write files; how to allow it again."""
    try:
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, before[1]))
    except ProcessLookupError:
        return []

    def allow() -> None:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    return [allow]


def _mount(*arguments: str) -> bool:
    try:
        return subprocess.run(["mount", *arguments], stderr=subprocess.DEVNULL).returncode == 0
    except FileNotFoundError:
        return False
