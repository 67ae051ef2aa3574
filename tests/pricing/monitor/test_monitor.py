from __future__ import annotations

import json
from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

import ubi
from features.contract.catalogue import load_catalogue
from pricing.diagnostics.reference import reference, shift
from pricing.errors import PortfolioError
from pricing.monitor.cli import told
from pricing.monitor.experience import still_covered
from pricing.monitor.verdicts import judge_psi
from pricing.monitor.watch import monitor
from pricing.plan import load_plan
from pricing.score import score_book
from pricing.train import train
from tests.pricing.book import RATING_DATE, SmallBook

MONTH = date(2025, 3, 1)


class Priced:
    """A book that was priced, and its driving a year on: the same months again, so that nothing has moved."""

    def __init__(self) -> None:
        self.book = SmallBook(2_500, seed=3)
        self.catalogue, plan = load_catalogue(), load_plan()
        self.model = train(
            self.book.policies, self.book.claims, self.book.periods, self.catalogue, plan, (RATING_DATE,)
        )
        self.factors = score_book(
            self.book.policies, self.book.periods, self.catalogue, self.model, RATING_DATE
        ).factors
        self.periods = pl.concat([self.book.periods, a_year_on(self.book.periods)])

    def watch(self, periods=None, claims=None):
        periods, claims = (self.periods if periods is None else periods, self.book.claims if claims is None else claims)
        return monitor(self.model, self.factors, periods, claims, self.catalogue, MONTH)


def a_year_on(periods):
    start = int(datetime(2025, 3, 2, tzinfo=UTC).timestamp() * 1000)
    march = periods.filter(pl.col("month") == date(2024, 3, 1))
    return march.with_columns(month=pl.lit(MONTH), first_start_ms=pl.lit(start), last_end_ms=pl.lit(start + 86_400_000))


@pytest.fixture(scope="module")
def priced():
    return Priced()


def verdicts(found):
    return {check.check: check.verdict for check in found.checks}


def test_a_month_like_those_before_is_ok(priced):
    found = priced.watch()
    assert verdicts(found)["silent drivers"] == "ok"
    assert verdicts(found)["data quality"] == "ok"
    worst = found.drift.filter(pl.col("verdict") != "ok")["name"].to_list()
    assert set(worst) <= {
        "exposure_days",
        "km_per_day",
        "trips_per_week",
        "hours_per_week",
    }  # a later month of the year
    assert found.drift.filter(pl.col("name") == "relativity")["psi"][0] < 0.1
    assert found.tiers.filter(pl.col("span") == "since rating")["claims"][0] == (
        priced.book.claims.filter(pl.col("occurred_on") < date(2025, 4, 1)).height
        - outside(priced.book, date(2025, 4, 1))
    )


def outside(book, end):
    """Claims before `end` that no policy covers."""
    covered = book.claims.join(book.policies, on="policy_id").filter(
        pl.col("occurred_on").is_between("start", "end", closed="left") & (pl.col("occurred_on") < end)
    )
    return book.claims.filter(pl.col("occurred_on") < end).height - covered.height


def test_other_driving_is_drift_to_act_on(priced):
    harsher = pl.col("event_counts").list.eval(
        pl.struct(pl.element().struct.field("key"), (pl.element().struct.field("value") * 3).alias("value"))
    )
    found = priced.watch(priced.periods.with_columns(harsher))
    assert verdicts(found)["drift of features and score (PSI)"] == "act"
    moved = dict(found.drift.select("name", "verdict").iter_rows())
    assert moved["harsh_braking_per_100km"] == "act"
    assert found.verdict == "act"


def test_claims_of_the_good_tiers_that_double_are_seen(priced):
    worst = priced.factors["tier"].max()
    good = priced.factors.filter(pl.col("tier") < worst)["policy_id"].implode()
    more = priced.book.claims.filter(pl.col("policy_id").is_in(good))
    found = priced.watch(claims=pl.concat([priced.book.claims, *[more] * 3]))
    assert verdicts(found)["actual over expected by tier"] == "act"
    assert verdicts(found)["level of the book"] == "act"
    assert verdicts(found)["calibration slope"] in {"watch", "act"}


