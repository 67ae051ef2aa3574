from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import ubi
import what_if
from features.contract.catalogue import load_catalogue
from features.contract.tables import EVENTS, TRIPS
from features.periods import merge
from pricing.explain.counterfactual import _half_night
from pricing.explain.rerate import Case
from pricing.explain.tell import product
from pricing.model import load_model
from pricing.rebuild import rebuild
from pricing.score import score_book
from tests.pricing.book import RATING_DATE, trained

TRIP = min((Path(__file__).parent.parent / "replay_data" / "trips").glob("*.ubirec"))
POLICY = "p00007"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A rated book on disk: --factors, --features and --model."""
    folder, (book, model), catalogue = tmp_path_factory.mktemp("book"), trained(), load_catalogue()
    policies = book.policies.sort("policy_id")
    model.save(folder / "model")
    score_book(policies, book.periods, catalogue, model, RATING_DATE).save(folder / "factors")
    (folder / "features").mkdir()
    book.periods.write_parquet(folder / "features" / "driver_periods.parquet")
    TRIPS.to_frame().write_parquet(folder / "features" / "trips.parquet")
    EVENTS.to_frame().write_parquet(folder / "features" / "events.parquet")
    return folder


@pytest.fixture(scope="module")
def drive():
    return what_if.drive(TRIP)


@pytest.fixture(scope="module")
def case(folders):
    model, catalogue = load_model(folders / "model"), load_catalogue()
    periods = pl.read_parquet(folders / "features" / "driver_periods.parquet")
    return Case.of(rebuild(folders / "factors", POLICY, periods, catalogue, model), catalogue, model)


@pytest.fixture(scope="module")
def own(case, folders):
    return case.own(pl.read_parquet(folders / "features" / "driver_periods.parquet"))


def arguments(folders, *more):
    named = [word for name in ("factors", "features", "model") for word in (f"--{name}", str(folders / name))]
    return ["pricing", "explain", POLICY, *named, *more]


def test_the_trip_adds_its_kilometres_and_nothing_of_its_car(case, own, drive):
    change = what_if.with_drive(case, own, drive)
    assert change.before.factor == case.published["factor"]
    added = float(change.after.inputs.exposure_km[0] - change.before.inputs.exposure_km[0])
    assert added == pytest.approx(drive.km)
    assert drive.km > 1
    moved = what_if._moved(drive.trips, case.months[-1], case)
    assert moved.select("vin_hash", "odometer_start_m").null_count().row(0) == (moved.height,) * 2


def test_it_counts_in_the_month_it_is_moved_to_on_the_same_weekday(case, drive):
    for month in case.months:
        day = pl.from_epoch(what_if._moved(drive.trips, month, case)["start_ms"], time_unit="ms").dt
        assert day.date().dt.month_start().to_list() == [month] * drive.trips.height
        before = pl.from_epoch(drive.trips["start_ms"], time_unit="ms").dt.weekday()
        assert day.weekday().to_list() == before.to_list()


def test_once_a_month_counts_from_the_first_trip_on_and_moves_more(case, own, drive):
    """The driver's first trip is on 2 March: ten months of the window, and not one day more of them."""
    once, monthly = (what_if.with_drive(case, own, drive, monthly=many) for many in (False, True))
    assert (once.times, monthly.times) == (1, 10)
    km = [float(change.after.inputs.exposure_km[0] - once.before.inputs.exposure_km[0]) for change in (once, monthly)]
    assert km[1] == pytest.approx(10 * km[0])
    days = [float(rated.inputs.exposure_km[0]) / rated.value("km_per_day") for rated in (monthly.before, monthly.after)]
    assert days[1] == pytest.approx(days[0])


@pytest.mark.parametrize("last", [False, True])
def test_a_first_trip_at_the_end_of_the_window_puts_no_trip_beyond_it(case, own, drive, last):
    late = own.tail(1).with_columns(month=pl.lit(case.months[-1]), first_start_ms=pl.lit(1735603200000))  # 31 December
    change = what_if.with_drive(case, late, drive, monthly=last)
    assert change.times == 1
    assert float(change.after.inputs.exposure_km[0] - change.before.inputs.exposure_km[0]) == pytest.approx(drive.km)


