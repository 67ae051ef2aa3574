import numpy as np

from replay_data.portfolio.drivers import draw_drivers
from replay_data.portfolio.streams import Streams
from replay_data.portfolio.tariff import LEVELS, Tariff, bands, fit_tariff
from replay_data.portfolio.terms import poisson_quantile

STREAMS = Streams(5, "tariff")


def test_the_fit_finds_the_relativities_of_its_bands():
    drivers = draw_drivers(STREAMS, 0, 80_000)
    known = Tariff(np.log(0.5), np.random.default_rng(0).normal(0.0, 0.4, sum(LEVELS)))
    mean = known.frequency(drivers)
    claims = poisson_quantile(STREAMS.uniforms("claims", 0, 80_000, 1)[:, 0], mean)
    fitted = fit_tariff(drivers, np.ones(80_000), claims).frequency(drivers)
    assert np.abs(np.log(fitted / mean)).mean() < 0.03


def test_a_fitted_tariff_is_balanced_on_its_own_claims():
    drivers = draw_drivers(STREAMS, 0, 5_000)
    years = np.full(5_000, 0.8)
    claims = poisson_quantile(STREAMS.uniforms("claims", 0, 5_000, 1)[:, 0], np.full(5_000, 0.2))
    fitted = fit_tariff(drivers, years, claims)
    assert abs((fitted.frequency(drivers) * years).sum() / claims.sum() - 1) < 1e-6


def test_every_band_is_met():
    drivers = draw_drivers(STREAMS, 0, 80_000)
    for column, levels in zip(bands(drivers).T, LEVELS, strict=True):
        assert set(column) == set(range(levels))
