from __future__ import annotations

import polars as pl

from pricing.receipt import frame_hash, receipt, row_hashes

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
    assert frame_hash(changed) != frame_hash(FRAME)


def test_a_frame_has_its_hash_in_any_order_of_rows():
    assert frame_hash(FRAME[::-1]) == frame_hash(FRAME)
    assert frame_hash(pl.concat([FRAME, FRAME[:1]])) != frame_hash(FRAME)


def test_a_receipt_depends_on_all_it_names():
    constants, row = {"b": 1.0}, {"factor": 0.9, "previous_factor": None}
    assert receipt(constants, row) == receipt(dict(constants), dict(row))
    assert receipt({"b": 1.0000000000000002}, row) != receipt(constants, row)
    assert receipt(constants, row | {"previous_factor": 1.0}) != receipt(constants, row)