def test_the_command_prints_the_change(folders, capsys):
    assert ubi.main(arguments(folders, "--with-trip", str(TRIP), "--monthly")) == 0
    out = capsys.readouterr().out
    assert "factor with, B held fixed" in out
    assert "driven once in each of 10 months" in out
    assert ubi.main(arguments(folders, "--with-trip", str(TRIP), "--lang", "zh")) == 0
    assert "计入观察期最后一个月" in capsys.readouterr().out


def test_explain_tells_reasons_history_and_changes(folders, capsys):
    assert ubi.main(arguments(folders)) == 0
    out = capsys.readouterr().out
    assert "2024-03" in out
    assert "0 trips stored in the window" in out
    assert "What would change it" in out
    assert ubi.main(arguments(folders, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    product = told["base"]
    for value in (*told["effects"].values(), *told["adjustments"].values()):
        product *= value
    base = json.loads((folders / "factors" / "book.json").read_text())["constants"]["base_factor"]
    assert product * base == pytest.approx(told["published"]["factor"], abs=5e-7)


def test_a_chinese_explanation_has_no_english_word(folders, capsys):
    for more in ([], ["--with-trip", str(TRIP)]):
        assert ubi.main(arguments(folders, "--lang", "zh", *more)) == 0
        out = capsys.readouterr().out
        assert set(re.findall(r"[A-Za-z]{2,}", out)) == set(), out


def test_a_feature_that_is_told_alike_says_why_its_effect_changed(case, own, drive):
    """Less driving by night changes what braking does, as the rating tables hold a pair of the two."""
    by_day = _half_night([dict(row) for row in own.iter_rows(named=True)])
    changed = what_if.Change(case.rate(own), case.rate(pl.DataFrame(by_day, schema=own.schema)), drive, 1)
    night, braking = (line for line in what_if.tell(changed, case).splitlines() if line.startswith("  x "))
    assert re.search(r"x \S+  (\S+) % of the distance at night .* -> (?!\1)", night)
    assert re.search(
        r"brakings per 100 km: unchanged; its effect also depends on \S+ % of the distance at night", braking
    )


def test_the_same_rates_over_more_distance_are_told_as_surer(case, own, drive):
    twice = merge([own, own.with_columns(pl.col("first_start_ms", "last_end_ms") + 1)])
    told = what_if.tell(what_if.Change(case.rate(own), case.rate(twice), drive, 1), case)
    assert re.search("brakings per 100 km: unchanged, and surer with more distance", told)
    assert not re.search(r"x \S+  (.*) -> \1$", told, re.MULTILINE)


def test_a_rate_of_too_little_driving_is_told_as_the_model_takes_it(folders):
    """It is shrunk to the book's, and has an effect: 'not known' would not say of what."""
    model, catalogue = load_model(folders / "model"), load_catalogue()
    periods = pl.read_parquet(folders / "features" / "driver_periods.parquet")
    rebuilt = rebuild(folders / "factors", POLICY, periods, catalogue, model)
    nothing = np.full_like(rebuilt.inputs.values, np.nan)
    told = product(replace(rebuilt, inputs=replace(rebuilt.inputs, values=nothing)), catalogue)
    assert "of little driving, drawn to the book's rate" in told
    assert "?" not in told
    told = product(replace(rebuilt, inputs=replace(rebuilt.inputs, values=nothing), matrix=nothing), catalogue)
    assert "(not known)" in told
    assert "of little driving, drawn to the book's rate" not in told


def test_a_driver_is_found_by_name_too(folders, capsys):
    words = arguments(folders)
    assert ubi.main([word if word != POLICY else "d00007" for word in words]) == 0
    assert f"policy {POLICY}, driver d00007" in capsys.readouterr().out


def test_what_cannot_be_driven_is_told(folders, capsys, tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("no recording")
    for more, status in ((["--with-trip", str(text)], 1), (["--monthly"], 2)):
        assert ubi.main(arguments(folders, *more)) == status
        errors = capsys.readouterr().err.splitlines()
        assert len([line for line in errors if line.startswith("ubi: error")]) == 1


def test_price_with_trip_is_the_same_question_in_one_call(folders, case, own, drive):
    change = what_if.price_with_trip(
        TRIP, POLICY, folders / "factors", folders / "features", folders / "model", monthly=True
    )
    assert change.after.factor == what_if.with_drive(case, own, drive, monthly=True).after.factor
    assert list(change.by_feature) == list(what_if.with_drive(case, own, drive, monthly=True).by_feature)
