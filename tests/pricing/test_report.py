from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from device.contract.trip import ACCEL_BINS, SPEED_BANDS, va_key
from pricing import svg
from pricing.contract.factors import FACTORS
from pricing.fit import fit
from pricing.plan import load_plan
from pricing.ranking import held_out_ranking
from pricing.report import Heatmap, Report, render, va_matrix
from pricing.summary import ends_and_middle, table, trained
from pricing.tariff import Tariff
from tests.pricing.drivers import CATALOGUE, rating_rows

VOID = {"meta", "line", "rect", "circle", "path", "br"}


@pytest.fixture(scope="module")
def model():
    return fit(rating_rows(6_000), CATALOGUE, load_plan(), Tariff("frequency", 1.0))


def factors(n):
    columns = {
        "policy_id": [f"p<{i}>" for i in range(n)],
        "driver_id": [f"d{i}" for i in range(n)],
        "factor": np.linspace(0.7, 1.3, n),
        "indicated_relativity": np.linspace(0.5, 2.0, n),
        "score": np.linspace(100, 0, n),
        "exposure_km": np.full(n, 9_000.0),
        "rateable": [True] * n,
        "capped": [False] * n,
        "limited": [False] * n,
        "reason_1": ["12 <harsh> & sudden brakings"] * n,
        "effect_1": [1.25] * n,
    }
    return pl.DataFrame(columns, schema_overrides=FACTORS).with_columns(
        pl.lit(None, dtype=kind).alias(name) for name, kind in FACTORS.items() if name not in columns
    )


def book(**changed):
    totals = {
        "policies": 30,
        "rateable": 30,
        "tariff_expected_claims": 1.5,
        "balanced": True,
        "claims_ratio": 1.0,
        "premium_ratio": None,
        "base_rate_load": 1.0,
        "capped": 0,
        "limited": 0,
    } | changed
    constants = {"plan_version": "default-1", "model_id": "abc", "code_version": "ubi 0", "base_factor": 1.01}
    return {"rating_date": "2026-01-01", "constants": constants, "totals": totals}


@pytest.fixture(scope="module")
def page(model):
    ranking = held_out_ranking(rating_rows(6_000), CATALOGUE, load_plan(), truth="true_claims")
    cells = np.zeros((SPEED_BANDS, ACCEL_BINS))
    cells[3, 30], cells[3, 20] = 9e6, 500
    maps = [Heatmap("Calm driver <1>", cells), Heatmap("Harsh driver", np.zeros_like(cells))]
    return render(Report("Factors", "SIMULATED <book>", factors(30), book(), model, ranking, maps))


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.faults, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in {"src", "href", "srcset"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def test_the_page_is_whole_and_fetches_nothing(page):
    tags = Tags()
    tags.feed(page)
    assert (tags.open, tags.faults, tags.links) == ([], [], [])
    assert not re.search(r"https?://|@import|url\(|<script", page)
    assert "$" not in page
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|[a-z]+nan", "", page.lower())


def test_the_page_says_what_is_simulated_and_escapes_names(page):
    assert "SIMULATED &lt;book&gt;" in page
    assert "p&lt;0&gt;" in page
    assert "12 &lt;harsh&gt; &amp; sudden brakings" in page
    assert "Calm driver &lt;1&gt;" in page


def test_the_page_shows_truth_slope_lift_and_heatmaps(page, model):
    assert "the truth" in page
    assert f"b = {model.calibration.b:.3f}" in page
    assert page.count("<svg") == 6
    assert page.count("class='best'") == page.count("class='worst'") == 3


def test_without_ranking_and_heatmaps_the_page_stands_too(model):
    plain = render(Report("Factors", "", factors(2), book(premium_ratio=0.99), model))
    assert "the truth" not in plain
    assert 'class="banner"' not in plain
    assert "0.9900" in plain
    assert '<section class="wide" hidden>' in plain


def test_a_histogram_of_the_heatmap_becomes_its_table():
    cells = va_matrix([{"key": va_key(400, 0), "value": 7}, {"key": va_key(9_999, -999), "value": 5}])
    assert cells.shape == (SPEED_BANDS, ACCEL_BINS)
    assert (cells[4, 30], cells[15, 0], cells.sum()) == (7, 5, 12)


@pytest.mark.parametrize(("n", "places"), [(0, 0), (1, 1), (2, 2), (3, 3), (9, 9), (100, 9)])
def test_ends_and_middle_show_nobody_twice(n, places):
    chosen = ends_and_middle(factors(n))
    assert chosen.height == places
    assert chosen["policy_id"].is_unique().all()


def test_the_terminal_tables(model):
    assert "observed/expected" in trained(model)
    told = table(factors(30), book())
    assert "12 <harsh> & sudden brakings" in told
    assert "with factors over without: 1.0000000" in told
    assert "no driver has enough driving" in table(factors(0), book())
    assert "load the base rate by 1.080000" in table(factors(0), book(balanced=False, base_rate_load=1.08))


@pytest.mark.parametrize(("low", "high"), [(0.69, 1.31), (0, 17), (0, 0.3), (-6.1, 6.1), (0.8, 1.2)])
def test_ticks_are_round_few_and_inside(low, high):
    found = svg.ticks(low, high)
    assert 3 <= len(found) <= 11
    assert low <= found[0]
    assert found[-1] <= high
    assert len({round(b - a, 9) for a, b in pairwise(found)}) == 1
