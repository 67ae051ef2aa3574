"""What is not known costs what it costs on average, unless enough claims taught otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from pricing.between import LINE
from pricing.certificate import certify
from pricing.distil import distil
from pricing.unknown import mean_where_unknown
from tests.pricing.test_boosting import rows, train

DIRECTIONS = (1, 1, -1, 0)
LEAST = 10.0


@pytest.fixture(scope="module", params=[0, 3, 1_000])
def learned(request):
    """Tables of rows of which so many miss the second feature, the expected claims of these, and the rows."""
    x, claims, mu0 = rows()
    x[:, 1] = np.nan_to_num(x[:, 1], nan=1.5)
    x[: request.param, 1] = np.nan
    tables = distil(train(x, claims, mu0, directions=DIRECTIONS), x, mu0, LINE)
    return tables, float(mu0[: request.param].sum()), x, mu0


def test_too_few_claims_of_what_was_not_known_give_the_mean_and_enough_stand(learned):
    tables, unknown_claims, x, mu0 = learned
    settled = mean_where_unknown(tables, float(mu0.sum()), LEAST)
    blank = x.copy()
    blank[:, 1] = np.nan
    if unknown_claims < LEAST:
        assert settled.mains[1].effect[-1] == 0
        assert np.abs(settled.contributions(blank)[:, 1]).max() == 0
    else:
        assert settled.mains[1].effect[-1] == tables.mains[1].effect[-1]
        assert settled.score(blank) == pytest.approx(tables.score(blank), abs=1e-12)


def test_what_is_known_scores_as_before_and_directions_stay_proven(learned):
    tables, _, x, mu0 = learned
    settled = mean_where_unknown(tables, float(mu0.sum()), LEAST)
    known = x[~np.isnan(x).any(axis=1)]
    assert settled.score(known) == pytest.approx(tables.score(known), abs=1e-12)
    assert certify({"frequency": (tables, 1.0)}, DIRECTIONS, "").holds
    assert certify({"frequency": (settled, 1.0)}, DIRECTIONS, "").holds


def test_nobody_of_whom_nothing_is_known_is_cheaper_than_the_mean(learned):
    tables, _, x, mu0 = learned
    settled = mean_where_unknown(tables, float(mu0.sum()), np.inf)
    mean = float((tables.score(x) * mu0).sum() / mu0.sum())
    (nothing,) = settled.score(np.full((1, x.shape[1]), np.nan))
    assert nothing == pytest.approx(mean, abs=0.02)
    assert nothing == pytest.approx(settled.intercept * 1e-12, abs=1e-12)
