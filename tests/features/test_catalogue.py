"""The catalogue is a list of definitions that can be computed, held to a direction, and told to a driver."""

from __future__ import annotations

import copy
import re
import tomllib
from importlib import resources
from pathlib import Path

import pytest

from device.contract.errors import ContractError
from features.catalogue_page import markdown
from features.contract.catalogue import TOUCHED, load_catalogue, parse_catalogue, terms
from features.contract.measures import MEASURES
from features.contract.periods import BINS

CATALOGUE = load_catalogue()
TABLE = tomllib.loads((resources.files("features.contract") / "catalogue.toml").read_text(encoding="utf-8"))
PAGE = Path(__file__).resolve().parents[2] / "docs" / "features.md"


def test_the_catalogue_is_wide_enough():
    assert len(CATALOGUE.features) >= 60
    assert len({feature.name for feature in CATALOGUE.features}) == len(CATALOGUE.features)


def test_the_page_is_what_the_catalogue_says():
    made = markdown(CATALOGUE)
    assert PAGE.read_text(encoding="utf-8") == made, "run: python -m features.catalogue_page > docs/features.md"


@pytest.mark.parametrize("feature", CATALOGUE.features, ids=lambda feature: feature.name)
def test_every_feature_can_be_told_in_both_languages(feature):
    for language, script in (("en", r"^[\x20-\x7e]+$"), ("zh", r"[\u4e00-\u9fff]")):
        told = feature.tell(0.25, language)
        assert re.search(script, told), told
        assert ("25" if feature.kind == "share" else "0.25") in told
        assert "{" not in told
        unknown = feature.tell(None, language)
        assert unknown == feature.tell(float("nan"), language)
        assert ("not known" if language == "en" else "无数据") in unknown


@pytest.mark.parametrize("feature", CATALOGUE.features, ids=lambda feature: feature.name)
def test_a_rate_is_a_count_per_100_km(feature):
    if feature.kind == "rate":
        assert feature.scale == 1e8
        assert feature.denominator.endswith("_mm")
        histograms = {MEASURES[name].histogram if name in MEASURES else name for name in terms(feature.numerator)}
        assert histograms <= TOUCHED
        assert feature.unit == "per 100 km"


def test_shares_are_told_in_per_cent_and_rates_as_they_are():
    features = {feature.name: feature for feature in load_catalogue().features}
    assert features["night_km_share"].tell(0.0875).startswith("8.75 % of the distance at night")
    assert features["harsh_braking_per_100km"].tell(0.5) == "0.5 harsh brakings per 100 km"


def test_told_numbers_have_three_digits_and_no_exponent():
    feature = CATALOGUE.features[0]
    told = [feature.tell(value).partition(" ")[0] for value in (0.0, 0.012345, 1.0, 3.14159, 27.96, 123456.7)]
    assert told == ["0", "0.0123", "1", "3.14", "28", "123457"]


def test_every_measure_is_used_and_weighs_bins_that_exist():
    used = " ".join(f"{f.numerator} {f.denominator}" for f in CATALOGUE.features)
    for name, measure in MEASURES.items():
        assert re.search(rf"\b{name}\b", used), name
        assert measure.weights.shape == (BINS[measure.histogram],)
        assert measure.weights.any(), name
        assert (measure.weights >= 0).all(), name


WRONG = [
    ("severe_braking_per_100km", {"monotone": False}, "has to be monotone"),
    ("severe_braking_per_100km", {"denominator": "moderate_brakings"}, "moves what it is divided by"),
    ("severe_braking_per_100km", {"plausible": [1, 0]}, "plausible has to be two rising numbers"),
    ("severe_braking_per_100km", {"grade": "gold"}, "grade has to be a row of"),
    ("night_km_share", {"direction": 0, "monotone": True}, "monotone needs a direction"),
    ("night_km_share", {"numerator": "moonlight_mm"}, "there is no measure moonlight_mm"),
    ("night_km_share", {"numerator": None}, "needs numerator and denominator"),
    ("night_km_share", {"kind": "ratio"}, "kind 'ratio' is none of rate, share, level"),
    ("night_km_share", {"direction": 2}, "direction has to be -1, 0 or 1"),
    ("night_km_share", {"reason_en": "at night"}, "have to tell"),
    ("night_km_share", {"colour": "blue"}, "unexpected keyword argument 'colour'"),
    ("braking_1pct_mps2", {"quantile": {"side": "left", "exceeded": 0.1}}, "side has to be one of braking"),
]


@pytest.mark.parametrize(("name", "change", "message"), WRONG)
def test_a_row_that_is_no_definition_is_refused_by_name(name, change, message):
    table = copy.deepcopy(TABLE)
    next(row for row in table["feature"] if row["name"] == name).update(change)
    with pytest.raises(ContractError, match=message) as caught:
        parse_catalogue(table)
    assert name in str(caught.value)


def test_a_feature_that_stands_twice_is_refused():
    table = copy.deepcopy(TABLE)
    table["feature"].append(table["feature"][0])
    with pytest.raises(ContractError, match="km_per_day stands twice"):
        parse_catalogue(table)


def test_what_is_divided_by_a_known_part_rests_on_it_and_what_tells_how_much_was_known_does_not():
    parts = {feature.name: [part.name for part in feature.parts] for feature in CATALOGUE.features}
    assert parts["moderate_braking_in_context"] == parts["braking_1pct_mps2"] == ["acceleration"]
    assert parts["harsh_turn_in_context"] == ["lateral acceleration"]
    assert parts["night_harsh_per_100km"] == ["acceleration", "local time"]
    assert parts["km_per_day"] == parts["accel_null_share"] == parts["limit_known_time_share"] == []
    known = {part.known for part in CATALOGUE.parts}
    for feature in CATALOGUE.features:
        whole = feature.quality or (feature.quantile is None and not known & {*terms(feature.denominator)})
        assert whole or feature.parts, feature.name


WRONG_PARTS = [
    ({"known": "seen_mm"}, "there is no measure seen_mm"),
    ({"denominators": ["va_s"]}, "there is no measure va_s"),
    ({"min_known_share": 0}, "min_known_share has to be above 0"),
    ({"min_known_share": 50}, "at most 1"),
    ({"known": "harsh_brakings"}, "a step of the order moves its share"),
    ({"colour": "blue"}, "unexpected keyword argument 'colour'"),
]


@pytest.mark.parametrize(("change", "message"), WRONG_PARTS)
def test_a_part_that_is_none_is_refused_by_name(change, message):
    table = copy.deepcopy(TABLE)
    table["part"][0].update(change)
    with pytest.raises(ContractError, match=message) as caught:
        parse_catalogue(table)
    assert "part acceleration of the catalogue" in str(caught.value)
