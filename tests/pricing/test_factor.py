from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pricing.errors import BalanceError
from pricing.factor import Book, balanced_base, combined, factors
from pricing.own_claims import OwnClaims
from pricing.plan import load_plan
from pricing.tiers import Tiers

PLANS = [load_plan(name).factor for name in ("default", "china", "china_nev")]
DEFAULT = PLANS[0]
FADING = dataclasses.replace(DEFAULT, kept_discount_share=0.6)


@st.composite
def books(draw):
    n = draw(st.integers(2, 40))

    def numbers(low, high):
        return draw(arrays(float, n, elements=st.floats(low, high)))

    previous = np.round(numbers(0.8, 1.2), 6)
    previous[draw(arrays(bool, n))] = np.nan
    return Book(numbers(0.2, 5.0), previous, draw(arrays(bool, n)), numbers(0.001, 10.0))


def first_book(relativity, weight=None):
    r = np.asarray(relativity, dtype=float)
    return Book(r, np.full(len(r), np.nan), np.ones(len(r), bool), np.ones(len(r)) if weight is None else weight)


@given(book=books(), plan=st.sampled_from([*PLANS, FADING]))
def test_the_book_gets_its_total_back_or_says_what_is_missing(book, plan):
    total = math.fsum(book.weight)
    ends = [math.fsum(book.weight * factors(book, base, plan).factor) / total - 1 for base in (1e-9, 1e9)]
    if ends[0] > 1e-9 or ends[1] < -1e-9:
        with pytest.raises(BalanceError) as error:
            balanced_base(book, plan)
        assert error.value.shortfall == pytest.approx(ends[0] if ends[0] > 0 else ends[1])
        return
    steps = factors(book, balanced_base(book, plan), plan)
    assert abs(math.fsum(book.weight * steps.factor) / total - 1) <= 1e-9
    assert abs(math.fsum(book.weight * steps.published) / total - 1) <= 1e-6


@given(book=books(), plan=st.sampled_from(PLANS), base=st.floats(0.05, 20))
def test_factors_as_written_keep_to_band_and_renewal_limit(book, plan, base):
    written = factors(book, base, plan).published
    for k, factor in enumerate(written):
        previous = book.previous[k]
        if not book.rateable[k]:
            assert factor == (1.0 if np.isnan(previous) else previous)
        elif np.isnan(previous):
            assert plan.lower <= factor <= plan.upper
        else:
            assert 0.85 * previous - 1e-12 <= factor <= 1.15 * previous + 1e-12
            low, high = 0.85 * previous, 1.15 * previous
            if low <= plan.upper and high >= plan.lower:
                assert plan.lower - 1e-6 <= factor <= plan.upper + 1e-6


@given(book=books(), plan=st.sampled_from(PLANS), low=st.floats(0.05, 20), high=st.floats(0.05, 20))
def test_no_factor_falls_as_the_base_grows(book, plan, low, high):
    low, high = sorted((low, high))
    assert (factors(book, high, plan).factor >= factors(book, low, plan).factor).all()


@given(book=books(), plan=st.sampled_from(PLANS), worse=st.floats(1.0, 3.0), at=st.integers(0, 39))
def test_no_factor_falls_as_the_risk_grows(book, plan, worse, at):
    relativity = book.relativity.copy()
    relativity[at % len(relativity)] *= worse
    riskier = dataclasses.replace(book, relativity=relativity)
    assert (factors(riskier, 1.0, plan).factor >= factors(book, 1.0, plan).factor).all()


@given(books(), st.randoms())
def test_the_base_does_not_depend_on_the_order_of_the_book(book, random):
    order = list(range(len(book.weight)))
    random.shuffle(order)
    shuffled = Book(*(getattr(book, field.name)[order] for field in dataclasses.fields(Book)))
    try:
        base = balanced_base(book, DEFAULT)
    except BalanceError:
        with pytest.raises(BalanceError):
            balanced_base(shuffled, DEFAULT)
        return
    assert balanced_base(shuffled, DEFAULT) == base


@given(books(), st.lists(st.floats(0.0, 1.0), min_size=40, max_size=40))
def test_splitting_the_weight_of_a_row_changes_no_factor(book, shares):
    share = np.array(shares[: len(book.weight)])
    split = Book(
        np.tile(book.relativity, 2),
        np.tile(book.previous, 2),
        np.tile(book.rateable, 2),
        np.concatenate([book.weight * share, book.weight * (1 - share)]),
    )
    try:
        whole = factors(book, balanced_base(book, DEFAULT), DEFAULT).factor
    except BalanceError:
        return
    halves = factors(split, balanced_base(split, DEFAULT), DEFAULT).factor
    n = len(whole)
    assert np.abs(halves[:n] - whole).max() <= 1e-6
    assert np.abs(halves[n:] - whole).max() <= 1e-6


@given(books(), st.floats(1e-3, 1e3))
def test_the_unit_of_the_weight_does_not_matter(book, unit):
    scaled = dataclasses.replace(book, weight=book.weight * unit)
    try:
        base = balanced_base(book, DEFAULT)
    except BalanceError:
        return
    assert balanced_base(scaled, DEFAULT) == pytest.approx(base, rel=1e-6)


