import ast
import sys
from pathlib import Path

import numpy as np
import pytest

from replay_data import portfolio
from replay_data.portfolio.drivers import draw_drivers
from replay_data.portfolio.habits import draw_habits
from replay_data.portfolio.hazard import hazard
from replay_data.portfolio.streams import Streams

STREAMS = Streams(3, "book")
DRIVERS = draw_drivers(STREAMS, 0, 2_000)
HABITS = draw_habits(STREAMS, 0, DRIVERS)
SOURCES = sorted(Path(portfolio.__file__).parent.glob("*.py"))


def frequency(**changes):
    return hazard(HABITS._replace(**changes), DRIVERS).frequency


@pytest.mark.parametrize(
    "riskier",
    [
        {"headway_s": HABITS.headway_s * 0.95},
        {"reaction_s": HABITS.reaction_s * 1.05},
        {"speeding": HABITS.speeding + 0.02},
        {"cornering": HABITS.cornering + 0.05},
        {"inattention": HABITS.inattention * 1.1},
        {"annual_km": HABITS.annual_km * 1.1},
        {"night_share": HABITS.night_share + 0.02},
        {"urban_share": HABITS.urban_share + 0.02, "motorway_share": HABITS.motorway_share - 0.02},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_riskier_habit_raises_the_frequency_of_every_driver(riskier):
    assert (frequency(**riskier) > frequency()).all()


def test_a_harsh_foot_alone_is_not_dangerous():
    assert np.array_equal(frequency(harshness=HABITS.harshness + 0.3), frequency())


def test_twice_the_kilometres_are_less_than_twice_the_claims():
    ratio = frequency(annual_km=HABITS.annual_km * 2) / frequency()
    assert ratio.min() > 1.0
    assert ratio.max() < 2.0


def test_a_part_of_the_claims_is_not_caused_by_the_driver():
    risk = hazard(HABITS, DRIVERS)
    share = (risk.struck + risk.parked).sum() / risk.frequency.sum()
    assert 0.2 < share < 0.5
    sharper = hazard(HABITS._replace(headway_s=HABITS.headway_s * 0.5, speeding=HABITS.speeding + 0.2), DRIVERS)
    assert np.array_equal(sharper.struck, risk.struck)
    assert np.array_equal(sharper.parked, risk.parked)


def test_young_drivers_are_riskier_and_the_form_does_not_tell_all():
    mean = frequency()
    young = DRIVERS.age < 25
    assert mean[young].mean() > 1.3 * mean[~young].mean()
    assert np.corrcoef(np.log(mean), DRIVERS.age)[0, 1] ** 2 < 0.2


def imported(file):
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_the_simulation_knows_no_feature_and_no_model(file):
    for name in imported(file):
        top = name.partition(".")[0]
        ours = name.startswith(("replay_data.portfolio", "device.contract"))
        assert ours or top in {"numpy", "polars"} or top in sys.stdlib_module_names, name


def test_the_truth_reads_neither_motion_nor_sensors():
    hazard_file = next(file for file in SOURCES if file.stem == "hazard")
    seen, todo = set(), [hazard_file]
    while todo:
        file = todo.pop()
        seen.add(file.stem)
        names = {name.rpartition(".")[2] for name in imported(file) if name.startswith("replay_data.portfolio.")}
        todo += [other for other in SOURCES if other.stem in names - seen]
    assert seen == {"hazard", "conflict", "habits", "drivers", "streams"}
