"""Old values repeated against a car that keeps its speed: the time since engine start tells them apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device.sources.freshness import WITNESS, Freshness
from device.sources.j1979 import make_reply, parse_reply

NOTICED_MS = 5_000


class Car:
    """Polled ten times a second; `frozen_ms` is when the adapter begins to repeat itself."""

    def __init__(self, frozen_ms=None, rpm=2_000, speed=100, counts=True):
        self.frozen_ms, self.rpm, self.speed, self.counts = frozen_ms, rpm, speed, counts
        self.freshness, self.asked_witness = Freshness(), 0

    def reply(self, signal, t_ms):
        t_ms = min(t_ms, self.frozen_ms if self.frozen_ms is not None else t_ms)
        seconds = t_ms // 1_000 if self.counts else 0
        return make_reply(signal, {"speed_kmh": self.speed, "rpm": self.rpm, WITNESS: seconds}[signal])

    def noticed_ms(self, until_ms=120_000):
        """When it is said to be stale; None if not."""
        for t_ms in range(0, until_ms, 100):
            if self.freshness.wants_witness(t_ms) or t_ms % 30_000 == 0:
                signal, self.asked_witness = WITNESS, self.asked_witness + 1
            else:
                signal = "rpm" if t_ms % 1_000 == 100 else "speed_kmh"
            reply = self.reply(signal, t_ms)
            self.freshness.saw(signal, reply, parse_reply(signal, reply), t_ms)
            if self.freshness.is_stale(t_ms):
                return t_ms
        return None


def test_an_adapter_that_repeats_itself_is_noticed_in_five_seconds():
    assert 60_000 < Car(frozen_ms=60_000).noticed_ms() <= 60_000 + NOTICED_MS


def test_a_car_on_cruise_control_is_believed():
    car = Car()
    assert car.noticed_ms() is None
    assert car.asked_witness > 50


def test_a_car_at_rest_with_the_engine_off_is_believed_and_not_asked_more():
    car = Car(frozen_ms=10_000, rpm=0, speed=0)
    assert car.noticed_ms() is None
    assert car.asked_witness == 4


def test_a_car_without_a_running_time_is_believed():
    assert Car(rpm=0, counts=False).noticed_ms() is None


def test_replies_that_differ_call_no_witness():
    freshness = Freshness()
    for t_ms in range(0, 60_000, 100):
        reply = make_reply("speed_kmh", 50 + t_ms // 100 % 2)
        freshness.saw("speed_kmh", reply, 50, t_ms)
        freshness.saw(WITNESS, make_reply(WITNESS, 0), 0, t_ms) if t_ms == 0 else None
        assert not freshness.wants_witness(t_ms)


@given(st.integers(0, 100_000), st.integers(1, 200), st.integers(0, 6_000))
def test_whenever_it_freezes_it_is_noticed(frozen_ms, speed, rpm):
    noticed_ms = Car(frozen_ms=frozen_ms + 35_000, rpm=rpm, speed=speed).noticed_ms(until_ms=145_000)
    assert noticed_ms is not None
    assert 0 < noticed_ms - frozen_ms - 35_000 <= NOTICED_MS
