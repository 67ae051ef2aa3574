"""Faults laid over readings: what they do, the same each time, and refusals of a wrong spec."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.errors import UsageError
from device.contract.recording import reading_order
from device.contract.signals import Reading
from replay_data.faults import FAULTS, OF_THE_ROAD, Spec, parse_faults

DRIVE = [
    reading
    for t_ms in range(0, 300_000, 200)
    for reading in (Reading(t_ms, "speed_kmh", float(30 + t_ms // 1_000 % 40)), Reading(t_ms, "gnss_speed_kmh", 50.0))
]
SPEC = st.lists(
    st.sampled_from([name for name in FAULTS if name not in OF_THE_ROAD]).map(lambda n: (n, FAULTS[n].usual)),
    max_size=4,
)


def with_faults(text, readings=DRIVE):
    return parse_faults(text).readings(readings)


def test_loss_takes_its_share():
    assert len(with_faults("loss:0.25")) == pytest.approx(0.75 * len(DRIVE), rel=0.05)


def test_a_stalled_adapter_is_silent_and_the_receiver_goes_on():
    left = with_faults("stall:20")
    assert [r for r in left if r.signal == "gnss_speed_kmh"] == [r for r in DRIVE if r.signal == "gnss_speed_kmh"]
    times = [r.t_ms for r in left if r.signal == "speed_kmh"]
    gaps = [b - a for a, b in pairwise(times) if b - a > 200]
    assert gaps
    assert all(20_000 <= gap <= 20_400 for gap in gaps[:-1])


def test_a_frozen_speed_repeats_itself_while_time_goes_on():
    frozen = [r for r in with_faults("freeze:20,seed:3") if r.signal == "speed_kmh"]
    changed = [a for a, b in zip(DRIVE[::2], frozen, strict=True) if a != b]
    assert len(changed) > 50
    assert [r.t_ms for r in frozen] == [r.t_ms for r in DRIVE[::2]]


def test_spikes_are_what_one_byte_can_tell():
    spiked = [(a, b) for a, b in zip(DRIVE, with_faults("spike:0.1"), strict=True) if a.value != b.value]
    assert len(spiked) == pytest.approx(0.1 * len(DRIVE), rel=0.25)
    assert all(0 <= b.value <= 255 for _, b in spiked)


def test_refused_requests_are_null_and_those_of_the_port_only():
    nulls = [r for r in with_faults("refuse:0.5") if r.value is None]
    assert {r.signal for r in nulls} == {"speed_kmh"}
    assert len(nulls) == pytest.approx(0.25 * len(DRIVE), rel=0.1)


def test_quantised_speeds_are_multiples():
    assert {r.value % 5 for r in with_faults("quantise:5")} == {0.0}


def test_drift_moves_times_by_its_share():
    ends = {with_faults(f"drift:1000,seed:{seed}")[-1].t_ms - DRIVE[-1].t_ms for seed in range(8)}
    assert ends == {-300, 300}


def test_times_that_drift_makes_one_stay_in_order():
    close = [Reading(t_ms, name, 1.0) for t_ms in range(0, 99_000, 3) for name in ("speed_kmh", "rpm")]
    close = sorted((r._replace(t_ms=r.t_ms + (r.signal == "rpm")) for r in close), key=reading_order)
    for seed in range(4):
        orders = [reading_order(reading) for reading in with_faults(f"drift:100000,seed:{seed}", close)]
        assert orders == sorted(set(orders))


@given(faults=SPEC, seed=st.integers(0, 99))
def test_any_faults_leave_lawful_readings_and_are_the_same_each_time(faults, seed):
    spec = Spec(tuple(faults), seed)
    readings = spec.readings(DRIVE)
    orders = [reading_order(reading) for reading in readings]
    assert orders == sorted(set(orders))
    assert readings == spec.readings(DRIVE)


def test_a_faulty_recording_is_another_recording_and_one_on_a_bad_road_is_not():
    assert parse_faults("duplicate,reorder:5").sha256("ab") == "ab"
    told = {parse_faults(text).sha256("ab") for text in ("spike", "spike:0.02", "spike,seed:2", "loss,spike")}
    assert len(told) == 4
    assert parse_faults("spike:0.05000001").sha256("ab") != parse_faults("spike:0.05").sha256("ab")


@pytest.mark.parametrize("text", ["spike,duplicate", "duplicate,spike"])
def test_a_bad_road_changes_neither_readings_nor_stream(text):
    spec, alone = parse_faults(text), parse_faults("spike")
    assert spec.sha256("ab") == alone.sha256("ab")
    assert spec.readings(DRIVE) == alone.readings(DRIVE)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no fault; known are loss"),
        ("seed:3", "names no fault"),
        ("gremlin", "gremlin: no such fault; known are loss"),
        ("spike:two", "spike:two: the amount is a number from 0 to 1, share of speeds"),
        ("stall:-1", "stall:-1: the amount is a number from 0 to 3600, s"),
        ("spike:nan", "spike:nan: the amount"),
        ("cut:5", "cut:5: the amount is a number from 6 to 100000, messages"),
        ("spike,seed:x", "seed:x: seed is a whole number"),
    ],
)
def test_a_wrong_spec_is_told_with_what_would_be_right(text, told):
    with pytest.raises(UsageError, match=r"^--faults: ") as refused:
        parse_faults(text)
    assert told in str(refused.value)


def test_a_spec_reads_back():
    spec = parse_faults(" stall:2 , spike:0.3,seed:9,")
    assert str(spec) == "stall:2,spike:0.3,seed:9"
    assert parse_faults(str(spec)) == spec
