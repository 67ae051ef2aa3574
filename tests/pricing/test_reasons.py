from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.fit import fit
from pricing.matrix import read_inputs
from pricing.plan import load_plan
from pricing.reasons import Effects, effects, tell_all, top_reasons
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


def told(split, inputs, language="en"):
    table = top_reasons(split, inputs, CATALOGUE, language)
    return [table[f"reason_{k}"].to_list() for k in (1, 2, 3)], table.select("^effect_.$").to_numpy()


def test_reasons_are_the_strongest_effects_in_order(model, inputs):
    split = effects(model, model.rate(inputs))
    texts, strongest = told(split, inputs)
    logs = np.abs(np.log(strongest))
    assert (np.diff(logs, axis=1) <= 1e-6).all()  # told to 1e-6
    assert logs[:, 0] == pytest.approx(np.abs(split.logs).max(axis=1), abs=1e-6)
    assert [len(column) for column in texts] == [400] * 3
    assert sum("Harsh braking" in reason for reason in texts[0]) > 100


def test_a_driver_about_whom_nothing_is_to_say_has_no_reasons(model, inputs):
    split = effects(model, model.rate(inputs))
    texts, strongest = told(Effects(split.names, split.log_base, np.zeros_like(split.logs)), inputs)
    assert np.isnan(strongest.astype(float)).all()
    assert {text for column in texts for text in column} == {None}


def test_a_reason_is_told_in_the_drivers_units_and_language(model, inputs):
    split = effects(model, model.rate(inputs))
    column = split.names.index("brake_rate")
    alone = np.zeros_like(split.logs)
    alone[:, column] = np.log(1.2)
    shown = Effects(split.names, split.log_base, alone)
    feature = next(feature for feature in CATALOGUE.features if feature.name == "brake_rate")
    assert told(shown, inputs)[0][0][0] == feature.tell(inputs.values[0, column])
    assert told(shown, inputs, "zh")[0][0][0].startswith("急刹车")


@given(st.lists(st.floats(1e-5, 1e5) | st.just(0.0) | st.just(float("nan")), min_size=1, max_size=20))
def test_values_told_together_are_told_as_alone(values):
    feature = next(feature for feature in CATALOGUE.features if feature.name == "brake_rate")
    together = tell_all(feature, np.array(values), "en")
    assert together == [tell_all(feature, np.array([value]), "en")[0] for value in values]
    assert sum(text == feature.tell(value) for text, value in zip(together, values, strict=True)) >= len(values) - 1
