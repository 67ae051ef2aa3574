"""What may be done to the files of a lake, all of it here: a lake on an object store needs this file written anew.

    commit      put files, each whole or not there, then act on it
    listed      names by pattern
    exists, size_bytes, modified_ms
    delete
    locked      one holder of a name at a time, on all machines that see the lake

Reading is the readers' own: Polars and DuckDB take paths and addresses alike.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TEMPORARY_SUFFIX: Final = ".tmp"  # and a leading dot: no reader takes such a name for a table


def commit(
    files: Mapping[Path, bytes | Iterable[bytes]],
    then: Callable[[], None] | None = None,
    *,
    meanwhile: tuple[Path, bytes] | None = None,
    before: Callable[[], None] | None = None,
) -> None:
    """Write files so that a power cut leaves each of them whole or absent, then act on it.

    `then` (an application ack, the next manifest) runs only when every file is on disk. A failure before that
    leaves temporary names at most.

    Parameters
    ----------
    files : mapping of Path to bytes, or to pieces of bytes
        Contents by final path; pieces where memory need not hold all. No other writer uses these paths.
    then : callable or None
        What may happen only after the files are durable.
    meanwhile : tuple of Path and bytes, or None
        A file that stands there while some of the files may be the new ones and others the old: where readers need all
        of one commit, they ask for it. It goes when all are in place.
    before : callable or None
        What has to be done before any file has its name, and only once the bytes of all are on disk.

    Raises
    ------
    OSError
        If the disk refuses; `then` has not run.
    """
    for path, content in files.items():
        make_folder(path.parent)
        with temporary(path).open("wb") as file:
            file.writelines([content] if isinstance(content, bytes) else content)  # 1 temporary file
            file.flush()
            os.fsync(file.fileno())  # 2 its bytes are on disk
    if meanwhile is not None:
        commit(dict([meanwhile]))
    if before is not None:
        before()
    for path in files:
        temporary(path).replace(path)  # 3 its name, all or nothing
    for folder in dict.fromkeys(path.parent for path in files):
        sync_folder(folder)  # 4 the name is on disk
    if meanwhile is not None:
        delete(meanwhile[0])
    if then is not None:
        then()  # 5 say so


def listed(folder: Path, pattern: str) -> list[Path]:
    """Files below a folder by a glob pattern, sorted; none where there is no folder."""
    return sorted(path for path in folder.glob(pattern) if path.is_file())


def exists(path: Path) -> bool:
    """Whether there is such a file."""
    return path.is_file()


def size_bytes(path: Path) -> int:
    """Size of a file."""
    return path.stat().st_size


def modified_ms(path: Path) -> int:
    """When a file was written, UTC."""
    return path.stat().st_mtime_ns // 1_000_000


def delete(path: Path) -> None:
    """Delete a file; one that is gone already is no error."""
    path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a name alone until the end, or until this process dies.

    Raises
    ------
    BlockingIOError
        If somebody else holds it.
    """
    make_folder(path.parent)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


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
