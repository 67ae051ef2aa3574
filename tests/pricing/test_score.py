from __future__ import annotations

import dataclasses
import json
import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from device.contract.rules import KIND_NUMBERS
from device.contract.trip import LEVELS
from features.contract.catalogue import load_catalogue
from pricing.contract.factors import FACTORS
from pricing.errors import ModelError, PortfolioError
from pricing.explain.tell import product
from pricing.exposure import DAYS_PER_YEAR
from pricing.model import load_model
from pricing.plan import load_plan
from pricing.rebuild import driver_of, rebuild
from pricing.score import score_book
from pricing.train import train
from tests.pricing.book import RATING_DATE, SmallBook, entries

PLAN = load_plan()
CATALOGUE = load_catalogue()
LENIENT = dataclasses.replace(PLAN, credibility=dataclasses.replace(PLAN.credibility, accept_miscalibrated=True))


@pytest.fixture(scope="module")
def book():
    return SmallBook(6_000)


@pytest.fixture(scope="module")
def model(book):
    return train(yearly(book.policies), book.claims, book.periods, CATALOGUE, PLAN)


@pytest.fixture(scope="module")
def scored(book, model):
    return score(book, model)


def yearly(policies):
    """As `portfolio.read_policies` would give them."""
    days = (pl.col("end") - pl.col("start")).dt.total_days()
    return policies.with_columns(premium_per_year=pl.col("tariff_premium") * DAYS_PER_YEAR / days).sort("policy_id")


def score(book, model, **changed):
    arguments = {"policies": yearly(book.policies), "periods": book.periods, "rating_date": RATING_DATE} | changed
    return score_book(catalogue=CATALOGUE, model=model, **arguments)


def test_the_default_rating_dates_are_the_two_sides_of_the_driving(book, model, scored):
    assert model.diagnostics["rating_dates"] == [str(RATING_DATE)]
    assert score(book, model, rating_date=None).book["rating_date"] == "2024-10-01"  # trips end in September
    assert scored.book["rating_date"] == "2025-01-01"


def test_the_table_has_the_columns_of_the_design_in_order_of_policies(scored, book):
    assert scored.factors.schema == FACTORS
    assert scored.factors["policy_id"].to_list() == sorted(book.policies["policy_id"])
    required = [name for name in FACTORS if not name.startswith(("reason", "effect", "tier", "credibility"))]
    assert sum(scored.factors.select(required).null_count().row(0)) == 0
    rated = pl.col("rateable")
    for name in ("tier", "credibility"):  # driving has no weight in a factor that is kept
        assert scored.factors.filter(pl.col(name).is_null() == rated).is_empty(), name


def test_the_book_balances_before_rounding_and_as_written(scored, tmp_path):
    totals = scored.book["totals"]
    assert abs(totals["balance_before_rounding"] - 1) <= 1e-9
    scored.save(tmp_path)
    written = pl.read_csv(tmp_path / "factors.csv")
    mu0 = written["tariff_expected_claims"].to_numpy()
    assert abs(math.fsum(mu0 * written["factor"].to_numpy()) / math.fsum(mu0) - 1) <= 1e-6
    assert written["factor"].is_between(0.7, 1.3).all()


def test_short_terms_balance_as_written(book, model, tmp_path):
    """A term of one day expects some 1e-4 claims: rounding that after balancing would show."""
    policies = yearly(book.policies.head(40).with_columns(end=pl.lit(date(2025, 1, 2))))
    scored = score(book, model, policies=policies)
    mu0, factor = (scored.factors[name].to_numpy() for name in ("tariff_expected_claims", "factor"))
    assert mu0.max() < 2e-3
    assert abs(math.fsum(mu0 * factor) / math.fsum(mu0) - 1) <= 1e-6


def test_drivers_who_keep_their_factor_are_in_the_balance(book, model):
    silent = book.drivers[:2_000]
    periods = book.periods.filter(~pl.col("driver_id").is_in(silent))
    previous = pl.DataFrame({"policy_id": silent, "driver_id": silent, "factor": [1.2] * 2_000})
    table = score(book, model, periods=periods, previous=previous).factors
    mu0, factor, rated = (table[name].to_numpy() for name in ("tariff_expected_claims", "factor", "rateable"))
    assert abs(math.fsum(mu0 * factor) / math.fsum(mu0) - 1) <= 1e-6
    assert set(factor[~rated]) == {1.2}
    assert np.average(factor[rated], weights=mu0[rated]) < 0.95


