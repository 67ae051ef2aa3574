"""What an adapter claims against what it can do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.sources.fingerprint import MAX_TEXT, QUESTIONS, fingerprint

CAN_DO = {"ATRD": "00", "ATIGN": "ON", "ATAMC": "1A"}


def answers(identity, **told):
    return dict.fromkeys(QUESTIONS, "?") | {"ATI": identity, "AT@1": "OBDII to RS232 Interpreter"} | told


@pytest.mark.parametrize("version", ["1.4b", "2.1", "2.3"])
def test_a_chip_that_can_do_what_it_claims(version):
    found = fingerprint(answers(f"ELM327 v{version}", **CAN_DO))
    assert not found.is_clone
    assert str(found) == f"ELM327 v{version}"


def test_a_chip_older_than_a_command_need_not_know_it():
    assert not fingerprint(answers("ELM327 v1.3a")).is_clone
    assert not fingerprint(answers("ELM327 v1.4", ATRD="FF", ATIGN="OFF")).is_clone


def test_a_version_that_was_never_made_is_a_clone():
    assert str(fingerprint(answers("ELM327 v1.5"))) == "ELM327 v1.5, clone: no such version was made; lacks ATRD ATIGN"


def test_a_good_version_without_its_commands_is_a_clone():
    assert str(fingerprint(answers("ELM327 v2.1", ATRD="00"))) == "ELM327 v2.1, clone: lacks ATIGN ATAMC"


def test_a_better_chip_that_claims_less_is_no_clone():
    found = fingerprint(answers("ELM327 v1.5", STI="STN1110 v4.0.1"))
    assert not found.is_clone
    assert str(found) == "ELM327 v1.5, STN1110 v4.0.1"


def test_who_says_nothing_is_said_to_say_nothing():
    assert str(fingerprint({})) == "says nothing"


@given(st.dictionaries(st.sampled_from(QUESTIONS), st.text(max_size=200)))
def test_any_answers_are_one_short_line(told):
    text = str(fingerprint(told))
    assert text.isprintable()
    assert len(text) < 3 * MAX_TEXT
