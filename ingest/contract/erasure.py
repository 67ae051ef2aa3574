"""Records of erasures: that somebody was erased, when and how much, without saying who.

    lake/erasures/key             32 random bytes, readable by the lake's owner only
    lake/erasures/NAME.json       one erasure; NAME = first 16 bytes of HMAC-SHA256(key, device id), hex
    lake/erasures/.lock           shared by workers while they write a segment, exclusive while an erasure begins;
                                  its size counts the beginnings, so that a worker sees each
    features/erased.json          which drivers are missing from these tables because they were erased
    features/parts/               what a build keeps there for the next; an erasure deletes what tells of the device

Who has the key and a list of device ids can tell which of them were erased: that is how a worker knows a late message.
Without the key the name says nothing.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from device.contract.errors import TryAgainError, UbiError
from ingest.contract import durable
from ingest.contract.private import write_private

FORMAT: Final = 1
KEY_BYTES: Final = 32
NOTE: Final = "erased.json"
PARTS: Final = "parts"


@dataclass(frozen=True, slots=True)
class Erasure:
    """One erasure. `done_at_ms` is None until the search found nothing any more."""

    name: str
    begun_at_ms: int
    done_at_ms: int | None = None
    erased: dict[str, int] = field(default_factory=dict)  # rows by table
    searched_files: int = 0

    def to_bytes(self) -> bytes:
        """The record's file."""
        return (json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n").encode()


class Erasures:
    """The records of a lake. What this process knows is read anew by `refresh`."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "erasures"
        self.names: frozenset[str] = frozenset()
        self._seen = -1
        self._key: bytes | None = None
        self._known: dict[str, str] = {}
        self.refresh()

    def refresh(self) -> bool:
        """Look for new records; True if there are some.

        Raises
        ------
        UbiError
            If there are records and their key is gone: nobody could tell whom to refuse.
        """
        if not durable.exists(self.folder / ".lock"):
            return False
        with self._locked(fcntl.LOCK_SH) as lock:
            return self._look(lock)

    def name_of(self, device_id: str) -> str | None:
        """Name of the erasure of a device; None if it was not erased."""
        if self._key is None:
            return None
        if device_id not in self._known:
            if len(self._known) > 100_000:
                self._known.clear()
            self._known[device_id] = hashed(self._key, device_id)
        name = self._known[device_id]
        return name if name in self.names else None

    def read(self, name: str) -> Erasure | None:
        """Read one record; None if there is none of that name."""
        path = self.folder / f"{name}.json"
        try:
            content: dict[str, Any] = json.loads(path.read_bytes())
            if content.pop("format") != FORMAT:
                raise UbiError(f"{path}: written by a newer release; update ubi")
            return Erasure(**content)
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UbiError(f"{path}: not a record of an erasure ({error!r}); restore it from a backup") from error

    def read_all(self) -> list[Erasure]:
        """All records, oldest first."""
        records = [record for name in self.names if (record := self.read(name)) is not None]
        return sorted(records, key=lambda record: (record.begun_at_ms, record.name))

    def write(self, record: Erasure) -> None:
        """Write a record, whole or not at all."""
        durable.commit({self.folder / f"{record.name}.json": record.to_bytes()})

    def key(self) -> bytes:
        """The key, made where there is none yet. Only while `alone`."""
        path = self.folder / "key"
        if not durable.exists(path):
            if self.names:
                self._read_key()  # says what is wrong
            write_private(path, os.urandom(KEY_BYTES))
        return self._read_key()

    @contextmanager
    def writing(self) -> Iterator[bool]:
        """Hold off new erasures while a segment is written: whoever begins one then finds the segment complete.

        Gives True if there are new records since the last look.
        """
        with self._locked(fcntl.LOCK_SH) as lock:
            yield self._look(lock)

    @contextmanager
    def alone(self, within_s: float) -> Iterator[None]:
        """Wait until no segment is being written, and let none begin. What is written then, every worker will see.

        Raises
        ------
        TryAgainError
            If a worker does not finish its segment in time.
        """
        durable.make_folder(self.folder)
        with self._locked(fcntl.LOCK_EX | fcntl.LOCK_NB, within_s) as lock:
            os.ftruncate(lock, os.fstat(lock).st_size + 1)
            yield

    @contextmanager
    def _locked(self, how: int, within_s: float = 0.0) -> Iterator[int]:
        durable.make_folder(self.folder)
        lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            deadline_s = time.monotonic() + within_s
            while True:
                try:
                    fcntl.flock(lock, how)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline_s:
                        raise TryAgainError(
                            f"{self.folder}: a worker has been writing a segment for {within_s:.0f} s; "
                            "run again when it is done, or stop it"
                        ) from None
                    time.sleep(0.02)
            yield lock
        finally:
            os.close(lock)

    def _look(self, lock: int) -> bool:
        size = os.fstat(lock).st_size
        if size == self._seen:
            return False
        records = durable.listed(self.folder, "*.json")
        names = frozenset(path.stem for path in records if not path.name.startswith("."))
        if names:
            self._key = self._read_key()
        new, self.names, self._seen = names - self.names, names, size
        return bool(new)

    def _read_key(self) -> bytes:
        path = self.folder / "key"
        try:
            key = path.read_bytes()
        except OSError as error:
            raise UbiError(
                f"{path}: {error.strerror}; without it nobody can tell whom to refuse: restore it from a backup"
            ) from error
        if len(key) != KEY_BYTES:
            raise UbiError(f"{path}: has {len(key)} bytes, not {KEY_BYTES}; restore it from a backup")
        return key


def hashed(key: bytes, identifier: str) -> str:
    """Keyed hash of an identifier, 32 hex digits."""
    return hmac.new(key, identifier.encode(), hashlib.sha256).hexdigest()[:32]


def note_drivers(folder: Path, driver_ids: Iterable[str], at_ms: int) -> None:
    """Leave in a folder of feature tables which drivers were erased from it, hashed with a salt each."""
    noted = _noted(folder)
    for driver_id in sorted(set(driver_ids)):
        if not _finds(noted, driver_id):
            salt = os.urandom(16)
            noted.append({"salt": salt.hex(), "driver": hashed(salt, driver_id), "erased_at_ms": at_ms})
    durable.commit({folder / NOTE: (json.dumps({"format": FORMAT, "erased": noted}, indent=1) + "\n").encode()})


def was_erased(folder: Path, driver_id: str) -> bool:
    """Whether a driver is missing from the feature tables in a folder because of an erasure."""
    return _finds(_noted(folder), driver_id)


def _finds(noted: list[dict[str, Any]], driver_id: str) -> bool:
    return any(hashed(bytes.fromhex(row["salt"]), driver_id) == row["driver"] for row in noted)


def _noted(folder: Path) -> list[dict[str, Any]]:
    path = folder / NOTE
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise UbiError(f"{path}: written by a newer release; update ubi")
        noted: list[dict[str, Any]] = content["erased"]
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise UbiError(f"{path}: not a note of erasures ({error!r}); restore it from a backup") from error
    return noted