def test_of_two_previous_factors_a_new_policy_gets_the_higher(book, model):
    previous = pl.DataFrame({"policy_id": ["old", "older"], "driver_id": ["d00000"] * 2, "factor": [0.9, 1.2]})
    silent = book.periods.filter(pl.col("driver_id") != "d00000")
    assert score(book, model, periods=silent, previous=previous).factors["factor"][0] == 1.2


def test_the_factors_follow_the_true_risk(scored, book):
    true = np.log(book.true_frequency / book.policies["tariff_frequency"].to_numpy())
    indicated = np.log(scored.factors.sort("driver_id")["indicated_relativity"].to_numpy())
    assert np.corrcoef(true, indicated)[0, 1] > 0.8
    tiers = scored.factors.group_by("tier").agg(pl.col("indicated_relativity").mean()).sort("tier")
    assert tiers["indicated_relativity"].is_sorted()
    assert tiers.height > 1


def test_expected_claims_are_those_of_the_period(scored, book):
    row = scored.factors.row(0, named=True)
    policy = book.policies.row(by_predicate=pl.col("policy_id") == row["policy_id"], named=True)
    assert row["period_start"] == RATING_DATE
    assert row["period_end"] == min(policy["end"], date(2026, 1, 1))
    years = (row["period_end"] - row["period_start"]).days / 365
    assert row["tariff_expected_claims"] == pytest.approx(policy["tariff_frequency"] * years, abs=1e-6)


