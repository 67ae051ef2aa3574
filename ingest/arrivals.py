"""What has come, stream by stream, as of now: the ledger, and the segments that sealing has not read yet.

Nothing is written, and of the messages only what is new is read.
"""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from device.contract import wire
from ingest import spans
from ingest import state as ledger_state
from ingest.advance import advance
from ingest.archive import Archive, read_headers
from ingest.contract.lake import Lake
from ingest.spans import SPANS, STREAM


class Arrivals(NamedTuple):
    """Seqs that came and counts.

    `messages` are spans of seqs that were taken, `refused` of those that were not. `streams` is `state.STREAMS`,
    `waiting` has a row for each message that is not settled.
    """

    messages: pl.DataFrame
    refused: pl.DataFrame
    streams: pl.DataFrame
    waiting: pl.DataFrame

    def gaps(self) -> pl.DataFrame:
        """Spans of what is missing, below the last seq of each stream that came, if only to be refused."""
        return spans.gaps(spans.merge(pl.concat([self.messages, self.refused])))


def arrivals(lake: Lake) -> Arrivals:
    """Take stock of a lake.

    Raises
    ------
    UbiError
        If a segment cannot be read.
    """
    manifest = lake.manifest()
    state = ledger_state.load(lake, manifest)
    names = [file.relative_to(lake.root).as_posix() for file in lake.message_files()]
    if set(state.counting) - set(names):  # a segment was moved away
        state = state.forgotten()
    known = set(state.counting)
    groups = [group for group in manifest.groups if group.source == "messages"] if known else []
    new = read_headers(lake, [lake.root / name for name in names if name not in known])
    now = advance(state, new, Archive(lake, state, groups), 0, give_up=False).state
    messages = spans.merge(pl.concat([now.settled, spans.of_rows(now.waiting)]))
    return Arrivals(messages, _refused(lake), now.streams, now.waiting)


def _refused(lake: Lake) -> pl.DataFrame:
    """Seqs that were refused; the topic of `wrong_device` does not say whose message it is."""
    known = pl.col("device_id").is_not_null() & pl.col("stream_id").is_not_null()
    theirs = pl.col("reason") != str(wire.Reason.WRONG_DEVICE)
    rows = lake.scan_rejects().filter(known & theirs).select(*STREAM, "seq").collect()
    return spans.of_rows(rows) if rows.height else SPANS.to_frame()
