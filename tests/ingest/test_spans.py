from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from ingest import spans

STREAMS = [("car", "00"), ("car", "01"), ("bus", "00")]
sets = st.dictionaries(st.sampled_from(STREAMS), st.frozensets(st.integers(1, 30), min_size=1), max_size=3)


def rows(numbers):
    listed = [(*stream, seq) for stream, seqs in numbers.items() for seq in seqs]
    return pl.DataFrame(listed, schema=["device_id", "stream_id", "seq"], orient="row").cast(
        {"device_id": pl.String, "stream_id": pl.String, "seq": pl.Int64}
    )


def numbers(frame):
    found = {}
    for device, stream, first, last in frame.iter_rows():
        assert first <= last
        found.setdefault((device, stream), []).extend(range(first, last + 1))
    assert all(len(set(seqs)) == len(seqs) for seqs in found.values())
    return {stream: frozenset(seqs) for stream, seqs in found.items()}


@given(sets)
def test_spans_hold_the_seqs_and_no_others(seqs):
    found = spans.of_rows(rows(seqs))
    assert found.schema == spans.SPANS
    assert numbers(found) == seqs
    steps = found.with_columns(pl.col("last").shift().over(spans.STREAM).alias("before"))
    assert steps.filter(pl.col("first") <= pl.col("before") + 1).is_empty()


@given(sets, sets)
def test_merging_is_union_and_without_is_difference(a, b):
    one, two = spans.of_rows(rows(a)), spans.of_rows(rows(b))
    assert numbers(spans.merge(pl.concat([one, two]))) == {
        s: a.get(s, frozenset()) | b.get(s, frozenset()) for s in a.keys() | b.keys()
    }
    left = {s: seqs - b.get(s, frozenset()) for s, seqs in a.items()}
    assert numbers(spans.without(one, two)) == {s: seqs for s, seqs in left.items() if seqs}


@given(sets, sets)
def test_membership(a, b):
    asked = rows(b)
    held = spans.holds(spans.of_rows(rows(a)), asked)
    assert held.to_list() == [seq in a.get((device, stream), ()) for device, stream, seq in asked.iter_rows()]


@given(sets, st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(1, 30), st.integers(0, 5)), max_size=6))
def test_meeting(a, asked):
    others = pl.DataFrame([(*s, f, f + n) for s, f, n in asked], schema=spans.SPANS, orient="row")
    met = spans.meet(spans.of_rows(rows(a)), others)
    assert met.rows() == [row for row in others.rows() if a.get(row[:2], frozenset()) & set(range(row[2], row[3] + 1))]


@given(sets)
def test_gaps_are_what_is_missing_below_the_last(a):
    missing = {s: frozenset(range(1, max(seqs))) - seqs for s, seqs in a.items()}
    assert numbers(spans.gaps(spans.of_rows(rows(a)))) == {s: seqs for s, seqs in missing.items() if seqs}


def test_the_largest_seqs_do_not_overflow():
    top = rows({("car", "00"): {2**63 - 1, 2**63 - 2, 5}})
    found = spans.of_rows(top)
    assert numbers_of(found) == [(5, 5), (2**63 - 2, 2**63 - 1)]
    assert spans.holds(found, top).all()
    assert numbers_of(spans.gaps(found)) == [(1, 4), (6, 2**63 - 3)]


def numbers_of(frame):
    return [tuple(row) for row in frame.select("first", "last").iter_rows()]
