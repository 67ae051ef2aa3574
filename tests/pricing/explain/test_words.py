"""Every word of an explanation is there in every language, and says the same of the same."""

from __future__ import annotations

import re
from dataclasses import asdict

import pytest

from device.contract.rules import KIND_NAMES
from pricing.explain.words import CHINESE, ENGLISH, left, right, width

ALIKE = {"B", "UTC", "trips", "events", "parquet"}  # names that both languages have


def texts(words):
    for name, told in asdict(words).items():
        yield from ((f"{name}.{key}", text) for key, text in told.items()) if isinstance(told, dict) else [(name, told)]


def test_both_languages_fill_the_same_places():
    english, chinese = dict(texts(ENGLISH)), dict(texts(CHINESE))
    assert english.keys() == chinese.keys()
    for name, text in english.items():
        assert sorted(re.findall("{.*?}", text)) == sorted(re.findall("{.*?}", chinese[name])), name


@pytest.mark.parametrize(("name", "text"), list(texts(CHINESE)))
def test_no_chinese_text_has_an_english_word(name, text):
    assert set(re.findall("[A-Za-z]+", re.sub("{.*?}", "", text))) <= ALIKE, name


def test_every_kind_of_event_has_its_word():
    assert set(ENGLISH.kinds) == set(CHINESE.kinds) == set(KIND_NAMES.values())


def test_a_chinese_character_takes_two_columns():
    assert [width(text) for text in ("km", "公里", "B：")] == [2, 4, 3]
    assert right("公里", 6) == "  公里"
    assert left("公里", 6) == "公里  "
