"""Polling order: speed waits for at most one other, everyone at their own period, no one starved."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from device.sources.j1979 import FORMULAS
from device.sources.schedule import FASTEST, PERIODS_MS, Schedule


def polled(schedule, until_ms, took_ms):
    """(time, signal) of what is asked until `until_ms` by an adapter that takes `took_ms` for each, in order."""
    now_ms, asked = 1e9, []
    end_ms = now_ms + until_ms
    while now_ms < end_ms:
        signal = schedule.pick(now_ms)
        if signal is None:
            now_ms += max(schedule.wait_ms(now_ms), 0.5)
        else:
            asked.append((now_ms, signal))
            now_ms += took_ms
    return asked


def test_every_pid_has_a_period():
    assert set(PERIODS_MS) == set(FORMULAS)


@pytest.mark.parametrize("took_ms", [5, 35, 110, 300])
def test_speed_waits_for_at_most_one_other(took_ms):
    times = [t for t, signal in polled(Schedule(PERIODS_MS), 120_000, took_ms) if signal == FASTEST]
    assert times[0] == 1e9
    assert max(b - a for a, b in pairwise(times)) <= max(PERIODS_MS[FASTEST], took_ms) + took_ms


def test_a_fast_adapter_keeps_every_period():
    count = Counter(signal for _, signal in polled(Schedule(PERIODS_MS), 600_000, took_ms=10))
    for signal, period_ms in PERIODS_MS.items():
        assert count[signal] == pytest.approx(600_000 / period_ms, rel=0.02, abs=2), signal


def test_a_slow_adapter_starves_no_signal_and_gives_speed_half_its_time():
    asked = [signal for _, signal in polled(Schedule(PERIODS_MS), 600_000, took_ms=300)]
    count = Counter(asked)
    assert count[FASTEST] >= len(asked) / 2
    assert min(count[signal] for signal in PERIODS_MS) >= 5


def test_what_the_car_does_not_support_is_not_asked():
    asked = polled(Schedule(["speed_kmh", "coolant_c"]), 60_000, took_ms=50)
    assert {signal for _, signal in asked} == {"speed_kmh", "coolant_c"}
