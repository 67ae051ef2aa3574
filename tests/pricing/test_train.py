from __future__ import annotations

import dataclasses
from datetime import date

import polars as pl
import pytest

from features.contract.catalogue import load_catalogue
from pricing.errors import ModelError
from pricing.model import changed_files, load_model
from pricing.plan import load_plan
from pricing.train import rating_rows, train
from tests.pricing.book import SmallBook
from tests.pricing.test_score import yearly

DEFAULT = load_plan()
CATALOGUE = load_catalogue()
PLAN = dataclasses.replace(
    DEFAULT,
    model=dataclasses.replace(DEFAULT.model, learning_rate=0.1, rounds=(0, 40, 80), folds=3),
    credibility=dataclasses.replace(DEFAULT.credibility, accept_miscalibrated=True),
)
QUARTERLY = dataclasses.replace(PLAN, window=dataclasses.replace(PLAN.window, label_months=3))
QUARTERS = (date(2025, 1, 1), date(2025, 4, 1), date(2025, 7, 1))


@pytest.fixture(scope="module")
def book():
    return SmallBook(2_500)


@pytest.fixture(scope="module")
def trained(book):
    return model_of(book)


def model_of(book, plan=PLAN, dates=(), **more):
    return train(yearly(book.policies), book.claims, book.periods, CATALOGUE, plan, dates, **more)


def test_one_rating_date_is_tested_forward_on_the_second_half_of_its_label_window(trained):
    row = trained.diagnosis["forward"].row(0, named=True)
    assert "first half" in row["how"]
    assert row["claims_learned"] + row["claims_foretold"] == trained.diagnostics["claims"]
    assert row["gini_telematics"] > row["gini_tariff"]


def test_several_rating_dates_are_tested_on_the_last(book):
    model = model_of(book, QUARTERLY, QUARTERS)
    (how,) = model.diagnosis["forward"]["how"]
    assert how == "learned from the rating dates 2025-01-01, 2025-04-01, foretold 2025-07-01"


def test_overlapping_label_windows_are_not_tested_forward(book):
    overlapping = (date(2025, 1, 1), date(2025, 2, 1))
    assert "forward" not in model_of(book, QUARTERLY, overlapping).diagnosis


def test_challengers_are_told_beside_the_same_model(book, trained, monkeypatch):
    monkeypatch.setattr("pricing.train.diagnose", lambda *_, **__: {})  # its own challengers take long
    asked = model_of(book, challengers=True)
    assert asked.model_id == trained.model_id
    assert {"forms", "directions", "tweedie"} <= asked.diagnosis.keys() - trained.diagnosis.keys()


def test_tables_of_the_filing_pack_stand_beside_the_model_and_price_nothing(trained, tmp_path):
    trained.save(tmp_path)
    again = load_model(tmp_path)
    assert again.diagnosis.keys() == trained.diagnosis.keys()
    assert again.diagnosis["forward"].equals(trained.diagnosis["forward"])
    table = tmp_path / "diagnostics" / "forward.csv"
    table.unlink()
    assert load_model(tmp_path).model_id == trained.model_id
    table.write_text("changed")
    assert changed_files(tmp_path) == ["diagnostics/forward.csv"]
    with pytest.raises(ModelError, match=r"forward\.csv was changed after training"):
        load_model(tmp_path)


def test_no_table_of_the_filing_pack_names_a_driver(book, trained):
    told = "\n".join(table.write_csv() for table in trained.diagnosis.values())
    assert not any(driver in told for driver in book.drivers)


def test_a_model_that_is_trained_into_the_folder_of_another_leaves_none_of_its_tables(trained, tmp_path):
    trained.save(tmp_path)
    (tmp_path / "diagnostics" / "old.csv").write_text("a\n1\n")
    trained.save(tmp_path)
    assert not (tmp_path / "diagnostics" / "old.csv").exists()


def test_rating_rows_hold_what_claims_cost_and_what_the_tariff_expects_of_one(book):
    policies, dates = yearly(book.policies), (date(2025, 1, 1),)
    rows, _ = rating_rows(policies, book.claims, book.periods, CATALOGUE, PLAN, dates)
    assert rows["paid_claims"].sum() <= rows["claims"].sum()
    inside = book.claims.join(policies, on="policy_id").filter(
        (pl.col("occurred_on") >= dates[0]) & (pl.col("occurred_on") < pl.col("end"))
    )
    assert rows["claim_amount"].sum() == pytest.approx(inside["amount"].sum(), rel=1e-9)
    # the premium is 3,000 a claim, whatever the policy
    assert rows["tariff_severity"].std() / rows["tariff_severity"].mean() < 1e-9
    without, _ = rating_rows(policies, book.claims.drop("amount"), book.periods, CATALOGUE, PLAN, dates)
    assert "claim_amount" not in without.columns
