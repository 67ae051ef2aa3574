from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.contract.catalogue import load_catalogue
from pricing.between import PARTS, place, points_of
from pricing.certificate import certify
from pricing.distil import distil
from pricing.own_claims import OwnClaims
from pricing.tables import Main, Pair, RatingTables
from pricing.tiers import Tiers
from tests.pricing.book import trained
from tests.pricing.test_boosting import rows, train

DIRECTIONS = (1, 1, -1, 0)


def proofs(tables, directions):
    return {proof.feature: proof for proof in certify({"frequency": (tables, 1.0)}, directions, "order").proofs}


def test_a_constrained_ensemble_is_certified():
    x, claims, mu0 = rows()
    tables = distil(train(x, claims, mu0, directions=DIRECTIONS), x, mu0)
    certificate = certify({"frequency": (tables, 1.0)}, DIRECTIONS, "order")
    assert certificate.holds, certificate.faults()
    assert {proof.feature for proof in certificate.proofs} == {"brake", "night", "calm"}
    assert all(proof.steps for proof in certificate.proofs)


def test_a_free_ensemble_is_not_and_the_counter_example_is_one():
    x, claims, mu0 = rows()
    noisy = np.random.default_rng(3).permutation(claims)
    boosted = train(x, noisy, mu0, directions=(0, 0, 0, 0))
    tables = distil(boosted, x, mu0)
    certificate = certify({"frequency": (tables, 1.0)}, (1, 1, 1, 1), "order")
    assert not certificate.holds
    broken = [proof for proof in certificate.proofs if not proof.holds]
    assert len(certificate.faults()) == len(broken)
    assert all(f"{proof.at:g}" in fault for proof, fault in zip(broken, certificate.faults(), strict=True))


def test_a_negative_slope_breaks_the_later_steps():
    tables = RatingTables(0, (Main("a", np.array([1.0]), np.array([0, 1, 0]), np.ones(3) / 3),), ())
    assert certify({"frequency": (tables, 0.8)}, (1,), "order").holds
    assert not certify({"frequency": (tables, -0.1)}, (1,), "order").holds


def test_tiers_that_fall_and_own_claims_of_negative_variance_break_the_later_steps():
    model, catalogue = trained().model, load_catalogue()
    assert model.certificate(catalogue).holds
    falling = replace(model, tiers=Tiers((1.0,), (1.2, 0.9)))
    assert falling.certificate(catalogue).faults() == ["relativities of the tiers rise: does not hold"]
    own = replace(model, own_claims=OwnClaims(-0.1, 0.1, 0.0))
    assert own.certificate(catalogue).faults() == ["the variance behind own claims is not below 0: does not hold"]


small = st.integers(-3, 6)


@given(
    st.lists(small, min_size=4, max_size=4),
    st.lists(small, min_size=12, max_size=12),
    st.lists(small, min_size=6, max_size=6),
)
def test_the_least_change_is_that_of_all_drivers_there_can_be(main, first_pair, second_pair):
    ends, others = np.array([1.0, 2.0]), {"b": np.array([5.0]), "c": np.array([])}
    flat = {
        name: Main(name, other, np.zeros(len(other) + 2, np.int64), np.full(len(other) + 2, 0.5))
        for name, other in others.items()
    }
    pairs = (
        Pair("a", "b", ends, others["b"], np.array(first_pair).reshape(4, 3)),
        Pair("c", "a", others["c"], np.array([2.0]), np.array(second_pair).reshape(2, 3)),
    )
    tables = RatingTables(7, (Main("a", ends, np.array(main), np.full(4, 0.25)), *flat.values()), pairs)
    points = [0.5, 1.5, 2.5]
    everyone = [
        [tables.score(np.array([[a, b, c]]))[0] * 1e12 for a in points]
        for b, c in itertools.product([4.0, 6.0, np.nan], [0.0, np.nan])
    ]
    least = min(np.diff(along).min() for along in everyone)
    proof = proofs(tables, (1, 0, 0))["a"]
    assert proof.least_change_1e12 == pytest.approx(least, abs=1e-3)
    assert proof.holds == (least > -0.5)


