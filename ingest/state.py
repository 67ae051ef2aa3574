"""What sealing remembers: the ledger. With it a sealing reads what is new, and of the old only what that touches.

    segments   segments of messages that were read, and which of them count
    settled    spans of seqs whose messages are sealed, or belong to nothing that could be
    waiting    headers of messages that are not settled: those of open trips
    streams    of each stream what cannot be seen from its seqs: duplicates, conflicts, clock, lateness
    doubts     clocks that their devices say are contradicted

It is derived from the messages alone: without it everything is read again, and the same is sealed. It changes with the
manifest's rename, as the sealed files do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import polars as pl

from ingest.contract import durable
from ingest.contract.lake import COMPACT, Lake, Manifest, read_files
from ingest.contract.publish import to_parquet
from ingest.contract.tables import LEDGER_SEGMENTS, MESSAGES
from ingest.doubts import DOUBTS
from ingest.spans import SPANS

HEADERS: Final = tuple(name for name in MESSAGES if name != "payload")
WAITING: Final = pl.Schema(
    [
        *((name, kind) for name, kind in MESSAGES.items() if name in HEADERS),
        ("conflict", pl.Boolean()),  # that seq also came with other content
        ("typed", pl.Boolean()),  # its own row is sealed already: health, impacts
        ("file", pl.String()),  # where its payload is, below the lake
    ]
)
STREAMS: Final = pl.Schema(
    {
        "device_id": pl.String,
        "stream_id": pl.String,
        "duplicates": pl.Int64,
        "conflicts": pl.Int64,
        "last_received_at_ms": pl.Int64,
        "clock_offset_ms": pl.Int64,  # device minus ours, in its last boot; null: the clock of a recording
        "late_max_ms": pl.Int64,  # longest way from the queue to us, by a clock that was set; null: none was
    }
)
_SCHEMAS: Final[dict[str, pl.Schema]] = {
    "segments": LEDGER_SEGMENTS,
    "settled": SPANS,
    "waiting": WAITING,
    "streams": STREAMS,
    "doubts": DOUBTS,
}
VERSION: Final = 6  # raise it when the same messages shall give other rows: everything is then sealed again


@dataclass(frozen=True, slots=True)
class State:
    """The ledger at one time; frames of the schemas above."""

    segments: pl.DataFrame
    settled: pl.DataFrame
    waiting: pl.DataFrame
    streams: pl.DataFrame
    doubts: pl.DataFrame

    @classmethod
    def empty(cls) -> State:
        """Nothing was read yet."""
        return cls(**{name: schema.to_frame() for name, schema in _SCHEMAS.items()})

    def forgotten(self) -> State:
        """Nothing was read yet; but what was compacted still does not count."""
        return replace(State.empty(), segments=self.segments.filter(pl.col("superseded_at_ms").is_not_null()))

    def with_segments(self, names: list[str]) -> State:
        """Note segments as read."""
        made = [Path(name).name.startswith(COMPACT) for name in names]
        read = pl.DataFrame({"path": names, "compacted": made, "superseded_at_ms": None}, schema=LEDGER_SEGMENTS)
        return replace(self, segments=pl.concat([self.segments, read]).sort("path"))

    @property
    def counting(self) -> list[str]:
        """Segments that were read and count, by name: newest day last."""
        return self.segments.filter(pl.col("superseded_at_ms").is_null())["path"].sort().to_list()


def load(lake: Lake, manifest: Manifest) -> State:
    """Read the ledger; an empty one where there is none, or one of another version."""
    if not manifest.ledger:
        return State.empty()
    if manifest.ledger.get("version") != str(VERSION):
        segments = read_files([lake.ledger / manifest.ledger["segments"]], LEDGER_SEGMENTS)
        return replace(State.empty(), segments=segments).forgotten()
    return State(**{name: read_files([lake.ledger / manifest.ledger[name]], of) for name, of in _SCHEMAS.items()})


def save(lake: Lake, state: State) -> dict[str, str]:
    """Write the ledger; its part of the manifest. The same state gives the same files."""
    named, contents = {"version": str(VERSION)}, {}
    for name in _SCHEMAS:
        content = to_parquet(getattr(state, name))
        named[name] = f"{name}-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
        if not durable.exists(lake.ledger / named[name]):
            contents[lake.ledger / named[name]] = content
    durable.commit(contents)
    return named
