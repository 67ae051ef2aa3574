"""Files that are whole and on disk, or not there: the one place where the lake is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

TEMPORARY_SUFFIX: Final = ".tmp"  # and a leading dot: no reader takes such a name for a table


def commit(files: Mapping[Path, bytes], then: Callable[[], None] | None = None) -> None:
    """Write files so that a power cut leaves each of them whole or absent, then act on it.

    `then` (an application ack, the next manifest) runs only when every file is on disk. A failure before that
    leaves temporary names at most.

    Parameters
    ----------
    files : mapping of Path to bytes
        Contents by final path. No other writer uses these paths.
    then : callable or None
        What may happen only after the files are durable.

    Raises
    ------
    OSError
        If the disk refuses; `then` has not run.
    """
    for path, content in files.items():
        make_folder(path.parent)
        with temporary(path).open("wb") as file:
            file.write(content)  # 1 temporary file
            file.flush()
            os.fsync(file.fileno())  # 2 its bytes are on disk
    for path in files:
        temporary(path).replace(path)  # 3 its name, all or nothing
    for folder in dict.fromkeys(path.parent for path in files):
        sync_folder(folder)  # 4 the name is on disk
    if then is not None:
        then()  # 5 say so


def temporary(path: Path) -> Path:
    """Name of a file while it is being written."""
    return path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, each entry on disk.

    One that is there may have been made a moment ago by another process, whose sync is not ours to see: the first time
    we use it, its entry is brought to disk once more.
    """
    there = folder.is_dir()
    if there and folder in _on_disk:
        return
    if not there:
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
    try:
        sync_folder(folder.parent)
    except PermissionError:
        if not there:
            raise  # else: above the lake, where we may not read, nobody makes folders just now
    _on_disk.add(folder)


_on_disk: Final[set[Path]] = set()


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
