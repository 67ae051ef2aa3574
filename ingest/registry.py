"""The device registry: a file with one device a line, sorted by name; see `ingest.devices` for a line.

An editor, `diff`, `grep` and `jq` all work on it. A running worker takes a changed file over within a second; one
that cannot be read leaves the devices as they were, and is told and counted.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from device.contract.errors import UsageError
from ingest.contract import durable
from ingest.contract.private import write_private
from ingest.devices import Device, parse_device

log = logging.getLogger(__name__)


class Registry:
    """The devices of a registry."""

    def __init__(self, devices: Iterable[Device] = ()) -> None:
        self.devices: dict[str, Device] = {device.device_id: device for device in devices}

    def get(self, device_id: str) -> Device | None:
        """Look a device up; None where it is not registered."""
        return self.devices.get(device_id)

    def keys_of(self, device_id: str, at_ms: int) -> tuple[bytes, ...]:
        """Raw Ed25519 public keys of a device that are believed at a time (UTC ms), newest first; none if unknown."""
        device = self.devices.get(device_id)
        return device.keys_at(at_ms) if device is not None else ()

    def to_bytes(self) -> bytes:
        """The file."""
        return b"".join(self.devices[name].to_line() + b"\n" for name in sorted(self.devices))


class RegistryFile:
    """A registry file and its devices, read again when the file has changed.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    registry : Registry
        As last read without an error.
    errors : int
        How often a changed file could not be used.

    Raises
    ------
    UsageError
        If the file cannot be used at the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = _stamp(path)
        self.registry, self._lines = read_registry(path)
        self.errors = 0

    def refresh(self) -> bool:
        """Read the file again if it has changed; True if the devices may be others now."""
        stamp = _stamp(self._path)
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            self.registry, self._lines = read_registry(self._path, self._lines)
        except UsageError:  # its words may name a person's policy, which no log may
            self.errors += 1
            told = "%s: cannot be used as it is now, so the devices stay as they were; 'ubi ingest devices' says why"
            log.error(told, self._path)  # noqa: TRY400 - a file with a mistake is no bug
            return False
        log.info("%s: %d devices", self._path, len(self.registry.devices))
        return True


def read_registry(path: Path, before: Mapping[bytes, Device] | None = None) -> tuple[Registry, dict[bytes, Device]]:
    """Read a registry file.

    Parameters
    ----------
    path : Path
    before : mapping of bytes to Device, optional
        What each line gave the last time: only changed ones are parsed again.

    Returns
    -------
    Registry
    dict of bytes to Device
        What each line gave, for the next call.

    Raises
    ------
    UsageError
        Naming file, line and key of what cannot be used.
    """
    known = before or {}
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; name the file that 'ubi ingest enrol' writes") from error
    lines: dict[bytes, Device] = {}
    numbers: dict[str, int] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            device = known.get(line) or parse_device(line)
        except UsageError as error:
            raise UsageError(f"{path}:{number}: {error}") from None
        first = numbers.setdefault(device.device_id, number)
        if first != number:
            raise UsageError(f"{path}:{number}: '{device.device_id}' stands in line {first} too; keep one of them")
        lines[line] = device
    return Registry(lines.values()), lines


def change_registry(path: Path, change: Callable[[Registry], None]) -> None:
    """Change a registry file, whole or not at all, one writer at a time; where there is none, make one.

    It is readable by its owner only: who has which policy is personal.
    """
    durable.make_folder(path.parent)
    lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        registry = read_registry(path)[0] if path.exists() else Registry()
        change(registry)
        write_private(path, registry.to_bytes())
    finally:
        os.close(lock)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does; None while it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
