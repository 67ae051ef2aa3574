"""The truth tests at size: minutes. Each prints the figures that docs/simulation.md quotes."""

from __future__ import annotations

import numpy as np
import pytest

from features.contract.catalogue import load_catalogue
from pricing.diagnostics.slope import calibration_slope
from pricing.ranking import held_out_ranking
from tests.pricing.truth.convergence import settle, short_trip_model
from tests.pricing.truth.world import PLAN, book_of, fitted, periods_of, rows_of

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_500)]


def test_ginis_of_five_books_stand_between_tariff_and_oracle(capsys):
    found = []
    for seed in range(1, 6):
        rows = rows_of(book_of(seed, 12_000), periods_of(seed, 12_000), years=5.0)
        ranking = held_out_ranking(rows, load_catalogue(), PLAN, truth="true_claims")
        found.append((ranking.sure_tariff, ranking.sure_telematics, ranking.sure_truth))
        periods_of.cache_clear()
    values = np.array(found)
    with capsys.disabled():
        print("\nGini of true risk, five books, by tariff, telematics, truth: mean", values.mean(axis=0).round(3))
        print("half range", (np.ptp(values, axis=0) / 2).round(3))
    assert (values[:, 0] < values[:, 1]).all()
    assert (values[:, 1] < values[:, 2]).all()


def test_the_slope_is_covered_as_often_as_its_interval_says(capsys):
    """The slope that the true claims have on the out-of-fold score, in the interval that the drawn claims gave."""
    book, periods, hits, slopes = book_of(1, 4_000), periods_of(1, 4_000), [], []
    repeats = 40
    for seed in range(repeats):
        fit = fitted(rows_of(book, periods, claims_seed=seed))
        calibration, frame = fit.model.calibration, fit.validation
        score = np.exp((frame["score"] * frame["credibility"]).to_numpy())
        true = calibration_slope(fit.rows["true_claims"].to_numpy(), frame["mu0"].to_numpy(), score)
        assert true is not None
        hits.append(calibration.b_low <= true.slope <= calibration.b_high)
        slopes.append((calibration.b, true.slope))
    b, right = np.array(slopes).T
    with capsys.disabled():
        print(f"\nslope: 90 % interval covers {np.mean(hits):.3f} of {repeats}", end="; ")
        print(f"mean b {b.mean():.3f}, true {right.mean():.3f}")
    assert np.mean(hits) > 0.75


def test_convergence_and_coverage_at_size(capsys):
    model = short_trip_model(1, 3_000, 36)
    with capsys.disabled():
        print(f"\n{'km':>8}{'error of log R':>16}{'of spread':>11}{'90 % covers':>13}{'of both':>9}{'half width':>12}")
        rows = settle(model, 2, 300, 160, (1, 2, 5, 10, 20, 40, 80))
        for row in rows:
            print(
                f"{row.km:>8,.0f}{row.error:>16.3f}{row.error / row.spread:>11.2f}{row.covered:>13.3f}"
                f"{row.covered_by_both:>9.3f}{row.half_width:>12.3f}"
            )
    assert rows[-1].error < 0.6 * rows[0].error
    assert all(0.8 < row.covered_by_both < 0.98 for row in rows)  # nominal 0.9
    assert all(row.covered > 0.7 for row in rows)