def test_half_of_the_trips_incomplete_is_a_matter_of_quality(priced):
    broken = pl.when(pl.col("month") == MONTH).then(pl.col("trips") // 2).otherwise(0).alias("incomplete_trips")
    found = priced.watch(priced.periods.with_columns(broken))
    off = found.quality.filter(pl.col("verdict") == "act")
    assert "incomplete_trip_share" in off["name"].to_list()
    assert "incomplete_trip_share" in told(found)


def test_drivers_who_fall_silent_are_counted(priced):
    found = priced.watch(priced.periods.filter((pl.col("month") != MONTH) | (pl.col("driver_id") < "d01000")))
    assert verdicts(found)["silent drivers"] == "act"


def test_nothing_after_the_month_is_read(priced):
    later = priced.periods.with_columns(month=pl.lit(date(2025, 5, 1)), incomplete_trips=pl.col("trips"))
    claims = priced.book.claims.filter(pl.col("occurred_on") < date(2025, 4, 1))
    assert told(priced.watch(pl.concat([priced.periods, later]))) == told(priced.watch(claims=claims))


def test_a_month_without_factors_is_refused(priced):
    with pytest.raises(PortfolioError, match="none is in force in 2031-01"):
        monitor(priced.model, priced.factors, priced.periods, priced.book.claims, priced.catalogue, date(2031, 1, 1))


def test_a_cancelled_policy_earns_to_its_last_day_and_no_driver_earns_what_another_drove():
    factors = pl.DataFrame(
        {
            "policy_id": ["a", "b", "gone", "handed on"],
            "driver_id": ["A", "B", "C", "D"],
            "period_end": [date(2026, 1, 1)] * 4,
        }
    )
    policies = pl.DataFrame(
        {
            "policy_id": ["a", "a", "b", "handed on", "handed on"],
            "driver_id": ["A", "A", "B", "D", "E"],
            "end": [date(2025, 3, 1), date(2025, 6, 1), None, date(2025, 4, 1), date(2026, 1, 1)],
        }
    )
    ends = still_covered(factors, policies).select("policy_id", "period_end").rows()
    assert ends == [("a", date(2025, 6, 1)), ("b", date(2026, 1, 1)), ("handed on", date(2025, 4, 1))]


def test_psi_of_the_same_shares_is_0_and_noise_is_what_chance_shows():
    rng = np.random.default_rng(1)
    frozen = reference({"x": rng.normal(size=20_000)})
    limits = load_plan().monitor
    values = [shift(frozen, {"x": rng.normal(size=500)}).row(0, named=True) for _ in range(100)]
    assert sum(row["psi"] > row["noise"] for row in values) <= 5  # of 100, 1 expected
    assert judge_psi(0.3, 0.4, limits) == "ok"
    assert [judge_psi(psi, 0.01, limits) for psi in (0.05, 0.15, 0.3)] == ["ok", "watch", "act"]
    moved = shift(frozen, {"x": rng.normal(size=500) + 1}).row(0, named=True)
    assert moved["psi"] > 0.25
    unknown = shift(frozen, {"x": np.full(500, np.nan)}).row(0, named=True)
    assert unknown["unknown_now"] == 1
    assert unknown["mean_now"] is None


def test_the_command_prints_verdicts_and_leaves_with_0(priced, tmp_path, capsys, caplog):
    (tmp_path / "features").mkdir()
    priced.periods.write_parquet(tmp_path / "features" / "driver_periods.parquet")
    priced.book.policies.write_csv(tmp_path / "policies.csv")
    priced.book.claims.write_csv(tmp_path / "claims.csv")
    priced.model.save(tmp_path / "model")
    score_book(priced.book.policies, priced.book.periods, priced.catalogue, priced.model, RATING_DATE).save(
        tmp_path / "out"
    )
    arguments = ["pricing", "monitor"]
    for name, file in (("model", "model"), ("factors", "out"), ("features", "features"), ("policies", "policies.csv"),
                       ("claims", "claims.csv")):  # fmt: skip
        arguments += [f"--{name}", str(tmp_path / file)]
    assert ubi.main([*arguments, "--month", "2025-03"]) == 0
    assert "calibration slope" in capsys.readouterr().out
    assert ubi.main([*arguments, "--month", "2025-03", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["month"] == "2025-03"
    assert {"verdict", "checks", "drift", "quality", "tiers"} <= found.keys()
    assert ubi.main([*arguments, "--month", "2031-03"]) == 1
    assert "none is in force in 2031-03" in capsys.readouterr().err
    assert "no claim of 2025-03" not in caplog.text
    priced.book.claims.filter(pl.col("occurred_on") < MONTH).write_csv(tmp_path / "claims.csv")
    assert ubi.main([*arguments, "--month", "2025-03"]) == 0
    assert "no claim of 2025-03 or later is known" in caplog.text
    with pytest.raises(SystemExit):
        ubi.main([*arguments, "--month", "March"])
