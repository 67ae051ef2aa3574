from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.contract.catalogue import load_catalogue
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
