from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pricing.crossfit import Form, choose, fold_of, settings_of
from pricing.fit import fit_validated
from pricing.plan import SearchPlan, load_plan
from pricing.sample import Sample
from pricing.tariff import Tariff
from tests.pricing.drivers import CATALOGUE, rating_rows

DEFAULT = load_plan()
MODEL = dataclasses.replace(DEFAULT.model, learning_rate=0.1, rounds=(0, 30, 60), folds=3)
SEARCHED = dataclasses.replace(MODEL, search=SearchPlan(learning_rate=(0.1, 0.9), l2=(1.0, 10.0)))


@pytest.fixture(scope="module")
def rows():
    return rating_rows(5_000)


def chosen(rows, model):
    sample = Sample.of(rows, CATALOGUE)
    fold = fold_of(tuple(rows["driver_id"].to_list()), model.folds, model.seed)
    return choose(sample, sample.frequency(), fold, model, Form(sample.inputs.directions))


def test_every_declared_setting_is_tried_and_told(rows):
    found = chosen(rows, SEARCHED)
    assert [(t["learning_rate"], t["l2"]) for t in found.tried] == [(0.1, 1.0), (0.1, 10.0), (0.9, 1.0), (0.9, 10.0)]
    assert found.deviance == min(t["deviance"] for t in found.tried)
    best = next(t for t in found.tried if t["deviance"] == found.deviance)
    assert (found.settings.learning_rate, found.settings.l2, found.rounds) == (
        best["learning_rate"],
        best["l2"],
        best["rounds"],
    )
    assert found.settings.leaves == MODEL.leaves


def test_without_a_search_the_models_own_settings_are_the_only_ones(rows):
    assert settings_of(MODEL) == [MODEL]
    assert len(chosen(rows, MODEL).tried) == 1


def test_what_was_tried_stands_in_the_manifest(rows):
    plan = dataclasses.replace(
        DEFAULT,
        model=SEARCHED,
        credibility=dataclasses.replace(DEFAULT.credibility, accept_miscalibrated=True),
    )
    model = fit_validated(rows, CATALOGUE, plan, Tariff("frequency", 1.0)).model
    assert len(model.manifest()["diagnostics"]["tried"]["frequency"]) == 4


def test_no_row_is_judged_by_a_model_that_has_seen_its_claims(rows):
    """A claim more moves the score of others, never the driver's own."""
    fixed = dataclasses.replace(MODEL, rounds=(60,))
    before = chosen(rows, fixed)
    at = 17
    claims = rows["claims"].to_list()
    claims[at] += 60
    after = chosen(rows.with_columns(claims=np.array(claims)), fixed)
    fold = fold_of(tuple(rows["driver_id"].to_list()), MODEL.folds, MODEL.seed)
    same = before.score == after.score
    assert same[fold == fold[at]].all()
    assert not same[fold != fold[at]].all()


def test_priors_of_event_rates_are_those_of_the_training_folds(rows):
    """Events of one driver move the rates of others through the prior, but of nobody in the driver's own fold."""
    fixed = dataclasses.replace(MODEL, rounds=(60,))
    before = chosen(rows, fixed)
    at = 17
    events = rows["brake_rate__n"].to_list()
    events[at] += 5_000.0
    after = chosen(rows.with_columns(brake_rate__n=np.array(events)), fixed)
    fold = fold_of(tuple(rows["driver_id"].to_list()), MODEL.folds, MODEL.seed)
    others = np.arange(len(fold)) != at
    same = before.score == after.score
    assert same[(fold == fold[at]) & others].all()
    assert not same[fold != fold[at]].all()
