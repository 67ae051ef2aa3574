"""Parquet files joined without decoding: the rows of all, for Polars and for DuckDB."""

from __future__ import annotations

import io
from datetime import UTC, datetime

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.errors import ContractError
from features import row_groups
from features.contract.periods import DRIVER_PERIODS
from features.row_groups import joined, split
from ingest.contract.publish import to_parquet

COLUMNS: dict[str, type[pl.DataType] | pl.DataType] = {
    "n": pl.Int64,
    "text": pl.String,
    "list": pl.List(pl.Struct({"key": pl.Int32, "value": pl.Int64})),
    "at": pl.Datetime("ms", "UTC"),
    "flag": pl.Boolean,
    "x": pl.Float64,
}
SCHEMA = pl.Schema(COLUMNS)
EMPTY = to_parquet(SCHEMA.to_frame())


def frame(rows: int, seed: int = 0) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "n": [seed * 10**9 + i for i in range(rows)],
            "text": [None if i % 5 == 0 else f"name-{i % 7}" * (i % 3) for i in range(rows)],
            "list": [[{"key": k, "value": i} for k in range(i % 4)] if i % 6 else None for i in range(rows)],
            "at": [datetime(2025, 1, 1, tzinfo=UTC)] * rows,
            "flag": [i % 2 == 0 for i in range(rows)],
            "x": [i / 3 for i in range(rows)],
        },
        schema=SCHEMA,
    )


def join(*frames: pl.DataFrame) -> bytes:
    return b"".join(joined(EMPTY, map(to_parquet, frames)))


@given(st.lists(st.integers(0, 40), max_size=20))
def test_a_join_has_the_rows_of_all_in_their_order(sizes):
    frames = [frame(size, seed) for seed, size in enumerate(sizes)]
    read = pl.read_parquet(io.BytesIO(join(*frames)))
    assert read.equals(pl.concat([SCHEMA.to_frame(), *frames]))
    assert read.schema == SCHEMA


def test_a_join_of_joins_is_the_join_of_all():
    a, b, c = (frame(size, size) for size in (3, 200, 17))
    ab = join(a, b)
    assert b"".join(joined(EMPTY, [ab, to_parquet(c)])) == join(a, b, c)
    assert b"".join(joined(EMPTY, [ab])) == ab


def test_a_file_is_copied_in_pieces_whether_it_lies_on_disk_or_in_memory(tmp_path, monkeypatch):
    frames = [frame(300, seed) for seed in range(3)]
    whole, paths = join(*frames), [tmp_path / f"{seed}.parquet" for seed in range(3)]
    for path, content in zip(paths, frames, strict=True):
        path.write_bytes(to_parquet(content))
    monkeypatch.setattr(row_groups, "PIECE_BYTES", 100)
    pieces = [*joined(EMPTY, paths)]
    assert b"".join(pieces) == whole == join(*frames)
    assert max(map(len, pieces[:-1])) == 100  # all but the footer


def test_readers_that_skip_row_groups_find_what_they_look_for(tmp_path):
    frames = [frame(50, seed) for seed in range(20)]  # more than a short list of Thrift holds
    path = tmp_path / "x.parquet"
    path.write_bytes(join(*frames))
    whole = pl.concat(frames)
    wanted = pl.col("n").is_between(7 * 10**9 + 40, 8 * 10**9 + 3)
    assert pl.scan_parquet(path).filter(wanted).collect().equals(whole.filter(wanted))
    assert pl.scan_parquet(path).slice(333, 50).collect().equals(whole.slice(333, 50))
    query = f"SELECT n, text, len(list), x FROM '{path}' WHERE n BETWEEN 7000000040 AND 8000000003 ORDER BY n"
    theirs = duckdb.sql(query).fetchall()
    ours = whole.filter(wanted).select("n", "text", pl.col("list").list.len(), "x").rows()
    assert theirs == ours
    (groups,) = duckdb.sql(f"SELECT count(DISTINCT row_group_id) FROM parquet_metadata('{path}')").fetchall()
    assert groups == (20,)


def test_other_schemas_and_torn_files_are_refused():
    with pytest.raises(ContractError, match="different schemas"):
        b"".join(joined(EMPTY, [to_parquet(DRIVER_PERIODS.to_frame())]))
    whole = to_parquet(frame(9))
    for torn in (whole[:-1], whole[:40], b"", whole[1:]):
        with pytest.raises(ContractError, match="not a whole Parquet file"):
            split(io.BytesIO(torn))
