"""Hand-made rating rows: drivers whose risk is known, and what their boxes counted."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from features.contract.catalogue import Catalogue, Feature

RATING_DATE = date(2025, 1, 1)


def feature(name, kind="level", direction=0, unit="", reason_en="", reason_zh=""):
    """One row of a catalogue."""
    return Feature(
        name=name,
        unit=unit,
        definition=name,
        formula=name,
        source="test",
        kind=kind,
        direction=direction,
        monotone=direction != 0,
        model=True,
        min_exposure_km=0.0,
        numerator=None,
        denominator=None,
        reason_en=f"{reason_en or name} {{value}} {unit}".strip(),
        reason_zh=f"{reason_zh or name} {{value}}",
    )


CATALOGUE = Catalogue(
    version="test-1",
    features=(
        feature("km_per_day", direction=1, unit="km per day", reason_en="Distance driven"),
        feature("brake_rate", "rate", 1, "per 100 km", "Harsh braking", "急刹车"),
        feature("accel_rate", "rate", 1, "per 100 km", "Harsh acceleration", "急加速"),
        feature("night_share", "share", 1, "", "Driving at night", "夜间驾驶"),
        feature("trip_km", unit="km"),
        feature("noise"),
    ),
)


def rating_rows(n: int, seed: int = 1, frequency: float = 0.15) -> pl.DataFrame:
    """Rows as `pricing.train.rating_rows` gives them, plus `true_claims`, which no model may see.

    Braking, night and distance raise the risk, acceleration goes along with braking, the rest is noise.
    """
    rng = np.random.default_rng(seed)
    km = rng.gamma(4.0, 2_500.0, n)
    temper = rng.normal(size=n)
    brake = np.exp(0.6 * temper - 0.2) * 2.0
    night = 1 / (1 + np.exp(-rng.normal(-2.5, 0.8, n)))
    tariff = frequency * np.exp(rng.normal(0, 0.25, n))
    years = np.where(rng.random(n) < 0.8, 1.0, rng.uniform(0.1, 1.0, n))
    true = tariff * years * np.exp(0.35 * temper + 2.0 * (night - 0.09) + 0.4 * np.log(km / 10_000))
    brakes = rng.poisson(brake * km / 100)
    accels = rng.poisson(0.5 * np.exp(0.5 * temper + 0.3 * rng.normal(size=n)) * km / 100)
    return pl.DataFrame(
        {
            "driver_id": [f"d{i:06d}" for i in range(n)],
            "rating_date": [RATING_DATE] * n,
            "claims": rng.poisson(true),
            "years": years,
            "expected_claims": tariff * years,
            "exposure_km": km,
            "exposure_days": np.full(n, 365.0),
            "accel_km": km,
            "trips": np.maximum(1, (km / 12).astype(np.int64)),
            "km_per_day": km / 365,
            "brake_rate": brakes / km * 100,
            "brake_rate__n": brakes.astype(float),
            "brake_rate__km": km,
            "accel_rate": accels / km * 100,
            "accel_rate__n": accels.astype(float),
            "accel_rate__km": km,
            "night_share": np.where(rng.random(n) < 0.05, np.nan, night),
            "trip_km": rng.gamma(3.0, 4.0, n),
            "noise": rng.normal(size=n),
            "true_claims": true,
        }
    ).with_columns(pl.col("night_share").fill_nan(None))


def with_amounts(rows: pl.DataFrame, night_effect: float = 4.0, seed: int = 4, nil: float = 0.1) -> pl.DataFrame:
    """Add what claims cost: more after driving at night, a share of them nothing."""
    rng = np.random.default_rng(seed)
    paid = rng.binomial(rows["claims"].to_numpy(), 1 - nil)
    night = rows["night_share"].fill_null(0.09).to_numpy()
    mean = 2_000.0 * np.exp(night_effect * (night - 0.09))
    amount = np.where(paid > 0, rng.gamma(np.maximum(paid, 1) * 1.5, mean / 1.5), 0.0)
    return rows.with_columns(
        pl.Series("paid_claims", paid), pl.Series("claim_amount", np.round(amount, 2)), pl.Series("true_amount", mean)
    )
