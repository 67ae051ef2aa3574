"""Files that only their owner may read: keys, and what is personal."""

from __future__ import annotations

import os
from pathlib import Path

from device.contract.errors import UsageError
from ingest.contract.durable import sync_folder, temporary


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600, whole or not at all; one that is there keeps its mode and owner."""
    part = temporary(path)
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if path.exists():
            before = path.stat()
            os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, before.st_mode & 0o777)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync_folder(path.parent)


def read_private(path: Path) -> bytes:
    """Read a key file.

    Raises
    ------
    UsageError
        If it is not there, or others may read it.
    """
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    if mode & 0o077:
        raise UsageError(f"{path}: others may read this key (mode {mode & 0o777:03o}); run: chmod 600 {path}")
    return content
