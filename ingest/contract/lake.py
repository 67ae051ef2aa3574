"""The lake's folders and its manifest: which files exist, and which of them count.

    lake/messages/date=YYYY-MM-DD/*.parquet                    segments as received, by received UTC date
    lake/rejects/date=YYYY-MM-DD/*.parquet                     what could not be taken, with its reason
    lake/sealed/<table>/month=YYYY-MM/bucket=NN/*.parquet      typed tables, trip-complete, immutable
    lake/sealed/manifest-N.json                                the files that count; the newest N wins
    lake/ledger/*.parquet                                      what sealing remembers between two runs

A reader takes sealed files from the manifest alone, so it never sees a half-written set. Segments count as soon as they
are there; those of a day that is over are joined to few, named `compact-...`, and then stay a day beside these.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import polars as pl

from device.contract.errors import UbiError, UsageError
from ingest.contract import durable
from ingest.contract.tables import LEDGER_SEGMENTS, MESSAGES, REJECTS, SEALED

FORMAT: Final = 1
BUCKETS: Final = 16  # parts of a month, by device: what late data rewrites, and what a reader holds at once
_MANIFEST: Final = re.compile(r"manifest-(\d+)\.json")
RESTORE: Final = "restore a damaged segment from a backup or move it away; 'ubi ingest seal' makes sealed files again"
COMPACT: Final = "compact-"  # names of segments that sealing has made of others
MAX_UTC_MS: Final = 2**42  # year 2109; a month is named within 1970 and this


@dataclass(frozen=True, slots=True)
class SealedFile:
    """One sealed file: its table, its path below `sealed/` and its rows.

    `day` is that of the month on which its trips start; 0: it has all days of its month.
    """

    table: str
    path: str
    rows: int
    day: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """All sealed files of one source, month and bucket: the unit that late data rewrites.

    `inputs` is a fingerprint of what the group was made from; an equal one needs no rewriting.
    """

    source: str
    month: str
    bucket: int
    inputs: str
    files: tuple[SealedFile, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """The sealed files that count. `number` is 0 where nothing was sealed yet.

    `ledger` has the files below `ledger/` by name, see `ingest.state`; what is sealed does not depend on it, so equal
    manifests may differ in it.
    """

    number: int
    groups: tuple[Group, ...]
    ledger: dict[str, str] = field(default_factory=dict, compare=False)

    def to_bytes(self) -> bytes:
        """JSON form, the same for the same groups and ledger."""
        groups = sorted(self.groups, key=lambda g: (g.source, g.month, g.bucket))
        rows = ",\n".join(json.dumps(asdict(group), sort_keys=True) for group in groups)
        ledger = f', "ledger": {json.dumps(self.ledger, sort_keys=True)}' if self.ledger else ""
        return f'{{"format": {FORMAT}{ledger}, "groups": [\n{rows}\n]}}\n'.encode()


class Lake:
    """A lake at a folder, which need not exist yet."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self.sealed = self.root / "sealed"
        self.ledger = self.root / "ledger"

    @classmethod
    def existing(cls, root: Path | str) -> Lake:
        """Return the lake at a folder that must be one.

        Raises
        ------
        UsageError
            If the folder holds no lake.
        """
        lake = cls(root)
        if not any((lake.root / part).is_dir() for part in ("messages", "rejects", "sealed")):
            raise UsageError(f"{root}: no lake here; name the folder that 'ubi ingest run --lake' wrote")
        return lake

    def message_files(self) -> list[Path]:
        """Segments of messages that count, by name: of those that were compacted only what they became."""
        every = _segments(self.root / "messages")
        part = self.manifest().ledger.get("segments")
        if part is None:
            return every
        known = read_files([self.ledger / part], LEDGER_SEGMENTS)
        gone = set(known.filter(pl.col("superseded_at_ms").is_not_null())["path"])
        made = set(known.filter("compacted")["path"])
        names = ((path, path.relative_to(self.root).as_posix()) for path in every)
        return [
            path for path, name in names if name not in gone and (name in made or not path.name.startswith(COMPACT))
        ]

    def reject_files(self) -> list[Path]:
        """Segments of rejects, by name."""
        return _segments(self.root / "rejects")

    def manifest(self) -> Manifest:
        """Read the newest manifest.

        Raises
        ------
        UbiError
            If it was written by a newer release or is not a manifest.
        """
        files = self.manifest_files()
        return read_manifest(*files[-1]) if files else Manifest(0, ())

    def manifest_files(self) -> list[tuple[int, Path]]:
        """Manifests by rising number."""
        names = ((_MANIFEST.fullmatch(path.name), path) for path in durable.listed(self.sealed, "manifest-*.json"))
        return sorted((int(match[1]), path) for match, path in names if match)

    def manifest_path(self, number: int) -> Path:
        """Path of a manifest."""
        return self.sealed / f"manifest-{number}.json"

    def sealed_files(self, table: str, source: str | None = None) -> list[Path]:
        """Sealed files of a table that count, in the manifest's order; of one source or of all."""
        groups = sorted(self.manifest().groups, key=lambda g: (g.source, g.month, g.bucket))
        return [
            self.sealed / file.path
            for group in groups
            if source in (None, group.source)
            for file in group.files
            if file.table == table
        ]

    def scan(self, table: str, source: str | None = None) -> pl.LazyFrame:
        """Read a sealed table lazily, with the schema of `tables`; an empty frame where none is sealed."""
        return scan_files(self.sealed_files(table, source), SEALED[table])

    def scan_messages(self, files: list[Path] | None = None) -> pl.LazyFrame:
        """Read messages lazily, as received: duplicates are still in. `file` tells where each row stands.

        Parameters
        ----------
        files : list of Path, optional
            Segments to read; all by default.
        """
        return scan_files(self.message_files() if files is None else files, MESSAGES, file_column="file")

    def scan_rejects(self) -> pl.LazyFrame:
        """Read all rejects lazily."""
        return scan_files(self.reject_files(), REJECTS)


