from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pricing.boosting import Boosted, expected, fit
from pricing.errors import ModelError
from pricing.plan import load_plan

PLAN = load_plan().model
NAMES = ("brake", "night", "calm", "noise")


def rows(n=6000, seed=2):
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 1.0, (n, 4))
    x[rng.random((n, 4)) < 0.05] = np.nan
    known = np.nan_to_num(x, nan=2.0)
    mu0 = rng.uniform(0.1, 0.4, n)
    effect = 0.3 * known[:, 0] + 0.1 * known[:, 0] * known[:, 1] - 0.2 * known[:, 2]
    claims = rng.poisson(mu0 * np.exp(effect - effect.mean())).astype(float)
    return x, claims, mu0


def train(x, claims, mu0, *, rounds=80, directions=(1, 1, -1, 0), threads=1, plan=PLAN):
    level = float(np.log(claims.sum() / mu0.sum()))
    return fit(x, claims, mu0, level, features=NAMES, directions=directions, rounds=rounds, plan=plan, threads=threads)


def test_a_tree_has_at_most_two_features():
    trees = train(*rows()).tree_features()
    assert len(trees) == 80
    assert max(len(names) for names in trees) == 2


def test_one_and_two_threads_give_the_same_text():
    assert train(*rows(), threads=1).text == train(*rows(), threads=2).text


def test_the_text_names_neither_threads_nor_files():
    assert "parameters" not in train(*rows(500), rounds=2).text


def test_the_score_does_not_contain_the_offset():
    x, claims, mu0 = rows()
    model = train(x, claims, mu0)
    assert abs(np.mean(model.score(x))) < 0.3  # log mu0 is about -1.5
    assert train(x, claims, 8 * mu0).score(x) == pytest.approx(model.score(x), abs=0.02)
    total = expected(mu0, float(np.log(claims.sum() / mu0.sum())), model.score(x)).sum()
    assert total == pytest.approx(claims.sum(), rel=0.01)


def test_the_score_moves_in_the_catalogues_direction_only():
    x, claims, mu0 = rows()
    model = train(x, claims, mu0, directions=(1, 1, -1, 0))
    for column, direction in ((0, 1), (1, 1), (2, -1)):
        ladder = np.repeat(np.nan_to_num(x[:40], nan=1.0), 50, axis=0)
        ladder[:, column] = np.tile(np.linspace(0, 12, 50), 40)
        steps = np.diff(model.score(ladder).reshape(40, 50), axis=1)
        assert (direction * steps).min() >= 0
        assert (direction * steps).max() > 0


def test_a_constraint_holds_against_the_data():
    x, claims, mu0 = rows()
    against = train(x, claims, mu0, directions=(-1, 0, 0, 0))
    ladder = np.repeat(np.nan_to_num(x[:1], nan=1.0), 50, axis=0)
    ladder[:, 0] = np.linspace(0, 12, 50)
    assert np.diff(against.score(ladder)).max() <= 0


def test_stages_are_the_model_with_so_many_trees():
    x, claims, mu0 = rows()
    stages = train(x, claims, mu0).staged_scores(x, (0, 30, 80, 500))
    assert stages[:, 0].tolist() == [0.0] * len(x)
    assert stages[:, 1] == pytest.approx(train(x, claims, mu0, rounds=30).score(x), abs=1e-12)
    assert stages[:, 2].tolist() == stages[:, 3].tolist()


def test_no_rounds_is_a_model_that_says_nothing():
    x, claims, mu0 = rows(500)
    model = train(x, claims, mu0, rounds=0)
    assert model.score(x).tolist() == [0.0] * 500


def test_features_without_information_make_no_trees():
    x, claims, mu0 = rows(500)
    assert np.ptp(train(np.ones_like(x), claims, mu0).score(x)) == 0


def test_leaves_are_limited_by_claims_not_rows():
    x, claims, mu0 = rows()
    coarse = train(x, claims, mu0, rounds=1, plan=dataclasses.replace(PLAN, min_leaf_claims=claims.sum() * 0.6))
    assert coarse.tree_features() == [set()]
    doubled = train(np.repeat(x, 2, axis=0), np.repeat(claims / 2, 2), np.repeat(mu0 / 2, 2))
    assert doubled.score(x) == pytest.approx(train(x, claims, mu0).score(x), abs=1e-6)


def test_no_rows_no_scores():
    model = train(*rows(500), rounds=3)
    nobody = np.empty((0, 4))
    assert model.score(nobody).shape == (0,)


def test_a_text_that_is_no_model_is_refused():
    with pytest.raises(ModelError, match="cannot be read"):
        Boosted("tree\n\nTree=0\nnonsense", NAMES, (None,) * len(NAMES)).score(np.ones((1, 4)))
