"""The filed tables alone make every factor: with the csv module and a pocket calculator's functions."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from bisect import bisect_left, bisect_right
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from features.contract.window import rating_features
from pricing.fit import fit
from pricing.matrix import read_inputs
from pricing.model import load_model
from pricing.plan import load_plan
from pricing.tables import Main, read_tables
from pricing.tariff import Tariff
from tests.pricing.book import RATING_DATE
from tests.pricing.drivers import CATALOGUE as SMALL
from tests.pricing.drivers import rating_rows
from tests.pricing.test_score import CATALOGUE, book, model, scored  # noqa: F401 - fixtures

UNKNOWN = "not known"


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def find_bin(ends, value):
    return len(ends) + 1 if value is None else bisect_left(ends, value)


def weights(rows, value):
    """Row of each bin that a value counts to, with its share: docs/model.md, "The filed form"."""
    points = [float(row["point"]) for row in rows if row["point"] != ""]
    if value is None or not points:
        return {find_bin(ends_of(rows, "up_to"), value): 1.0}
    k = bisect_right(points, value) - 1
    if k < 0 or k == len(points) - 1:
        return {max(k, 0): 1.0}
    share = round((value - points[k]) / (points[k + 1] - points[k]) * 500) / 500
    return {k: 1 - share, k + 1: share}


def ends_of(rows, column):
    return sorted({float(row[column]) for row in rows if row[column] not in ("", UNKNOWN)})


def pair_bin(ends, row):
    """Bin of a pair that a bin of one of its features lies in."""
    up_to = {"": math.inf, UNKNOWN: None}
    return find_bin(ends, up_to[row["up_to"]] if row["up_to"] in up_to else float(row["up_to"]))


class FiledTables:
    """Main effects and pairs of one part of the relativity, as two CSV files tell them."""

    def __init__(self, folder, prefix):
        mains, pairs = read_csv(folder / f"{prefix}main_effects.csv"), read_csv(folder / f"{prefix}pair_effects.csv")
        self.intercept = int(mains[0]["effect_1e12"])
        self.mains, self.pairs = {}, {}
        for row in mains[1:]:
            self.mains.setdefault(row["feature"], []).append(row)
        for row in pairs:
            self.pairs.setdefault((row["feature_1"], row["feature_2"]), []).append(row)

    def score(self, driver):
        total, place = self.intercept, {}
        for name, rows in self.mains.items():
            place[name] = [(rows[k], share) for k, share in weights(rows, driver[name]).items()]
            total += sum(share * int(row["effect_1e12"]) for row, share in place[name])
        for (first, second), rows in self.pairs.items():
            a, b = ends_of(rows, "up_to_1"), ends_of(rows, "up_to_2")
            for own, share in place[first]:
                for other, of_other in place[second]:
                    at = pair_bin(a, own) * (len(b) + 2) + pair_bin(b, other)
                    total += share * of_other * int(rows[at]["effect_1e12"])
        return total * 1e-12


class Filed:
    """What a regulator holds: CSV files and the manifest."""

    def __init__(self, folder):
        self.constants = json.loads((folder / "manifest.json").read_text())
        self.tables = {
            name: FiledTables(folder, "" if name == "frequency" else f"{name}_")
            for name in self.constants["components"]
        }

    def features(self, row):
        """The driver's features with event rates shrunk."""
        driver = {name: row[name] for name in self.tables["frequency"].mains}
        for name, prior in self.constants["rate_priors"].items():
            count, over = row[f"{name}__n"], (row[f"{name}__km"] or 0) / 100
            known = count is not None and over > 0
            driver[name] = (count + prior["a"]) / (over + prior["b"]) if known else None
        return driver

    def relativity(self, row):
        driver, km, log_relativity = self.features(row), row["exposure_km"], 0.0
        for name, part in self.constants["components"].items():
            c = part["calibration"]
            z = km / (km + c["kappa_km"]) if km else 0.0
            log_relativity += c["b"] * z * (self.tables[name].score(driver) - part["s_bar"])
        return math.exp(log_relativity)

    def factor(self, row, base):
        plan = self.constants["plan"]["factor"]
        return round(min(max(base * self.relativity(row), plan["lower"]), plan["upper"]), 6)