def read_manifest(number: int, path: Path) -> Manifest:
    """Read one manifest, see `Lake.manifest`."""
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise UbiError(f"{path}: manifest format {content['format']}, this release reads {FORMAT}; update ubi")
        return Manifest(number, tuple(_group(row) for row in content["groups"]), dict(content.get("ledger", {})))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UbiError(f"{path}: not a manifest ({error!r}); delete it and seal again") from error


def scan_files(files: list[Path], schema: pl.Schema, file_column: str | None = None) -> pl.LazyFrame:
    """Read Parquet files lazily; a column that an older release did not write is null."""
    if not files:
        return pl.LazyFrame(schema=schema if file_column is None else {**schema, file_column: pl.String()})
    return pl.scan_parquet(
        files,
        schema=schema,
        hive_partitioning=False,
        glob=False,
        missing_columns="insert",
        extra_columns="ignore",
        include_file_paths=file_column,
    )


def collect(frame: pl.LazyFrame, files: list[Path], schema: pl.Schema) -> pl.DataFrame:
    """Collect what was scanned from files, of which one may be damaged.

    Raises
    ------
    UbiError
        Naming the files that cannot be read.
    """
    try:
        return frame.collect()
    except (OSError, pl.exceptions.PolarsError) as error:
        damaged = [file for file in files if not _reads(file, schema)]
        if not damaged:
            raise
        raise UbiError(f"{', '.join(map(str, damaged))}: cannot be read; {RESTORE}") from error


def read_files(files: list[Path], schema: pl.Schema) -> pl.DataFrame:
    """Read Parquet files, see `scan_files` and `collect`."""
    return collect(scan_files(files, schema), files, schema)


def _reads(file: Path, schema: pl.Schema) -> bool:
    try:
        scan_files([file], schema).collect()
    except (OSError, pl.exceptions.PolarsError):
        return False
    return True


def bucket_of(device_id: str) -> int:
    """Bucket of a device, the same on every machine."""
    return hashlib.sha256(device_id.encode()).digest()[0] % BUCKETS


def _segments(folder: Path) -> list[Path]:
    """Whole segments below a folder; a name with a leading dot is not whole."""
    return [path for path in durable.listed(folder, "date=*/*.parquet") if not path.name.startswith(".")]


def _group(row: dict[str, Any]) -> Group:
    files = tuple(SealedFile(**file) for file in row.pop("files"))
    return Group(files=files, **row)
