from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from device.contract.trip import ACCEL_BINS, SPEED_BANDS, va_key
from features.contract.catalogue import load_catalogue
from pricing.diagnostics import diagnose
from pricing.errors import PortfolioError
from pricing.fit import fit_validated
from pricing.plan import load_plan
from pricing.ranking import held_out_ranking
from pricing.report import charts
from pricing.report.data import excluded
from pricing.report.make import Sources, make_pack, sections, va_matrix, write_report
from pricing.report.pack import Heatmap
from pricing.score import score_book
from pricing.summary import ends_and_middle, table, trained
from pricing.tariff import Tariff
from pricing.train import train
from tests.pricing.book import RATING_DATE, SmallBook
from tests.pricing.drivers import CATALOGUE, rating_rows

VOID = {"meta", "line", "rect", "circle", "path", "br"}
PLAN = load_plan()


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """A small book trained, scored and saved; names that would break a page unless escaped."""
    root = tmp_path_factory.mktemp("rated")
    book = SmallBook(2_500, seed=3)
    sex = pl.Series("sex", np.random.default_rng(2).choice(["<F>", "M"], book.policies.height))
    policies = book.policies.with_columns(sex, (pl.col("tariff_premium") / 3).alias("premium_per_year"))
    model = train(policies, book.claims, book.periods, load_catalogue(), PLAN, (RATING_DATE,))
    model.diagnostics["portfolio"] = [
        {"number": 1, "table": "policies", "rows": "end < start", "action": "set aside", "count": 3}
    ]
    model.save(root / "model")
    score_book(policies, book.periods, load_catalogue(), model, RATING_DATE).save(root / "out")
    return root, model, book, policies


@pytest.fixture(scope="module")
def pack(rated):
    root, model, book, policies = rated
    ranking = held_out_ranking(rating_rows(6_000), CATALOGUE, PLAN, truth="true_claims")
    sources = Sources(root / "model", root / "out", book.periods, policies, book.claims)
    return make_pack(
        sources, model, load_catalogue(), banner="SIMULATED <book>", ranking=ranking, commands=["ubi x > y"]
    )


@pytest.fixture(scope="module")
def page(pack, tmp_path_factory):
    return write_report(pack, tmp_path_factory.mktemp("report")).read_text(encoding="utf-8")


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.faults, self.links, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in {"src", "href", "srcset"}]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)


def test_the_page_is_whole_and_fetches_nothing(page, pack):
    tags = Tags()
    tags.feed(page)
    assert (tags.open, tags.faults) == ([], [])
    assert {link for link in tags.links if link.startswith("#")} == {f"#{key}" for key in tags.ids}
    assert all(link[0] == "#" or link in {f"tables/{name}.csv" for name in pack.tables} for link in tags.links)
    assert not re.search(r"https?://|@import|url\(|<script", page)
    assert "$" not in page
    assert not re.search(r'(>|=")-?(nan|inf|None|null)\b', page)


def test_the_page_says_what_is_simulated_and_escapes_names(page):
    assert "SIMULATED &lt;book&gt;" in page
    assert "&lt;F&gt;" in page
    assert "end &lt; start" in page
    assert "ubi x &gt; y" in page


def test_every_question_of_an_actuary_has_its_section(page, pack):
    keys = [section.key for section in sections(pack)]
    asked = "data excluded variables relativities validation stability challengers uncertainty"
    asked += " factors dislocation fairness drift certificate reproduce limits"
    for key in asked.split():
        assert key in keys
    assert "Against the simulated truth" in page
    assert f"b = {pack.model.calibration.b:.3f}" in page
    assert page.count("<figcaption>") >= 15
    assert "main effects as filed" in page


def test_every_table_is_written_beside_the_page(pack, tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "of_an_earlier_pack.csv").touch()
    write_report(pack, tmp_path)
    assert {file.stem for file in (tmp_path / "tables").iterdir()} == set(pack.tables)


def test_no_person_is_in_the_pack(page, pack, rated):
    people = set(rated[2].policies["driver_id"]) | set(rated[2].policies["policy_id"])
    assert not people & set(re.findall(r"[\w-]+", page))
    for frame in pack.tables.values():
        for column in frame.select(pl.col(pl.String)):
            assert not people & set(column)
        for name in ("drivers", "policies", "policies_capped", "policies_uncapped"):
            if name in frame.columns and name in {"policies_capped", "policies_uncapped"}:
                assert not frame[name].is_between(1, 19).any()


def test_a_pack_without_the_optional_files_says_how_to_get_them(rated):
    root, model, _, _ = rated
    bare = dataclasses.replace(model, diagnosis={})
    pack = make_pack(Sources(root / "model", root / "out"), bare, load_catalogue())
    told = " ".join(section.content for section in sections(pack))
    for hint in ("give --features", "train it again", "--challengers", "fairness.protected"):
        assert hint in told