def test_the_tables_alone_reproduce_every_factor(book, model, scored, tmp_path):  # noqa: F811
    model.save(tmp_path)
    filed = Filed(tmp_path)
    rateable = scored.factors.filter("rateable")
    keys = rateable.select("driver_id", rating_date=pl.lit(RATING_DATE))
    rows = rating_features(book.periods, keys, 12, CATALOGUE).head(400)
    assert len(filed.tables["frequency"].pairs) > 1
    assert any(row["point"] for rows in filed.tables["frequency"].mains.values() for row in rows)
    base = scored.book["constants"]["base_factor"]
    found = [filed.factor(row, base) for row in rows.iter_rows(named=True)]
    assert found == pytest.approx(rateable["factor"].head(400).to_list(), abs=1e-9)
    assert np.ptp(found) > 0.3


def test_tables_of_steps_are_filed_as_well_and_jump_where_lines_run(tmp_path):
    small = dataclasses.replace(load_plan().model, rounds=(0, 60), folds=2, learning_rate=0.2)
    rows, log_r = rating_rows(6_000), {}
    inputs = read_inputs(rows.head(300), SMALL)
    for between in ("step", "line"):
        plan = dataclasses.replace(load_plan(), model=dataclasses.replace(small, between=between))
        one = fit(rows, SMALL, plan, Tariff("frequency", 1.0))
        one.save(tmp_path / between)
        again = load_model(tmp_path / between)
        assert again == one
        assert any(len(main.points) for main in again.tables.mains) == (between == "line")
        log_r[between] = np.log(again.rate(inputs).relativity)
        filed = Filed(tmp_path / between)
        by_hand = [filed.relativity(row) for row in rows.head(300).iter_rows(named=True)]
        assert np.log(by_hand) == pytest.approx(log_r[between], abs=1e-9)
    assert np.corrcoef(*log_r.values())[0, 1] > 0.95
    assert len(np.unique(log_r["line"].round(9))) > len(np.unique(log_r["step"].round(9)))


def test_scoring_does_not_touch_the_trees(model, tmp_path, monkeypatch):  # noqa: F811
    model.save(tmp_path)
    again = load_model(tmp_path)
    monkeypatch.setattr("pricing.boosting.Boosted.score", None)
    x = np.full((1, len(again.tables.features)), 0.5)
    assert again.tables.score(x).tolist() == model.tables.score(x).tolist()


def test_the_worked_example_of_the_page_is_what_the_tables_say(tmp_path):
    page = Path("docs/model.md").read_text(encoding="utf-8")
    for name, first in (("main_effects.csv", "    feature,bin,"), ("pair_effects.csv", "    feature_1,")):
        block = page[page.index(first) :].split("\n\n")[0]
        (tmp_path / name).write_text("".join(line[4:] + "\n" for line in block.splitlines()))
    tables = read_tables({file.name: file.read_text() for file in tmp_path.iterdir()})
    assert tables.files() == {file.name: file.read_text() for file in tmp_path.iterdir()}
    score = tables.score(np.array([[4.34, 0.072]]))[0]
    assert score == pytest.approx(FiledTables(tmp_path, "").score({"harsh": 4.34, "night": 0.072}), abs=1e-15)
    assert f"**{score:.4f}**" in page
    assert f"= {math.exp(1.1 * score):.4f}." in page


def test_the_middle_is_where_half_of_the_known_claims_lie_below():
    share, points = np.array([0.2, 0.2, 0.2, 0.2, 0.2]), np.array([1.0, 2.0, 6.0, 7.0])
    main = Main("a", np.array([1.5, 4.0, 6.5]), np.zeros(5, np.int64), share, points)
    assert main.middle == pytest.approx(4.0)
    assert dataclasses.replace(main, share=np.array([0.7, 0.1, 0.1, 0.05, 0.05])).middle == pytest.approx(1.3125)
    assert dataclasses.replace(main, points=np.empty(0)).middle is None
    assert dataclasses.replace(main, share=np.array([0.0, 0.0, 0.0, 0.0, 1.0])).middle is None
