from __future__ import annotations

import dataclasses
from datetime import date

import numpy as np
import polars as pl
import pytest

from features.contract.catalogue import load_catalogue
from pricing.report.book import Rated, experience
from pricing.score import score_book
from tests.pricing.book import RATING_DATE, trained


def test_the_steps_of_a_book_priced_by_tiers_are_those_of_its_factors():
    book, model = trained()
    plan = dataclasses.replace(model.plan, factor=dataclasses.replace(model.plan.factor, factor_from="tier"))
    tiered = dataclasses.replace(model, plan=plan)
    scored = score_book(book.policies.sort("policy_id"), book.periods, load_catalogue(), tiered, RATING_DATE)
    rated = Rated.of(scored.factors, scored.receipts, scored.book, tiered)
    assert len(np.unique(rated.based[rated.rateable])) <= len(model.tiers.relativities)
    assert rated.banded == pytest.approx(rated.factor, abs=1e-6)  # nobody has a previous factor
    assert (rated.uncapped * rated.weight).sum() == pytest.approx(rated.weight.sum(), rel=1e-6)


def test_claims_of_kept_discounts_are_told_apart_from_those_of_kept_surcharges():
    """Whether a discount that nothing confirms is still earned is asked of them alone (decision 0041)."""
    n = 30  # of each: rated, a kept discount, a kept surcharge, neither
    kinds = pl.DataFrame(
        {"tier": [2, None, None, None], "rateable": [True, False, False, False], "factor": [0.8, 0.8, 1.25, 1.0]}
    )
    book = pl.concat([kinds] * n).with_row_index("k")
    book = book.with_columns(
        policy_id=pl.format("p{}", "k"),
        driver_id=pl.format("d{}", "k"),
        period_start=pl.lit(date(2025, 1, 1)),
        period_end=pl.lit(date(2026, 1, 1)),
        tariff_expected_claims=pl.lit(0.1),
    )
    dark = book.filter(~pl.col("rateable"), pl.col("factor") < 1).head(6)
    claims = dark.select("policy_id", occurred_on=pl.lit(date(2025, 5, 1)))
    found = experience(book, claims)
    assert found["tier"].to_list() == [2, None, None, None]
    assert found["kept"].to_list() == [None, "discount", "neither", "surcharge"]
    assert found["claims"].to_list() == [0, 6, 0, 0]
    assert found["ae_priced"][1] == pytest.approx(6 / (n * 0.1 * 0.8))
    few = experience(book.filter((pl.col("factor") < 1) | (pl.col("k") < 10)), claims)
    assert few["kept"].to_list() == [None, "discount"]
