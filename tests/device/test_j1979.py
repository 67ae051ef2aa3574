"""SAE J1979 service 01: known bytes in, known values out; anything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.signals import BY_NAME, SIGNALS
from device.sources.j1979 import (
    BITMAPS,
    FORMULAS,
    PIDS,
    Refusal,
    make_bitmap,
    make_reply,
    parse_bitmap,
    parse_reply,
)

# Worked out by hand from the formulas of the standard.
KNOWN = [
    ("speed_kmh", "41 0D 00", 0),
    ("speed_kmh", "41 0D 32", 50),
    ("speed_kmh", "41 0D FF", 255),
    ("rpm", "41 0C 1A F8", 1726),
    ("rpm", "41 0C 00 01", 0.25),
    ("throttle_pct", "41 11 FF", 100),
    ("engine_load_pct", "41 04 33", 20),
    ("maf_gps", "41 10 01 F4", 5),
    ("map_kpa", "41 0B 64", 100),
    ("coolant_c", "41 05 00", -40),
    ("coolant_c", "41 05 82", 90),
    ("intake_c", "41 0F 3C", 20),
    ("ambient_c", "41 46 23", -5),
    ("fuel_pct", "41 2F 66", 40),
    ("run_time_s", "41 1F 0E 10", 3600),
    ("distance_since_clear_km", "41 31 03 E8", 1000),
    ("odometer_km", "41 A6 00 01 E2 40", 12345.6),
    ("module_voltage_v", "41 42 37 DC", 14.3),
    ("pedal_d_pct", "41 49 19", 9.8039),
    ("pedal_e_pct", "41 4A 00", 0),
    ("dtc_count", "41 01 03 00 00 00", 3),
]


@pytest.mark.parametrize(("signal", "reply", "value"), KNOWN)
def test_known_bytes_are_known_values(signal, reply, value):
    assert parse_reply(signal, bytes.fromhex(reply)) == pytest.approx(value, abs=1e-4)
    assert make_reply(signal, value) == bytes.fromhex(reply)


def test_every_signal_with_a_pid_has_a_formula():
    assert set(FORMULAS) == {s.name for s in SIGNALS if s.pid is not None}
    assert {signal for signal, _, _ in KNOWN} == set(FORMULAS)


def test_trouble_codes_are_counted_without_lamp_and_monitors():
    assert parse_reply("dtc_count", bytes.fromhex("41 01 83 07 65 04")) == 3


def test_short_reply_is_refused_not_padded_to_a_standstill():
    assert parse_reply("speed_kmh", bytes.fromhex("41 0D")) is Refusal.LENGTH
    assert parse_reply("rpm", bytes.fromhex("41 0C 1A")) is Refusal.LENGTH
    assert parse_reply("speed_kmh", b"\x41") is Refusal.LENGTH
    assert parse_reply("speed_kmh", b"") is Refusal.NO_DATA


def test_long_reply_is_refused_not_cut():
    assert parse_reply("speed_kmh", bytes.fromhex("41 0D 32 00")) is Refusal.LENGTH


@pytest.mark.parametrize("reply", ["41 05 32", "42 0D 32", "7F 01 12", "01 0D 32"])
def test_reply_to_something_else_is_foreign(reply):
    assert parse_reply("speed_kmh", bytes.fromhex(reply)) is Refusal.FOREIGN


@given(st.sampled_from(sorted(FORMULAS)), st.binary(max_size=9))
def test_any_bytes_are_a_plausible_value_or_a_refusal(signal, reply):
    value = parse_reply(signal, reply)
    assert isinstance(value, Refusal) or BY_NAME[signal].low <= value <= BY_NAME[signal].high


@given(st.sampled_from(sorted(FORMULAS)), st.floats(-1e12, 1e12))
def test_what_a_car_replies_to_any_value_is_read_within_one_step(signal, value):
    formula = FORMULAS[signal]
    read = parse_reply(signal, make_reply(signal, value))
    if read is Refusal.RANGE:
        return
    low = formula.offset
    high = formula.highest * formula.numerator / formula.denominator + formula.offset
    assert abs(read - min(max(value, low), high)) <= formula.numerator / formula.denominator / 2 + 1e-6


@given(st.sets(st.sampled_from(sorted(set(range(1, 256)) - set(BITMAPS)))))
def test_supported_pids_survive_their_bitmaps(pids):
    found = set()
    for base in BITMAPS:
        if base == 0 or base in found:
            found |= parse_bitmap(base, make_bitmap(base, pids))
    assert found - set(BITMAPS) == pids


def test_bitmap_of_the_standard_example():
    # BE 1F A8 13 of the ELM327 data sheet: 0C and 0D are supported, and the next bitmap exists.
    pids = parse_bitmap(0, bytes.fromhex("41 00 BE 1F A8 13"))
    assert {PIDS["rpm"], PIDS["speed_kmh"], 0x20} <= pids
    assert 0x02 not in pids


def test_bitmap_of_wrong_length_or_base_tells_nothing():
    assert parse_bitmap(0, bytes.fromhex("41 00 BE 1F A8")) is Refusal.LENGTH
    assert parse_bitmap(0x20, bytes.fromhex("41 00 BE 1F A8 13")) is Refusal.FOREIGN
    assert parse_bitmap(0, b"") is Refusal.NO_DATA
