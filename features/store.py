"""Parts that a build keeps for the next one: files beside its tables, named by what they were made from and by content.

    OUT/parts/trips/2025-03-07-KEY-CONTENT.parquet      of a unit: month, bucket
    OUT/parts/events/..., OUT/parts/periods/...
    OUT/parts/months/2025-03-KEY-CONTENT.parquet        driver periods of a month, from all its units
    OUT/parts/measures/2025-03-KEY-CONTENT.parquet      their measures

A part is used only if its key is wanted and its bytes hash to its name; every other file is deleted before anything is
made, so what was erased, or belongs to other policies, does not live on here. Nothing is synced: what a power cut
damages is made again.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from device.contract.errors import TryAgainError
from ingest.contract import durable
from ingest.contract.erasure import PARTS

HASH_DIGITS: Final = 32
_NAME: Final = re.compile(r"(?P<place>[\d-]+)-(?P<key>[0-9a-f]{32})-(?P<content>[0-9a-f]{32})\.parquet")


class Parts:
    """The parts beside the tables in a folder."""

    def __init__(self, out: Path) -> None:
        self.folder = out / PARTS

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other builds out of the folder.

        Raises
        ------
        TryAgainError
            If one is at work there.
        """
        try:
            with durable.locked(self.folder / ".lock"):
                yield
        except BlockingIOError:
            raise TryAgainError(
                f"{self.folder.parent}: another 'ubi features build' is writing here; run again when it is done"
            ) from None

    def find(self, table: str) -> dict[str, Path]:
        """Whole parts of a table by their keys."""
        found = {}
        for path in durable.listed(self.folder / table, "*.parquet"):
            match = _NAME.fullmatch(path.name)
            if match and _hash_of(path) == match["content"]:
                found[match["key"]] = path
        return found

    def put(self, table: str, place: str, key: str, content: Iterable[bytes]) -> Path:
        """Keep a part, given in pieces."""
        folder = self.folder / table
        folder.mkdir(parents=True, exist_ok=True)
        part = durable.temporary(folder / f"{place}-{key}-{os.urandom(4).hex()}")  # others may write the same
        digest = hashlib.sha256()
        with part.open("wb") as file:
            for piece in content:
                digest.update(piece)
                file.write(piece)
        path = folder / f"{place}-{key}-{digest.hexdigest()[:HASH_DIGITS]}.parquet"
        part.replace(path)
        return path

    def keep_only(self, wanted: Iterable[Path]) -> None:
        """Delete every other file."""
        kept = {*wanted, self.folder / ".lock"}
        for path in durable.listed(self.folder, "**/*"):
            if path not in kept:
                durable.delete(path)


def _hash_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:HASH_DIGITS]
