from __future__ import annotations

import random
import sys

import pytest

from tests.faults.campaign import ROUNDS, SHORT, Outcome, play, table, write
from tests.mosquitto import find_mosquitto

pytestmark = pytest.mark.broker


@pytest.fixture(autouse=True)
def _needs_mosquitto():
    if find_mosquitto() is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")


def assert_nothing_lost(outcome: Outcome):
    sys.stdout.write(table([outcome]))
    assert outcome.verdict.faults == {}
    assert outcome.tracebacks == []
    assert outcome.verdict.written > 0


def test_a_dozen_kills_lose_and_double_nothing(tmp_path):
    outcome = play(SHORT, "short", tmp_path)
    assert_nothing_lost(outcome)
    assert outcome.kills >= 12


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_a_thousand_kills_lose_and_double_nothing(tmp_path, capsys):
    seed = str(random.SystemRandom().getrandbits(32))
    outcomes = []
    for round_ in ROUNDS:
        outcomes.append(play(round_, f"{seed}/{round_.name}", tmp_path / round_.name.replace(" ", "-")))
        with capsys.disabled():
            sys.stdout.write(f"\n{table(outcomes[-1:])}\n")
    write(outcomes)
    for outcome in outcomes:
        assert_nothing_lost(outcome)
    assert sum(outcome.kills for outcome in outcomes) >= 1_000
