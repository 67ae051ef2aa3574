"""The faults of the responder, byte by byte; what the device makes of them is in tests/device/test_obd_faults.py."""

from __future__ import annotations

import random

import pytest

from device.contract.signals import Reading
from replay_data.elm327_faults import FAULTS, FaultyElm

DRIVE = [Reading(t, "speed_kmh", 10.0 + t / 1_000) for t in range(0, 60_000, 1_000)]
SPEED_10 = b"7E8 03 41 0D 0A AA AA AA AA \r\r>"


def connected():
    elm = FaultyElm(DRIVE, random.Random(5))
    for setting in ("ATE0", "ATL0", "ATH1", "ATSP6"):
        elm.respond(setting, 0)
    return elm


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (None, SPEED_10),
        ("silent", b""),
        ("padded", b"7E8 02 41 0D 00 00 00 00 00 \r\r>"),
        ("foreign", b"7E8 03 41 05 5A AA AA AA AA \r\r>"),
        ("no_data", b"NO DATA\r\r>"),
        ("low_voltage", b"LV RESET\r\r>"),
    ],
)
def test_what_a_fault_sends(fault, answer):
    elm = connected()
    elm.fault = fault
    assert elm.respond("010D", 0) == answer


def test_garbage_has_no_prompt_and_noise_keeps_it():
    elm = connected()
    elm.fault = "garbage"
    assert b">" not in b"".join(elm.respond("010D", 0) for _ in range(50))
    elm.fault = "noise"
    replies = {elm.respond("010D", 0) for _ in range(200)}
    assert all(reply.endswith(b">") for reply in replies)
    assert SPEED_10 in replies
    assert len(replies) > 20


def test_stale_repeats_the_first_reply_until_it_ends():
    elm = connected()
    elm.fault = "stale"
    assert elm.respond("010D", 0) == elm.respond("010D", 30_000) == SPEED_10
    elm.fault = None
    assert elm.respond("010D", 30_000) != SPEED_10


def test_a_break_of_the_supply_forgets_the_settings():
    elm = connected()
    elm.fault = "low_voltage"
    elm.respond("010D", 0)
    elm.fault = None
    assert elm.respond("010D", 0).startswith(b"010D\r")  # echo is on again


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"silent", "garbage", "low_voltage"}))
def test_what_happens_to_the_cars_replies_leaves_the_adapters_own_alone(fault):
    elm = connected()
    elm.fault = fault
    assert elm.respond("ATI", 0) == b"ELM327 v1.5\r\r>"
    assert b"41 00" in elm.respond("0100", 0)
