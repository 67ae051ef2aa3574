"""The VIN: 17 characters of its alphabet, or none."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.sources.j1979 import Refusal
from device.sources.vin import VIN, make_vin, parse_vin

SAMPLE = "WVWZZZ1JZ3W386752"


def test_on_can_and_on_older_buses():
    assert parse_vin(bytes.fromhex("49 02 01") + SAMPLE.encode()) == SAMPLE
    assert parse_vin(bytes.fromhex("49 02 00 00 00") + SAMPLE.encode()) == SAMPLE
    assert parse_vin(bytes.fromhex("49 02") + SAMPLE.encode()) == SAMPLE


@pytest.mark.parametrize(
    ("reply", "refusal"),
    [
        (b"", Refusal.NO_DATA),
        (b"\x41\x02\x01" + SAMPLE.encode(), Refusal.FOREIGN),
        (b"\x49\x04\x01" + SAMPLE.encode(), Refusal.FOREIGN),
        (b"\x7f\x09\x12", Refusal.FOREIGN),
        (b"\x49\x02\x01" + SAMPLE[:-2].encode(), Refusal.LENGTH),
        (b"\x49\x02\x01" + SAMPLE.encode() + b"\x00", Refusal.LENGTH),
        (b"\x49\x02\x01" + bytes(17), Refusal.RANGE),
        (b"\x49\x02\x01" + b"\xff" * 17, Refusal.RANGE),
        (b"\x49\x02\x01" + SAMPLE.replace("J", "I").encode(), Refusal.RANGE),
        (b"\x49\x02\x01" + SAMPLE.lower().encode(), Refusal.RANGE),
    ],
)
def test_anything_else_is_none(reply, refusal):
    assert parse_vin(reply) is refusal


@given(st.text(alphabet=sorted(set(string.ascii_uppercase + string.digits) - set("IOQ")), min_size=17, max_size=17))
def test_every_vin_survives(vin):
    assert parse_vin(make_vin(vin)) == vin


@given(st.binary(max_size=40))
def test_any_bytes_are_a_vin_or_a_refusal(reply):
    told = parse_vin(reply)
    assert isinstance(told, Refusal) or VIN.fullmatch(told)
