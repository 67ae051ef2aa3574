from __future__ import annotations

import numpy as np
import pytest

from pricing.fit import fit
from pricing.matrix import read_inputs
from pricing.plan import load_plan
from pricing.reasons import effects, top_reasons
from pricing.tariff import Tariff
from tests.pricing.drivers import CATALOGUE, rating_rows


@pytest.fixture(scope="module")
def model():
    return fit(rating_rows(12_000), CATALOGUE, load_plan(), Tariff("frequency", 1.0))


@pytest.fixture(scope="module")
def inputs():
    return read_inputs(rating_rows(400, seed=9), CATALOGUE)


def test_the_effects_multiply_to_the_relativity(model, inputs):
    rated = model.rate(inputs)
    split = effects(model, rated)
    assert split.base * split.effects.prod(axis=1) == pytest.approx(rated.relativity, rel=1e-9)


def test_reasons_are_the_strongest_effects_in_order(model, inputs):
    split = effects(model, model.rate(inputs))
    texts, strongest = top_reasons(split, inputs, CATALOGUE)
    logs = np.abs(np.log(strongest))
    assert (np.diff(logs, axis=1) <= 0).all()
    assert logs[:, 0] == pytest.approx(np.abs(np.log(split.effects)).max(axis=1))
    assert [len(column) for column in texts] == [400] * 3
    assert sum("Harsh braking" in reason for reason in texts[0]) > 100


def test_a_driver_about_whom_nothing_is_to_say_has_no_reasons(model, inputs):
    split = effects(model, model.rate(inputs))
    plain = type(split)(split.names, split.base, np.ones_like(split.effects))
    texts, strongest = top_reasons(plain, inputs, CATALOGUE)
    assert np.isnan(strongest).all()
    assert {text for column in texts for text in column} == {None}


def test_a_reason_is_told_in_the_drivers_units_and_language(model, inputs):
    split = effects(model, model.rate(inputs))
    column = split.names.index("brake_rate")
    alone = np.ones_like(split.effects)
    alone[:, column] = 1.2
    shown = type(split)(split.names, split.base, alone)
    count = inputs.values[0, column]
    assert top_reasons(shown, inputs, CATALOGUE)[0][0][0] == CATALOGUE.features[column].tell(count)
    assert top_reasons(shown, inputs, CATALOGUE, "zh")[0][0][0].startswith("急刹车")
