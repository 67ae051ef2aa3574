from __future__ import annotations

import polars as pl
import pytest

from pricing import receipt
from pricing.errors import ModelError
from pricing.receipt import receipts, receipts_and_csv, row_hashes

FRAME = pl.DataFrame({"km": [1.5, 2.0, None], "trips": [3, 4, 5]})


def test_a_row_has_its_hash_in_any_company_and_column_order():
    hashes = row_hashes(FRAME)
    assert len(set(hashes)) == 3
    assert row_hashes(FRAME[1:2]) == hashes[1:2]
    assert row_hashes(FRAME.select("trips", "km")) == hashes


def test_the_smallest_change_is_seen():
    changed = FRAME.with_columns(km=pl.Series([1.5 + 2**-51, 2.0, None]))
    assert [a == b for a, b in zip(row_hashes(FRAME), row_hashes(changed), strict=True)] == [False, True, True]
    assert row_hashes(FRAME.fill_null(0.0))[2] != row_hashes(FRAME)[2]


def test_unknown_and_zero_have_one_form():
    same = pl.DataFrame({"km": [1.5, -0.0, float("nan")], "trips": [3, 4, 5]})
    assert row_hashes(same.with_columns(km=pl.Series([1.5, 0.0, None]))) == row_hashes(same)


TABLE = pl.DataFrame({"policy_id": ["p1", "p2"], "factor": [0.9, 1.1], "receipt": ["", ""]})
MADE_OF = pl.DataFrame({"previous_factor": [None, 1.0], "receipt": ["", ""]})


def test_a_receipt_depends_on_all_it_names():
    own = receipts({"b": 1.0}, TABLE, MADE_OF)
    assert len(set(own)) == 2
    assert receipts({"b": 1.0}, TABLE[1:], MADE_OF[1:]) == own[1:]
    assert receipts({"b": 1.0}, TABLE.with_columns(receipt=pl.lit("x")), MADE_OF) == own
    assert receipts({"b": 1.0000000000000002}, TABLE, MADE_OF)[0] != own[0]
    assert receipts({"b": 1.0}, TABLE, MADE_OF.with_columns(previous_factor=pl.lit(2.0)))[0] != own[0]
    assert receipts({"b": 1.0}, TABLE.rename({"factor": "score"}), MADE_OF)[0] != own[0]


def test_rows_are_hashed_and_written_alike_however_many_at_once(monkeypatch):
    hashes, (told, csv) = row_hashes(FRAME), receipts_and_csv({"b": 1.0}, TABLE, MADE_OF)
    assert len(csv) == 1
    assert csv[0].decode() == TABLE.with_columns(receipt=pl.Series(told)).write_csv(include_header=False)
    monkeypatch.setattr(receipt, "ROWS_AT_ONCE", 1)
    assert row_hashes(FRAME) == hashes
    assert receipts_and_csv({"b": 1.0}, TABLE, MADE_OF) == (told, csv[0].splitlines(keepends=True))
    assert not any(receipts_and_csv({"b": 1.0}, TABLE.clear(), MADE_OF.clear()))


def test_a_line_break_in_an_id_is_refused():
    with pytest.raises(ModelError, match="holds a line break"):
        receipts({}, TABLE.with_columns(policy_id=pl.lit("p\n1")), MADE_OF)
