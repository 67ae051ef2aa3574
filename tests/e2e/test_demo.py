"""`ubi demo`, small: from recorded trips to factors and report; safe to run again, harmless to what it did not make."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import polars as pl
import pytest

import ubi
from demo import LEARNED_DATE, MARK, RATING_DATE, TRIPS, start_clean
from features.contract.catalogue import load_catalogue
from features.contract.validate import doubts
from features.contract.window import rating_features

pytestmark = pytest.mark.timeout(400)
PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
SMALL = ["--drivers", "200", "--history", "2000"]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert ubi.main(["demo", "--out", str(folder), *SMALL]) == 0
    return folder


def test_every_recorded_trip_comes_through_and_device_and_batch_agree(out):
    trips = pl.read_parquet(out / "features" / "trips.parquet").filter(pl.col("recording").is_not_null())
    recordings = [path.name for path in TRIPS.glob("*.ubirec")]
    assert len(recordings) >= 20
    assert sorted(trips["recorded_file"]) == sorted(recordings)
    assert ubi.main(["features", "derive", "--lake", str(out / "lake")]) == 0


def test_the_book_is_balanced_within_the_band_and_told_with_reasons(out):
    factors = pl.read_parquet(out / "factors" / "factors.parquet")
    assert factors.filter("rateable").height >= 190
    assert factors["factor"].is_between(0.70, 1.30).all()
    weight = factors["tariff_expected_claims"]
    assert (weight * factors["factor"]).sum() == pytest.approx(weight.sum(), rel=2e-6)
    assert factors.filter("rateable")["receipt"].is_not_null().all()


def test_the_demo_drives_nobody_whom_its_own_checks_doubt(out):
    periods, catalogue = pl.read_parquet(out / "features" / "driver_periods.parquet"), load_catalogue()
    drivers = periods.select("driver_id").unique()
    for day in (LEARNED_DATE, RATING_DATE):
        rows = rating_features(periods, drivers.with_columns(rating_date=pl.lit(day)), 12, catalogue)
        assert [str(doubt) for doubt in doubts(rows, catalogue)] == []


@pytest.mark.parametrize("query", re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
def test_queries_of_the_page_about_tables_give_rows(out, query):
    connection = duckdb.connect(config={"file_search_path": str(out)})
    assert connection.sql(query).fetchall()


def test_the_documented_question_about_a_drivers_month_has_the_documented_answer(out, monkeypatch, capsys):
    asked = re.compile(r'```sh\nubi features sql --features features "\n(.*?)"\n```.*?```\n(.*?)```', re.DOTALL)
    found = asked.search(PAGE.read_text(encoding="utf-8"))
    monkeypatch.chdir(out)
    assert ubi.main(["features", "sql", "--features", "features", found[1]]) == 0
    assert capsys.readouterr().out == found[2]


def test_the_report_stands_alone_and_says_what_is_simulated(out):
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "simulated" in page.lower()
    assert not re.search(r"(src|href)=[\"']https?:", page)
    assert page.count("<svg") >= 6


def test_the_truth_is_kept_apart(out):
    inputs = pl.read_parquet(out / "policies.parquet").columns + pl.read_parquet(out / "claims.parquet").columns
    assert not [name for name in inputs if name.startswith("true_")]
    assert (out / "truth" / "drivers.parquet").exists()


def test_a_second_run_starts_clean(tmp_path):
    out = tmp_path / "out"
    start_clean(out)
    (out / "lake" / "sealed").mkdir(parents=True)
    (out / "report.html").write_text("of an earlier run")
    start_clean(out)
    assert [path.name for path in out.iterdir()] == [MARK]


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert ubi.main(["demo", "--out", str(tmp_path), *SMALL]) == 2
    assert "holds something that no demo made" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5"])
def test_a_count_that_is_none_is_refused(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        ubi.main(["demo", "--drivers", wrong])
    assert "not a whole number above 0" in capsys.readouterr().err