@pytest.mark.parametrize("profile", ["discount_only", "china", "china_nev"])
def test_bands_and_limits_are_those_of_the_profile(rated, tmp_path, profile):
    root, model, book, policies = rated
    plan = dataclasses.replace(load_plan(profile), model=PLAN.model)
    other = dataclasses.replace(model, plan=plan)
    score_book(policies, book.periods, load_catalogue(), other, RATING_DATE).save(tmp_path)
    told = " ".join(
        section.content for section in sections(make_pack(Sources(root, tmp_path), other, load_catalogue()))
    )
    assert f"Band [{plan.factor.lower:g}, {plan.factor.upper:g}]" in told
    assert plan.profile.title in told
    assert ("load the base rate by" in told) == (profile == "discount_only")


@pytest.mark.parametrize(
    ("share", "told"), [(1.0, "Nothing of it fades"), (0.8, "At each rating 80 % of a kept discount stays")]
)
def test_the_page_tells_what_becomes_of_a_kept_discount(pack, share, told):
    plan = dataclasses.replace(PLAN, factor=dataclasses.replace(PLAN.factor, kept_discount_share=share))
    own = dataclasses.replace(pack, model=dataclasses.replace(pack.model, plan=plan))
    assert told in excluded(own).content


def test_factors_of_another_model_are_refused(rated):
    root, model, _, _ = rated
    other = dataclasses.replace(model, reference=(1.0,))
    with pytest.raises(PortfolioError, match="score it again"):
        make_pack(Sources(root / "model", root / "out"), other, load_catalogue())


def test_a_histogram_of_the_heatmap_becomes_its_table():
    cells = va_matrix(
        pl.Series([[{"key": va_key(400, 0), "value": 7}], [{"key": va_key(9_999, -999), "value": 5}], []])
    )
    assert cells.shape == (SPEED_BANDS, ACCEL_BINS)
    assert (cells[4, 30], cells[15, 0], cells.sum()) == (7, 5, 12)
    assert va_matrix(pl.Series([], dtype=pl.List(pl.Struct({"key": pl.Int32, "value": pl.Int64})))).sum() == 0
    assert "<svg" in charts.heatmap(
        Heatmap("none", np.zeros((SPEED_BANDS, ACCEL_BINS))).va_ms, (0, 1), (0, 1), ("", ""), ""
    )


@pytest.mark.parametrize(("n", "places"), [(0, 0), (1, 1), (2, 2), (3, 3), (9, 9), (100, 9)])
def test_ends_and_middle_show_nobody_twice(n, places):
    factors = pl.DataFrame(
        {
            "policy_id": [f"p{i}" for i in range(n)],
            "indicated_relativity": np.linspace(0.5, 2, n),
            "rateable": [True] * n,
        },
        schema={"policy_id": pl.String, "indicated_relativity": pl.Float64, "rateable": pl.Boolean},
    )
    chosen = ends_and_middle(factors)
    assert chosen.height == places
    assert chosen["policy_id"].is_unique().all()


def test_the_terminal_tables(rated):
    root, model, _, _ = rated
    assert "observed/expected" in trained(model)
    factors = pl.read_parquet(root / "out" / "factors.parquet")
    totals = {
        "policies": 30, "rateable": 30, "tariff_expected_claims": 1.5, "balanced": False, "claims_ratio": 1.0,
        "premium_ratio": None, "base_rate_load": 1.08, "capped": 0, "limited": 0,
    }  # fmt: skip
    told = table(factors.clear(), {"totals": totals, "constants": {"base_factor": 1.01}})
    assert "no driver has enough driving" in told
    assert "load the base rate by 1.080000" in told


@pytest.mark.parametrize(("low", "high"), [(0.69, 1.31), (0, 17), (0, 0.3), (-6.1, 6.1), (0.8, 1.2)])
def test_ticks_are_round_few_and_inside(low, high):
    found = charts.ticks(low, high)
    assert 3 <= len(found) <= 11
    assert low <= found[0]
    assert found[-1] <= high
    assert len({round(b - a, 9) for a, b in pairwise(found)}) == 1


def test_a_chart_of_nothing_but_zeros_is_a_chart():
    zeros = [charts.Series("claims", (0.0, 0.0))]
    for draw in (charts.by_name, charts.pairs):
        assert draw(["a", "b"], zeros, "month", "Claims by month").startswith("<svg")


def test_diagnostics_of_a_model_without_effect_still_make_a_page():
    rows = rating_rows(1_500).with_columns(claims=pl.Series(np.random.default_rng(5).poisson(0.15, 1_500)))
    fitted = fit_validated(rows, CATALOGUE, PLAN, Tariff("frequency", 1.0))
    tables = diagnose(fitted.validation, fitted.rows, fitted.model, CATALOGUE, PLAN)
    assert tables["accuracy"].height == 3
