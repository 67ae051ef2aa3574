from __future__ import annotations

import dataclasses
from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.rules import KIND_NUMBERS
from device.contract.trip import LEVELS, excursion_key
from features.contract.catalogue import load_catalogue
from pricing.explain.counterfactual import HABITS, _changes, _fewer, _half_night, _half_speeding, counterfactuals
from pricing.explain.rerate import Case
from pricing.explain.tell import product
from pricing.rebuild import rebuild
from pricing.score import score_book
from pricing.tiers import Tiers
from tests.pricing.book import RATING_DATE, entries

CATALOGUE = load_catalogue()
BRAKING = KIND_NUMBERS["harsh_braking"]
HARSH, FIRM = (next(h for h in HABITS if h.kinds == ("harsh_braking",) and h.firm is firm) for firm in (False, True))


@pytest.fixture(scope="module")
def scored(book, model):
    return score_book(book.policies.sort("policy_id"), book.periods, CATALOGUE, model, RATING_DATE)


@pytest.fixture(scope="module")
def folder(scored, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    scored.save(out)
    return out


def case_of(policy, folder, book, model):
    case = Case.of(rebuild(folder, policy, book.periods, CATALOGUE, model), CATALOGUE, model)
    return case, case.own(book.periods)


def worst(scored, count=40):
    free = scored.factors.filter(~pl.col("capped"), pl.col("rateable")).sort("factor", descending=True)
    return free["policy_id"].to_list()[:count]


def test_unchanged_driving_gives_the_published_factor(scored, folder, book, model):
    for policy in (*worst(scored, 3), "p00000"):
        case, own = case_of(policy, folder, book, model)
        again = case.rate(own)
        assert (again.factor, again.rateable) == (case.published["factor"], case.published["rateable"])
        assert again.capped == case.published["capped"]


def test_who_brakes_very_much_is_asked_for_more(scored, folder, book, model):
    """Beyond the last point of a table a few brakings fewer change nothing."""
    _, own = case_of(worst(scored, 1)[0], folder, book, model)
    rows = own.to_dicts()
    for row in rows:
        row["event_counts"] = [{"key": BRAKING * LEVELS + 1, "value": 35 * row["accel_mm"] // 100_000_000 + 1}]
    texts = [en for ways in _changes(pl.DataFrame(rows, schema=own.schema)) for en, _, _ in ways]
    steps = [text for text in texts if text.endswith("fewer harsh brakings per 100 km")]
    assert [int(text.split()[0]) for text in steps] == [15, 20, 30]  # about half at first
    assert "no harsh braking at all" in texts


def test_fewer_brakings_lower_the_factor_of_who_brakes_much(scored, folder, book, model):
    told = []
    for policy in worst(scored, 10):
        case, own = case_of(policy, folder, book, model)
        found = counterfactuals(case, own)
        told += [one.en for one in found]
        for one in found:
            assert one.held or one.after.factor <= one.before.factor - 0.005
            assert one.tell() == f"{one.en}: {one.before.factor:.2f} to {one.after.factor:.2f}" or one.held
            assert one.tell("zh").startswith(("每100公里", "22:00", "超速", "完全没有", "以上各项"))
    assert any("fewer harsh brakings per 100 km" in text for text in told)


def test_what_the_cap_eats_is_not_promised(scored, folder, book, model):
    capped = scored.factors.filter("capped", pl.col("factor") > 1).sort("indicated_relativity", descending=True)
    case, own = case_of(capped["policy_id"][0], folder, book, model)
    for one in counterfactuals(case, own):
        if one.held:
            assert one.after.factor == one.before.factor
            assert "stays 1.30, by the band of the plan" in one.tell()
            assert f"({one.before.based:.2f} to {one.after.based:.2f} before band and limit)" in one.tell()
            assert one.after.based < one.before.based
            assert "（费率区间；限制之前 " in one.tell("zh")
        else:
            assert one.after.factor < one.before.factor


def test_doubts_about_a_driver_are_not_told_with_each_change(scored, folder, book, model, caplog):
    case, own = case_of(worst(scored, 1)[0], folder, book, model)
    odd = own.with_columns(pl.col("moving_ms") // 1_000)
    caplog.clear()
    assert counterfactuals(case, odd)
    assert not caplog.messages
    case.rate(odd)
    assert any("of the rows outside" in line for line in caplog.messages)


def test_where_the_tier_holds_the_factor_no_band_is_said_to(scored, folder, book, model):
    capped = scored.factors.filter("capped", pl.col("factor") > 1).sort("indicated_relativity", descending=True)
    case, own = case_of(capped["policy_id"][0], folder, book, model)
    plan = dataclasses.replace(model.plan, factor=dataclasses.replace(model.plan.factor, factor_from="tier"))
    one_tier = dataclasses.replace(model, plan=plan, tiers=Tiers((), (2.0,)))
    assert case.rate(own).capped
    assert counterfactuals(dataclasses.replace(case, model=one_tier), own) == []


def test_what_drives_the_price_of_one_habit_is_told_however_much_of_it_there_is(scored, folder, book, model):
    """Far beyond the last point of the table the steps of others change nothing."""
    case, own = case_of(worst(scored, 1)[0], folder, book, model)
    much = [[{"key": BRAKING * LEVELS + 2, "value": 300 * row["accel_mm"] // 100_000_000}] for row in own.to_dicts()]
    own = own.with_columns(event_counts=pl.Series(much, dtype=own.schema["event_counts"]))
    (told,) = [one for one in counterfactuals(case, own) if "harsh braking" in one.en]
    assert told.en == "no harsh braking at all"
    assert told.after.based < 0.8 * told.before.based


def test_all_changes_together_come_last_and_do_at_least_what_each_does(scored, folder, book, model):
    several = 0
    for policy in worst(scored, 10):
        case, own = case_of(policy, folder, book, model)
        *each, last = counterfactuals(case, own)
        assert (last.en == "all of these together") == bool(each)
        assert all(last.after.based <= one.after.based for one in each)
        several += bool(each)
    assert several


def test_the_renewal_limit_is_named_where_it_holds_the_factor(scored, folder, book, model):
    case, own = case_of(worst(scored)[0], folder, book, model)
    held = dataclasses.replace(case, receipt_row=case.receipt_row | {"previous_factor": 1.3})
    assert {one.held for one in counterfactuals(held, own)} <= {"limit", ""}
    previous = held.rate(own)
    assert previous.factor >= 1.3 * 0.85 - 1e-9


def test_each_value_is_told_beside_that_of_the_middle_of_the_book(scored, folder, book, model):
    rebuilt = rebuild(folder, worst(scored, 1)[0], book.periods, CATALOGUE, model)
    (night,) = [main for main in model.tables.mains if main.feature == "night_km_share"]
    middle = round(100 * night.middle, 2)
    assert 100 * book.night.min() < middle < 100 * book.night.max()
    (told,) = [line for line in product(rebuilt, CATALOGUE).splitlines() if "at night" in line]
    assert told.endswith(f" (middle of the book: {middle:.3g})")
    assert f"（参照保单的中位数：{middle:.3g}）" in product(rebuilt, CATALOGUE, "zh")


def test_too_little_driving_promises_nothing(folder, book, model):
    case, own = case_of("p00001", folder, book, model)
    assert counterfactuals(case, own.head(0)) == []
    assert counterfactuals(case, own.with_columns(trips=pl.lit(1, pl.Int64))) == []


def month(events, excursions, **more):
    row = {"event_counts": entries(events), "excursions": entries(excursions)}
    zero = dict.fromkeys(("speeding_ms", "over_130_ms", "limit_speedings", "limit_severe_speedings"), 0)
    return row | zero | {"distance_by_hour_mm": []} | more


COUNTS = st.dictionaries(st.integers(0, 2), st.integers(0, 30), max_size=3)


@given(months=st.lists(COUNTS, min_size=1, max_size=6), count=st.integers(0, 60))
def test_events_go_in_whole_numbers_and_in_proportion(months, count):
    rows = [month({BRAKING * LEVELS + level: n for level, n in counts.items()}, {}) for counts in months]
    had = sum(n for counts in months for n in counts.values())
    left = _fewer(rows, HARSH, count)
    now = [sum(entry["value"] for entry in row["event_counts"]) for row in left]
    assert had - sum(now) == min(count, had)
    for counts, after in zip(months, now, strict=True):
        fair = sum(counts.values()) * (1 - min(count, had) / had) if had else 0
        assert abs(after - fair) <= len(counts) + 1
    assert all(entry["value"] > 0 for row in left for entry in row["event_counts"])


def test_one_event_fewer_is_told_as_one(folder, book, model):
    _, own = case_of("p00001", folder, book, model)
    one = [[{"key": BRAKING * LEVELS + 1, "value": row["accel_mm"] // 100_000_000 + 1}] for row in own.to_dicts()]
    own = own.with_columns(event_counts=pl.Series(one, dtype=own.schema["event_counts"]))
    assert "1 fewer harsh braking per 100 km" in [en for ways in _changes(own) for en, _, _ in ways]


def test_a_swing_left_out_becomes_one_below_the_threshold():
    hard, mild = excursion_key(BRAKING, 450, 800, 600), excursion_key(BRAKING, 210, 800, 600)
    other = excursion_key(KIND_NUMBERS["harsh_acceleration"], 450, 800, 600)
    (row,) = _fewer([month({BRAKING * LEVELS + 2: 3}, {hard: 3, mild: 1, other: 5})], HARSH, 2)
    softer = excursion_key(BRAKING, 275, 800, 600)
    assert row["excursions"] == entries({hard: 1, mild: 1, softer: 2, other: 5})
    assert row["event_counts"] == entries({BRAKING * LEVELS + 2: 1})


def test_firm_swings_go_without_an_event():
    hard, firm = excursion_key(BRAKING, 450, 800, 600), excursion_key(BRAKING, 225, 800, 600)
    (row,) = _fewer([month({BRAKING * LEVELS + 2: 3}, {hard: 3, firm: 4})], FIRM, 3)
    assert row["excursions"] == entries({hard: 3, firm: 1, excursion_key(BRAKING, 175, 800, 600): 3})
    assert row["event_counts"] == entries({BRAKING * LEVELS + 2: 3})


def test_half_the_speeding_is_half_of_it():
    speeding = KIND_NUMBERS["speeding"] * LEVELS + 1
    told = {"speeding_ms": 7, "over_130_ms": 4, "limit_speedings": 5, "limit_severe_speedings": 2}
    (row,) = _half_speeding([month({speeding: 5}, {}, **told)])
    assert {name: row[name] for name in told} == dict(zip(told, (4, 2, 3, 1), strict=True))
    assert row["event_counts"] == entries({speeding: 3})


def test_night_moves_to_the_same_day_and_no_distance_is_lost():
    hours = {0: 10, 4: 7, 5: 3, 22: 9, 24 + 23: 5}
    (row,) = _half_night([month({}, {}, distance_by_hour_mm=entries(hours))])
    assert row["distance_by_hour_mm"] == entries({0: 5, 12: 5, 4: 4, 16: 3, 5: 3, 22: 5, 10: 4, 47: 3, 35: 2})


def test_the_window_is_the_months_before_the_rating_date(folder, book, model):
    case, own = case_of("p00001", folder, book, model)
    assert case.months[0] == date(2024, 1, 1)
    assert case.months[-1] == date(2024, 12, 1)
    assert own.height == 2
