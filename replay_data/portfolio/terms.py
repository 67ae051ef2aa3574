"""Policy terms around a rating date, and the claims that fall into them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from replay_data.portfolio.drivers import Ints
from replay_data.portfolio.hazard import Hazard
from replay_data.portfolio.streams import Floats, Streams, normal_pair

DAYS_PER_YEAR: Final = 365
TERMS: Final = 2  # the one before the rating date and its renewal
MAX_CLAIMS: Final = 8  # in a term; a tenth claim in a year does not happen at these frequencies

# Quantiles of a term's length in years: half-yearly policies, cancellations, and full years. Published: minimum
# 0.074, quartiles 0.546, 0.997, 1.0, mean 0.858.
_LENGTH_P: Final = np.array([0.0, 0.03, 0.25, 0.30, 0.36, 1.0])
_LENGTH_YEARS: Final = np.array([0.074, 0.45, 0.546, 0.90, 1.0, 1.0])

COVERS: Final = ("liability", "collision", "comprehensive")
_MEAN_AMOUNT: Final = np.array([4_100.0, 2_900.0, 1_500.0])  # together the published 137.6 per policy / 0.0449
_AMOUNT_SPREAD: Final = 1.25  # standard deviation of the log: the largest of 100,000 policies is near 100,000
_SPEED_SEVERITY: Final = 2.0  # energy: 1 % faster costs 2 % more


class Claims(NamedTuple):
    """Claims, arrays of shape (n_claims,), ordered by driver, term and number."""

    driver: Ints  # position in the book
    term: Ints  # 0 before the rating date, 1 after it
    number: Ints  # 0, 1, ... within the term
    day: Ints  # since the start of the term
    cover: Ints  # index into COVERS
    amount: Floats


def term_days(streams: Streams, first: int, count: int) -> Ints:
    """Lengths of both terms in days, shape (count, TERMS). The first ends, the second starts at the rating date."""
    u = streams.uniforms("terms", first, count, TERMS)
    years = np.interp(u, _LENGTH_P, _LENGTH_YEARS)
    days: Ints = np.rint(DAYS_PER_YEAR * years).astype(np.int64)
    return days


def draw_claims(streams: Streams, first: int, hazard: Hazard, speeding: Floats, days: Ints) -> Claims:
    """Draw the claims of both terms: Poisson with mean true frequency x years.

    The count is the quantile of one uniform, so with the same luck a riskier driver never has fewer claims.
    """
    n_drivers = len(days)
    u = streams.uniforms("claims", first, n_drivers, TERMS * (1 + 4 * MAX_CLAIMS))
    u = u.reshape(n_drivers, TERMS, 1 + 4 * MAX_CLAIMS)
    counts = poisson_quantile(u[:, :, 0], hazard.frequency[:, None] * days / DAYS_PER_YEAR)
    driver, term, number = np.nonzero(np.arange(MAX_CLAIMS) < counts[:, :, None])
    u_day, u_cover, u_size, v_size = u[:, :, 1:].reshape(n_drivers, TERMS, MAX_CLAIMS, 4)[driver, term, number].T
    day = np.minimum((u_day * days[driver, term]).astype(np.int64), days[driver, term] - 1)
    cover = (u_cover[:, None] > _cover_shares(hazard)[driver].cumsum(axis=1)[:, :2]).sum(axis=1)
    z_size, _ = normal_pair(u_size, v_size)
    amount = _MEAN_AMOUNT[cover] * np.exp(_AMOUNT_SPREAD * z_size - _AMOUNT_SPREAD**2 / 2)
    amount *= np.exp(_SPEED_SEVERITY * (speeding[driver] - 0.02))
    return Claims(driver, term, number, day, cover, np.round(amount, 2))


def poisson_quantile(u: Floats, mean: Floats) -> Ints:
    """Smallest count whose Poisson distribution function reaches `u`, at most MAX_CLAIMS."""
    count = np.zeros(u.shape, dtype=np.int64)
    term = np.exp(-mean)
    reached = term.copy()
    for k in range(1, MAX_CLAIMS + 1):
        count += u > reached
        term = term * mean / k
        reached += term
    return count


def _cover_shares(hazard: Hazard) -> Floats:
    """Probabilities of the covers, shape (n_drivers, 3): liability for hitting, comprehensive for the parked car."""
    liability = 0.6 * hazard.braking + 0.5 * hazard.night
    shares = np.stack((liability, hazard.frequency - liability - hazard.parked, hazard.parked), axis=1)
    return shares / hazard.frequency[:, None]
