"""A risk model to compare with: trained by the code of today on simulated drivers with ten years of claims in one.

For questions such as "does this change, or this fault, move a price?" It says nothing about the price of anybody: the
drivers are simulated; with so many claims a few thousand of them are enough to learn from.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from features.contract.catalogue import load_catalogue
from features.contract.window import rating_features
from features.periods import merge, sum_trips
from features.policies import assign
from pricing.exposure import add_months
from pricing.factor import Book, factors
from pricing.matrix import read_inputs
from pricing.model import RiskModel, load_model
from pricing.plan import load_plan
from pricing.portfolio import read_claims, read_policies
from pricing.score import score_book
from pricing.train import train
from replay_data.portfolio.book import simulate_book
from simulated_lake import simulated_trips

ROOT: Final = Path(__file__).resolve().parent.parent
MADE_OF: Final = ("device", "ingest/contract", "features", "pricing", "replay_data/portfolio")
LIBRARIES: Final = ("lightgbm", "numpy", "polars")
SEED: Final = 1
DRIVERS: Final = 6_000
CHUNK: Final = 500
YEARS_OF_CLAIMS: Final = 10  # in one
RATING_DATE: Final = date(2025, 1, 1)
YEAR_KM: Final = 12_000
MM_PER_KM: Final = 1_000_000


class Reference(NamedTuple):
    """The model, and the base factor B that balances the simulated book it was trained on."""

    model: RiskModel
    base: float


def reference_model(cache: Path) -> Reference:
    """Train the reference model, or take it from `cache`, a folder where the same code has left it.

    It takes some 10 s of CPU. Equal code, libraries and seed give the same model.
    """
    return load_reference(reference_folder(cache))


def reference_folder(cache: Path) -> Path:
    """Folder of the reference model in `cache`; the model is trained where it is not there yet."""
    folder = cache / f"reference-{code_sha256()[:16]}"
    if not (folder / "base.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            made = Path(name) / "model"
            _train(made)
            try:
                made.rename(folder)
            except OSError:  # another process was faster, and made the same
                if not (folder / "base.json").exists():
                    raise
    return folder


def load_reference(folder: Path) -> Reference:
    """Load a reference model from its folder.

    Raises
    ------
    ModelError
        The code of today reads other models.
    """
    base: float = json.loads((folder / "base.json").read_text(encoding="utf-8"))
    return Reference(load_model(folder), base)


def factor_of(reference: Reference, driver_periods: pl.DataFrame) -> pl.DataFrame:
    """Rate drivers with B held fixed, however little they drove: no limit of rateability, no renewal limit.

    Parameters
    ----------
    reference : Reference
    driver_periods : polars.DataFrame
        Schema DRIVER_PERIODS.

    Returns
    -------
    polars.DataFrame
        Sorted by driver_id: driver_id, rating_date, the columns of `rating_features` (exposure, features), and
        Float64 credibility, relativity (indicated), factor (within the plan's band, not rounded).
    """
    model = reference.model
    known = features_of(driver_periods, model.plan.window.feature_months)
    rated = model.rate(read_inputs(known, load_catalogue()))
    every = np.ones(known.height)
    book = Book(rated.relativity, every * np.nan, every.astype(np.bool_), every)
    return known.with_columns(
        pl.Series("credibility", rated.credibility),
        pl.Series("relativity", rated.relativity),
        pl.Series("factor", factors(book, reference.base, model.plan.factor).factor),
    )


def effects_of(reference: Reference, driver_periods: pl.DataFrame) -> pl.DataFrame:
    """Log of what each feature that the model reads does to the relativity of these drivers.

    Returns
    -------
    polars.DataFrame
        Sorted by driver_id: driver_id, and Float64 columns named as the features.
    """
    model = reference.model
    known = features_of(driver_periods, model.plan.window.feature_months)
    inputs = read_inputs(known, load_catalogue())
    effects = model.log_effects(model.rate(inputs))[:, :-1]
    return known.select("driver_id").with_columns(pl.DataFrame(effects, schema=list(inputs.names)))


def features_of(driver_periods: pl.DataFrame, months: int = 12) -> pl.DataFrame:
    """Features of drivers when `months` have passed since their first month, or after their last if that is later.

    Returns
    -------
    polars.DataFrame
        Sorted by driver_id: driver_id, rating_date, the columns of `rating_features`.
    """
    month = pl.col("month")
    rows = driver_periods.group_by("driver_id").agg(first=month.min(), last=month.max()).sort("driver_id")
    dates = [max(add_months(first, months), add_months(last, 1)) for _, first, last in rows.iter_rows()]
    rows = rows.select("driver_id", pl.Series("rating_date", dates, pl.Date))
    return rating_features(driver_periods, rows, months, load_catalogue())


def year_of(trips: pl.DataFrame, events: pl.DataFrame, km: float = YEAR_KM) -> pl.DataFrame:
    """Driver periods of devices that drive their trips again and again, until `km` are driven: a year of nothing else.

    Parameters
    ----------
    trips, events : polars.DataFrame
        Sealed tables of the lake; each device is its own driver.
    """
    driven_mm = pl.col("distance_mm").sum().over("device_id").clip(lower_bound=1)
    times = (km * MM_PER_KM / driven_mm).ceil().cast(trips.schema["represents"])
    return merge([sum_trips(assign(trips.with_columns(represents=times), None), events)])


def code_sha256() -> str:
    """Hex SHA-256 of all that decides what the model is."""
    files = [file for folder in MADE_OF for file in sorted((ROOT / folder).rglob("*")) if file.is_file()]
    made_of = [ROOT / "simulated_lake.py", Path(__file__).resolve(), *files]
    digest = hashlib.sha256(" ".join(f"{name} {version(name)}" for name in LIBRARIES).encode())
    for file in made_of:
        if "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(ROOT)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _train(folder: Path) -> None:
    book = simulate_book(SEED, DRIVERS, RATING_DATE, name="reference")
    chunks = [simulated_trips(book, first, CHUNK) for first in range(0, DRIVERS, CHUNK)]
    periods = merge([sum_trips(_assigned(trips), events) for trips, events in chunks])
    more = pl.col("tariff_frequency", "tariff_premium") * YEARS_OF_CLAIMS
    with tempfile.TemporaryDirectory() as name:
        book.policies.with_columns(more).write_parquet(Path(name) / "policies.parquet")
        _claims(book.policies, book.truth).write_parquet(Path(name) / "claims.parquet")
        policies, claims = (
            read_policies(Path(name) / "policies.parquet"),
            read_claims(Path(name) / "claims.parquet"),
        )
    catalogue = load_catalogue()
    model = train(policies, claims, periods, catalogue, load_plan("default"), (RATING_DATE,))
    model.save(folder)
    scored = score_book(policies, periods, catalogue, model, RATING_DATE)
    (folder / "base.json").write_text(json.dumps(scored.book["constants"]["base_factor"]), encoding="utf-8")


def _assigned(trips: pl.DataFrame) -> pl.DataFrame:
    """Drivers of the simulated book are named as their devices, but for a word."""
    return assign(trips, None).with_columns(driver_id=pl.col("device_id").str.replace("-box-", "-"))


def _claims(policies: pl.DataFrame, truth: pl.DataFrame) -> pl.DataFrame:
    """Claims of the terms from the rating date on: Poisson, `YEARS_OF_CLAIMS` times the true frequency."""
    rng = np.random.default_rng(SEED)
    terms = policies.filter(pl.col("start") >= RATING_DATE).join(truth, on="driver_id").sort("policy_id")
    days = (terms["end"] - terms["start"]).dt.total_days().to_numpy()
    count = rng.poisson(YEARS_OF_CLAIMS * terms["true_frequency"].to_numpy() * days / 365)
    row = np.repeat(np.arange(terms.height), count)
    day = (rng.random(len(row)) * days[row]).astype(np.int64)
    return pl.DataFrame(
        {
            "policy_id": terms["policy_id"].to_numpy()[row],
            "occurred_on": [RATING_DATE + timedelta(days=int(n)) for n in day],
            "cover": ["liability"] * len(row),
            "amount": np.round(rng.gamma(1.0, 3_000.0, len(row)), 2),
        }
    )