def test_same_bytes_in_any_order_of_the_inputs(book, model, scored, tmp_path):
    mixed = score(
        book,
        model,
        policies=yearly(book.policies).sample(fraction=1.0, shuffle=True, seed=1),
        periods=book.periods.sample(fraction=1.0, shuffle=True, seed=2),
    )
    scored.save(tmp_path / "a")
    mixed.save(tmp_path / "b")
    for name in ("factors.parquet", "factors.csv", "receipts.parquet", "book.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_splitting_the_rows_of_policies_changes_no_factor(book, model, scored):
    first = book.policies.with_columns(end=pl.lit(date(2025, 4, 1)))
    second = book.policies.with_columns(start=pl.lit(date(2025, 4, 1)))
    days = (pl.col("end") - pl.col("start")).dt.total_days()
    premium = (pl.col("tariff_frequency") * 3_000 * days / 365).alias("tariff_premium")
    split = yearly(pl.concat([first, second]).with_columns(premium))
    again = train(split, book.claims, book.periods, CATALOGUE, PLAN)
    assert again.model_id == model.model_id
    assert score(book, again, policies=split).factors.equals(scored.factors)


def test_an_event_more_or_a_level_higher_never_lowers_the_relativity(book, model, scored):
    kind = KIND_NUMBERS["harsh_braking"] * LEVELS

    def worse(histogram):
        counts = {entry["key"]: entry["value"] for entry in histogram}
        counts[kind + 1] = counts.get(kind + 1, 0) + 3
        counts[kind + 2] = counts.get(kind + 2, 0) + 1
        return entries(counts)

    events = [worse(row) for row in book.periods["event_counts"].to_list()]
    periods = book.periods.with_columns(pl.Series("event_counts", events, dtype=book.periods.schema["event_counts"]))
    after = score(book, model, periods=periods).factors
    assert (after["indicated_relativity"] >= scored.factors["indicated_relativity"]).all()
    assert (after["indicated_relativity"] > scored.factors["indicated_relativity"]).mean() > 0.1


def test_the_renewal_limit_holds_against_the_last_table(book, model, scored):
    table = scored.factors
    flipped = table.select("policy_id", "driver_id", factor=pl.col("factor").reverse())
    renewed = score(book, model, previous=flipped)
    ratio = renewed.factors["factor"].to_numpy() / flipped["factor"].to_numpy()
    assert ratio.min() >= 0.85 - 1e-12
    assert ratio.max() <= 1.15 + 1e-12
    assert renewed.factors["limited"].mean() > 0.3
    assert abs(renewed.book["totals"]["balance_as_written"] - 1) <= 1e-6


def test_balance_by_premium_and_discounts_alone(book):
    changed = dataclasses.replace(PLAN.factor, balance="premium")
    by_premium = train(
        yearly(book.policies), book.claims, book.periods, CATALOGUE, dataclasses.replace(PLAN, factor=changed)
    )
    totals = score(book, by_premium).book["totals"]
    assert totals["premium_ratio"] == pytest.approx(1, abs=1e-6)
    with pytest.raises(ModelError, match="no tariff_premium"):
        score(book, by_premium, policies=book.policies)
    discounts = train(yearly(book.policies), book.claims, book.periods, CATALOGUE, load_plan("discount_only"))
    only = score(book, discounts)
    assert only.factors["factor"].max() == 1.0
    assert only.book["totals"]["base_rate_load"] > 1.02


def test_reasons_multiply_to_the_factor_and_the_row_is_rebuilt(book, model, scored, tmp_path):
    scored.save(tmp_path)
    for policy in ("p00000", "p04321"):
        again = rebuild(tmp_path, policy, book.periods, CATALOGUE, model)
        whole = scored.book["constants"]["base_factor"] * again.split.base[0] * again.split.effects[0].prod()
        whole *= math.prod(again.adjustments.values())
        assert whole == pytest.approx(again.factor, abs=5e-7)
        assert again.receipt == again.table_receipt == again.published["receipt"]
        assert again.published["reason_1"] in product(again, CATALOGUE)
    assert rebuild(tmp_path, again.published["receipt"], book.periods, CATALOGUE, model).published == again.published


TAMPERED = {
    "score": pl.lit(99.0),
    "tier": pl.lit(1, pl.Int32),
    "tariff_expected_claims": pl.col("tariff_expected_claims") + 1e-9,
    "period_end": pl.lit(date(2031, 1, 1)),
    "reason_2": pl.lit("0 harsh brakings per 100 km"),
    "effect_1": pl.lit(1.0),
    "rateable": ~pl.col("rateable"),
    "plan_version": pl.lit("default-0"),
}


@pytest.mark.parametrize("column", TAMPERED)
def test_verify_sees_a_changed_value_anywhere_in_the_table(book, model, scored, tmp_path, column):
    changed = scored.factors.with_columns(TAMPERED[column].alias(column))
    dataclasses.replace(scored, factors=changed).save(tmp_path)
    again = rebuild(tmp_path, "p00007", book.periods, CATALOGUE, model)
    assert again.table_receipt != again.receipt_row["receipt"]
    assert (again.features_sha256, again.model_id) == (again.receipt_row["features_sha256"], model.model_id)


def test_verify_sees_a_changed_constant_of_the_book(book, model, scored, tmp_path):
    for name, value in (("base_factor", 1.5), ("plan_sha256", "0"), ("code_version", "ubi 0")):
        constants = scored.book["constants"] | {name: value}
        dataclasses.replace(scored, book=scored.book | {"constants": constants}).save(tmp_path)
        again = rebuild(tmp_path, "p00007", book.periods, CATALOGUE, model)
        assert again.table_receipt != again.receipt_row["receipt"], name


@pytest.mark.parametrize("columns", [{}, {"policy_id": pl.lit(7)}, None])
def test_a_factor_table_that_is_none_is_told(book, model, scored, tmp_path, columns):
    scored.save(tmp_path)
    if columns is None:
        (tmp_path / "factors.parquet").write_bytes(b"PAR1 and no more")
    else:
        pl.DataFrame({"a": [1]}).with_columns(**columns).write_parquet(tmp_path / "factors.parquet")
    assert driver_of(tmp_path, "p00007") == ""
    with pytest.raises(PortfolioError, match=r"factors\.parquet"):
        rebuild(tmp_path, "p00007", book.periods, CATALOGUE, model)


@pytest.mark.parametrize("damage", [{"rating_date": "soon"}, {"constants": {}}, {"totals": None}])
def test_a_book_that_is_none_is_told(book, model, scored, tmp_path, damage):
    dataclasses.replace(scored, book=scored.book | damage).save(tmp_path)
    with pytest.raises(PortfolioError, match=r"book\.json: is no book of ubi pricing score"):
        rebuild(tmp_path, "p00007", book.periods, CATALOGUE, model)


def test_a_date_that_no_policy_covers_is_refused(book, model):
    with pytest.raises(ModelError, match="no policy covers the rating date 2031-01-01"):
        score(book, model, rating_date=date(2031, 1, 1))


def test_the_book_file_holds_nothing_personal(scored, book, tmp_path):
    scored.save(tmp_path)
    text = (tmp_path / "book.json").read_text()
    assert not any(driver in text for driver in book.drivers)
    assert json.loads(text)["totals"]["policies"] == len(book.drivers)


def test_a_price_from_claims_of_the_future_is_told(book, model, caplog):
    score(book, model, rating_date=date(2025, 6, 1))
    assert "trained on claims to 2026-01-01, after this rating date" in caplog.text


def test_labels_that_reach_beyond_the_known_claims_are_told(book, caplog):
    train(yearly(book.policies), book.claims, book.periods, CATALOGUE, PLAN, (date(2025, 2, 1),))
    assert "labels reach to 2026-02-01" in caplog.text


def test_claims_that_count_twice_are_told(book, caplog):
    policies = yearly(book.policies.head(3_000))
    train(policies, book.claims, book.periods, CATALOGUE, LENIENT, (RATING_DATE, date(2025, 12, 31)))
    assert "label windows overlap" in caplog.text
    caplog.clear()
    train(policies, book.claims, book.periods, CATALOGUE, LENIENT, (RATING_DATE, date(2026, 1, 1)))
    assert "label windows overlap" not in caplog.text


@pytest.fixture(scope="module")
def early_claims(book):
    """Claims of the year before the rating date, of drivers who claim again and again."""
    who = book.claims["policy_id"].unique().sort()[::3]
    return pl.DataFrame({"policy_id": who, "occurred_on": [date(2024, 12, 30)] * len(who)})


def test_own_claims_enter_before_the_band_and_are_seen_in_the_row(book, early_claims, tmp_path, caplog):
    credibility = dataclasses.replace(LENIENT.credibility, own_claims=True)
    tariff = dataclasses.replace(LENIENT.tariff, bonus_malus=False)
    plan = dataclasses.replace(LENIENT, credibility=credibility, tariff=tariff)
    policies = yearly(book.policies.with_columns(start=pl.lit(date(2024, 6, 1))))
    claims = pl.concat([book.claims.select("policy_id", "occurred_on"), early_claims])
    model = train(policies, claims, book.periods, CATALOGUE, plan, (RATING_DATE,))
    assert model.own_claims is not None
    assert model.own_claims.variance > 1
    scored = score(book, model, policies=policies, claims=early_claims)
    assert "claims are known to" not in caplog.text
    known = early_claims.with_columns(occurred_on=pl.lit(date(2024, 10, 1)))
    score(book, model, policies=policies, claims=known)
    assert "claims are known to 2024-10-01 only" in caplog.text
    table = scored.factors.with_columns(claimed=pl.col("policy_id").is_in(early_claims["policy_id"].implode()))
    by_claim = table.group_by("claimed").agg(pl.col("own_claims", "factor").mean()).sort("claimed")
    assert by_claim["own_claims"][0] < 1.0
    assert by_claim["own_claims"][1] > 1.5
    assert by_claim["factor"][1] > by_claim["factor"][0] + 0.1
    assert abs(scored.book["totals"]["balance_before_rounding"] - 1) <= 1e-9
    assert table["factor"].is_between(0.7, 1.3).all()
    model.save(tmp_path / "model")
    assert load_model(tmp_path / "model").own_claims == model.own_claims
    scored.save(tmp_path)
    again = rebuild(tmp_path, early_claims["policy_id"][0], book.periods, CATALOGUE, model)
    assert again.adjustments["own claims"] > 1
    assert again.receipt == again.table_receipt == again.published["receipt"]
    with pytest.raises(ModelError, match="give --claims FILE as well"):
        score(book, model, policies=policies)


def test_factors_from_tiers_are_the_same_within_a_tier_and_balance(book, model, tmp_path):
    plan = dataclasses.replace(model.plan, factor=dataclasses.replace(model.plan.factor, factor_from="tier"))
    stepped = dataclasses.replace(model, plan=plan)
    scored = score(book, stepped)
    rated = (
        scored.factors.filter("rateable").group_by("tier").agg(pl.col("factor").n_unique(), f=pl.col("factor").min())
    )
    assert rated["factor"].to_list() == [1] * len(model.tiers)
    assert rated.sort("tier")["f"].is_sorted()
    assert abs(scored.book["totals"]["balance_before_rounding"] - 1) <= 1e-9
    assert abs(scored.book["totals"]["balance_as_written"] - 1) <= 1e-6
    scored.save(tmp_path)
    again = rebuild(tmp_path, "p00042", book.periods, CATALOGUE, stepped)
    assert "step of the tier" in again.adjustments
    whole = scored.book["constants"]["base_factor"] * again.split.base[0] * again.split.effects[0].prod()
    assert whole * math.prod(again.adjustments.values()) == pytest.approx(again.factor, abs=5e-7)
    assert again.receipt == again.table_receipt == again.published["receipt"]
