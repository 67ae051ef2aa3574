from __future__ import annotations

import dataclasses
import tomllib

import pytest

from pricing.errors import PlanError
from pricing.plan import FOLDER, from_dict, load_plan

PROFILES = sorted(file.stem for file in FOLDER.glob("*.toml"))


def written(tmp_path, text):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return str(file)


def test_the_profiles_have_the_bands_of_the_design():
    bands = {name: (load_plan(name).factor.lower, load_plan(name).factor.upper) for name in PROFILES}
    assert bands == {
        "china": (0.5, 1.5),
        "china_nev": (0.55, 1.45),
        "default": (0.7, 1.3),
        "discount_only": (0.7, 1.0),
    }
    assert load_plan("discount_only").factor.balance == "none"


def test_every_profile_has_a_version_of_its_own():
    assert len({load_plan(name).plan_version for name in PROFILES}) == len(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_a_plan_survives_its_json_form(name):
    plan = load_plan(name)
    assert from_dict(plan.to_dict(), "json") == plan


def test_the_hash_follows_the_parameters_not_the_file(tmp_path):
    same = load_plan(written(tmp_path, 'plan_version = "default-3" # a comment\nbase = "default"\n'))
    other = load_plan(written(tmp_path, 'plan_version = "default-3"\nbase = "default"\n[factor]\nupper = 1.4\n'))
    assert same.content_hash() == load_plan().content_hash()
    assert other.content_hash() != load_plan().content_hash()


def test_a_key_that_came_later_changes_no_hash_until_it_is_used():
    plan = load_plan()
    content = plan.to_dict()
    del content["factor"]["kept_discount_share"], content["rateable"]["min_seen_share"], content["customers"]
    assert from_dict(content, "json").content_hash() == plan.content_hash()
    used = dataclasses.replace(plan, factor=dataclasses.replace(plan.factor, kept_discount_share=0.5))
    assert used.content_hash() != plan.content_hash()


def test_a_plan_of_before_tables_had_lines_has_them():
    content = load_plan().to_dict()
    del content["model"]["between"]
    assert from_dict(content, "json") == load_plan()
    content["model"]["between"] = "step"
    assert from_dict(content, "json").model.between == "step"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[factor]\nuper = 1.4\n", "factor.uper is not a key of the plan; did you mean factor.upper?"),
        ("colour = 1\n", "colour is not a key of the plan"),
        ("[factor]\nupper = '1.4'\n", "factor.upper = '1.4' has to be of type float"),
        ("[model]\nfolds = true\n", "model.folds = True has to be of type int"),
        ("[model]\nrounds = 5\n", "model.rounds = 5 has to be a list"),
        ("factor = 3\n", "factor has to be a table [factor]"),
        ("[factor]\nupper = 0.9\n", "factor: 0 < lower <= 1 <= upper"),
        ("[factor]\nupper = nan\n", "factor.upper = nan has to be a finite number"),
        ("[factor]\nupper = inf\n", "factor.upper = inf has to be a finite number"),
        ("[credibility]\nkappa_km = [0.0, nan]\n", "credibility.kappa_km = nan has to be a finite number"),
        ("[model]\nleaves = 8\n", "a tree has at most two features"),
        ("[model]\nbetween = 'spline'\n", "model.between has to be line or step"),
        ("[model]\nrounds = [0, 50, 20]\n", "model.rounds have to rise from 0"),
        ("[factor]\nbalance = 'both'\n", "factor.balance has to be"),
        ("[factor]\nfactor_from = 'tiers'\n", "factor.factor_from has to be factor or tier"),
        ("[factor]\nkept_discount_share = 1.2\n", "factor.kept_discount_share has to be in [0, 1]"),
        ("[credibility]\nown_claims = true\n", "needs tariff.bonus_malus = false"),
        ("[model.search]\nleaves = [3, 4]\n", "a tree has at most two features"),
        (
            "[model.search]\nl3 = [1.0]\n",
            "model.search.l3 is not a key of the plan; the keys are learning_rate, leaves",
        ),
        ("[model]\nlarge_claim_cap = -1\n", "model.large_claim_cap has to be at least 0"),
        ("[customers]\nstars = [1.0, 2.0, 3.0, 4.0, 5.0]\n", "customers.stars has to fall"),
        ("[customers]\nretention = []\n", "customers.retention has to hold"),
        ("[monitor]\npsi_act = 0.05\n", "monitor: 0 < psi_watch < psi_act"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(tmp_path, text, message):
    top = 'base = "default"\nplan_version = "x"\n'
    with pytest.raises(PlanError) as error:
        load_plan(written(tmp_path, top + text))
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "mine.toml"))
    assert error.value.exit_code == 2


def keys(content, prefix=""):
    for name, value in content.items():
        yield from keys(value, f"{prefix}{name}.") if isinstance(value, dict) else (prefix + name,)


def test_the_default_plan_shows_every_key_there_is():
    shown = tomllib.loads((FOLDER / "default.toml").read_text())
    assert set(keys(shown)) == set(keys(load_plan().to_dict()))


def test_a_plan_of_before_a_key_came_still_loads():
    content = load_plan().to_dict()
    for later in ("customers", "monitor", "profile"):
        del content[later]
    for later in ("severity", "large_claim_cap", "search"):
        del content["model"][later]
    del content["factor"]["factor_from"], content["credibility"]["own_claims"], content["tariff"]["bonus_malus"]
    again = from_dict(content, "json")
    assert again.factor == load_plan().factor
    assert again.model == load_plan().model


def test_a_nested_table_changes_only_the_keys_it_names(tmp_path):
    plan = load_plan(written(tmp_path, 'base = "default"\nplan_version = "x"\n[model.search]\nl2 = [1.0, 100.0]\n'))
    assert plan.model.search.l2 == (1.0, 100.0)
    assert plan.model.folds == load_plan().model.folds


def test_a_variant_needs_a_version_of_its_own(tmp_path):
    with pytest.raises(PlanError, match="plan_version is missing"):
        load_plan(written(tmp_path, 'base = "default"\n[factor]\nupper = 1.4\n'))


@pytest.mark.parametrize(
    ("text", "message"),
    [("= 3", "not TOML"), ('base = "nowhere"', "is not the name of a profile"), ("", "plan_version is missing")],
)
def test_a_file_that_is_no_plan(tmp_path, text, message):
    with pytest.raises(PlanError, match=message):
        load_plan(written(tmp_path, text))


def test_an_unknown_profile_lists_the_known_ones():
    with pytest.raises(PlanError, match="china, china_nev, default, discount_only"):
        load_plan("chine")