@given(books(), st.floats(0.05, 20.0), st.sampled_from(PLANS))
def test_who_cannot_be_rated_keeps_the_factor_whatever_b(book, base, plan):
    found = factors(book, base, plan).factor[~book.rateable]
    assert found.tolist() == np.where(np.isnan(book.previous), 1.0, book.previous)[~book.rateable].tolist()


@given(book=books(), base=st.floats(0.05, 20.0), share=st.floats(0.0, 1.0))
def test_a_kept_discount_fades_within_the_renewal_limit_and_a_surcharge_stays(book, base, share):
    plan = dataclasses.replace(DEFAULT, kept_discount_share=share)
    steps = factors(book, base, plan)
    before = np.where(np.isnan(book.previous), 1.0, book.previous)
    asleep = ~book.rateable
    for old, new, limited in zip(before[asleep], steps.published[asleep], steps.limited[asleep], strict=True):
        if old < 1:
            wanted = 1 - share * (1 - old)
            assert new == pytest.approx(min(wanted, 1.15 * old), abs=2e-6)
            assert limited == (wanted > 1.15 * old) or wanted == pytest.approx(1.15 * old, abs=2e-6)
            assert old <= new <= 1.15 * old + 1e-12
        else:
            assert (new, limited) == (old, False)


def test_a_discount_that_nothing_confirms_ends_after_some_ratings():
    factor, told = 0.7, []
    for _ in range(4):
        book = Book(np.ones(1), np.array([factor]), np.array([False]), np.ones(1))
        factor = float(factors(book, 1.0, FADING).published[0])
        told.append(factor)
    assert told == [0.805, 0.883, 0.9298, 0.95788]  # 15 % at first, then 0.6 of what is left of the discount


@given(previous=st.floats(0.2, 0.6) | st.floats(1.54, 5.0), r=st.floats(0.05, 20.0), plan=st.sampled_from(PLANS))
def test_where_the_bands_do_not_meet_the_factor_is_the_renewal_limit_next_to_the_band(previous, r, plan):
    previous = round(previous, 6)
    if previous * 1.15 >= plan.lower and previous * 0.85 <= plan.upper:
        return
    book = Book(np.array([r]), np.array([previous]), np.array([True]), np.ones(1))
    limit = previous * (1.15 if previous < 1 else 0.85)
    assert factors(book, 1.0, plan).factor[0] == pytest.approx(limit, abs=1e-6)


class Model:
    """What `combined` reads of a risk model."""

    def __init__(self, factor_from, variance):
        self.plan = dataclasses.replace(
            load_plan(), factor=dataclasses.replace(load_plan().factor, factor_from=factor_from)
        )
        self.tiers = Tiers((0.8, 1.0, 1.3), (0.7, 0.9, 1.1, 1.6))
        self.own_claims = None if variance is None else OwnClaims(variance, 0.1, 0.2)


@given(
    r=st.lists(st.floats(0.1, 5.0), min_size=2, max_size=2).map(sorted),
    claims=st.integers(0, 9),
    expected=st.floats(0.0, 5.0),
    factor_from=st.sampled_from(["factor", "tier"]),
    variance=st.none() | st.floats(0.0, 5.0),
)
def test_tier_and_own_claims_never_turn_riskier_driving_into_a_lower_relativity(
    r, claims, expected, factor_from, variance
):
    model, past = Model(factor_from, variance), (np.full(2, float(claims)), np.full(2, expected))
    found, theta = combined(np.array(r), model, past)
    assert found[1] >= found[0] * (1 - 1e-15)
    assert (theta == 1).all() or variance is not None
    if factor_from == "factor" and not variance:
        assert found.tolist() == r


def test_the_renewal_limit_wins_where_the_bands_do_not_meet():
    book = Book(np.array([1.0, 1.0]), np.array([2.0, 0.5]), np.array([True, True]), np.ones(2))
    assert factors(book, 1.0, DEFAULT).factor.tolist() == [1.7, 0.575]


def test_unplugging_does_not_launder_a_bad_factor():
    book = Book(np.array([0.7, 0.7]), np.array([1.28, np.nan]), np.array([False, False]), np.ones(2))
    assert factors(book, 1.0, DEFAULT).factor.tolist() == [1.28, 1.0]


def test_a_balanced_book_needs_no_base():
    assert balanced_base(first_book([0.9, 1.1]), DEFAULT) == 1.0


def test_clipping_is_paid_by_the_base():
    book = first_book([0.5, 0.9, 3.0])
    base = balanced_base(book, DEFAULT)
    steps = factors(book, base, DEFAULT)
    assert steps.factor[2] == 1.3
    assert steps.factor.sum() == pytest.approx(3.0, abs=1e-9)
    assert steps.based.tolist() == (base * book.relativity).tolist()


def test_a_book_that_cannot_be_balanced_tells_the_shortfall():
    book = Book(np.ones(4), np.full(4, 0.5), np.ones(4, bool), np.ones(4))
    with pytest.raises(BalanceError, match=r"collect 42.500 % too little; widen") as error:
        balanced_base(book, DEFAULT)
    assert error.value.shortfall == pytest.approx(-0.425)


def test_discounts_alone_are_not_balanced():
    book = first_book([0.5, 1.0, 2.0])
    plan = load_plan("discount_only").factor
    assert balanced_base(book, plan) == 1.0
    assert factors(book, 1.0, plan).factor.tolist() == [0.7, 1.0, 1.0]