def rising(draw, shape, directions):
    """Cells that never move against the directions of their axes, but for the last of an axis, which is not known."""
    cells = np.array(draw(st.lists(st.integers(-5, 9), min_size=int(np.prod(shape)), max_size=int(np.prod(shape)))))
    cells = cells.reshape(shape) * 10**11
    for axis, direction in enumerate(directions):
        if direction:
            known = [slice(None)] * len(shape)
            known[axis] = slice(0, shape[axis] - 1)
            turned = cells[tuple(known)] if direction > 0 else np.flip(cells[tuple(known)], axis)
            turned = np.maximum.accumulate(turned, axis=axis)
            cells[tuple(known)] = turned if direction > 0 else np.flip(turned, axis)
    return cells


ends_of = st.lists(st.integers(-20, 20), max_size=4, unique=True).map(lambda ends: np.array(sorted(ends), dtype=float))
known_value = st.one_of(st.floats(-25, 25), st.sampled_from([-np.inf, 0.0, np.inf]))


@st.composite
def monotone_tables(draw):
    """Tables of lines in three features, of directions 1, -1 and 0, that each by themselves hold what is promised."""
    mains, held = [], dict(zip("abc", (1, -1, 0), strict=True))
    for name, direction in held.items():
        ends = draw(ends_of)
        seen = np.array(draw(st.lists(st.floats(-25, 25), max_size=8)))
        points = points_of(ends, seen, np.ones(len(seen)))
        effect = rising(draw, (len(ends) + 2,), (direction,))
        mains.append(Main(name, ends, effect, np.full(len(ends) + 2, 0.1), points))
    pairs = []
    for first, second in itertools.combinations(mains, 2):
        own = [draw(st.lists(st.sampled_from(main.ends.tolist()), unique=True)) if len(main.ends) else []
               for main in (first, second)]  # fmt: skip
        coarse = [np.array(sorted(ends), dtype=float) for ends in own]
        shape = tuple(len(ends) + 2 for ends in coarse)
        pairs.append(
            Pair(
                first.feature, second.feature, *coarse, rising(draw, shape, (held[first.feature], held[second.feature]))
            )
        )
    return RatingTables(3, tuple(mains), tuple(pairs))


@given(monotone_tables(), st.lists(known_value, min_size=3, max_size=3), known_value, st.booleans())
def test_with_lines_a_value_that_rises_in_its_direction_never_lowers_the_score(tables, driver, other, unknown):
    assert certify({"frequency": (tables, 1.0)}, (1, -1, 0), "order").holds
    if unknown:
        driver[2] = np.nan
    for column, direction in ((0, 1), (1, -1)):
        both = np.tile(np.array(driver), (2, 1))
        both[:, column] = sorted([driver[column], other])
        low, high = direction * tables.exact_score(both)
        assert low <= high


@given(
    st.lists(small, min_size=4, max_size=4), st.lists(small, min_size=12, max_size=12), st.floats(0, 4), st.floats(0, 4)
)
def test_with_lines_no_driver_moves_against_a_direction_by_more_than_the_certificate_says(main, pair, one, other):
    """Tables that nothing holds to a direction: the least change bounds all of them, from below."""
    ends, points = np.array([1.0, 2.0]), np.array([0.5, 1.6, 3.0])
    a = Main("a", ends, np.array(main), np.full(4, 0.25), points)
    b = Main("b", np.array([1.0]), np.zeros(3, np.int64), np.full(3, 0.3), np.array([0.7, 2.0]))
    tables = RatingTables(0, (a, b), (Pair("a", "b", ends, b.ends, np.array(pair).reshape(4, 3)),))
    proof = proofs(tables, (1, 0))["a"]
    low, high = sorted([one, other])
    where = place(ends, points, np.array([low, high]))
    parts = int(np.diff(where.at * PARTS + where.part)[0])
    for fixed in (0.2, 1.1, 1.4, 3.0, np.nan):
        change = int(np.diff(tables.exact_score(np.array([[low, fixed], [high, fixed]])))[0])
        assert change >= parts * PARTS * min(proof.least_change_1e12, 0)
