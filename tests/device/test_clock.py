"""What the car knows of UTC."""

from __future__ import annotations

import json
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.clock import (
    ANSWER_MAX_MS,
    GNSS_AGREE_MS,
    GNSS_CONFIRM,
    GNSS_FRESH_MS,
    CarClock,
    RecordedClock,
    SystemClock,
    kernel_is_synchronised,
)
from device.contract import wire_pb2 as pb
from device.contract.signals import Reading
from device.contract.wire import CLOCK_TOLERANCE_MS

NOON_MS = 1_800_000_000_000  # 2027-01-15 08:00 UTC
YEARS_OFF_MS = 86_400_000 * 365 * 19


class Wrong:
    """A computer's clock that is wrong, and a quality that can be set."""

    boot_id = b"boot"

    def __init__(self, quality: int = pb.CLOCK_UNKNOWN, ahead_ms: int = NOON_MS - YEARS_OFF_MS) -> None:
        self.quality, self.ahead_ms = quality, ahead_ms

    def utc_ms(self, mono_ms: int) -> int:
        return mono_ms + self.ahead_ms

    def utc_offset_min(self, utc_ms: int) -> int | None:
        return None


def hear(clock: CarClock, t_ms: int, utc_ms: int) -> None:
    clock.hear(Reading(t_ms, "gnss_utc_s", utc_ms / 1_000))


def told(clock: CarClock, t_ms: int, times: int = GNSS_CONFIRM, ahead_ms: int = NOON_MS) -> CarClock:
    for index in range(times):
        hear(clock, t_ms + index * 1_000, t_ms + index * 1_000 + ahead_ms)
    return clock


def test_without_gnss_the_clock_that_was_given_counts():
    clock = CarClock(Wrong(pb.CLOCK_NTP, NOON_MS))
    assert (clock.utc_ms(5_000), clock.quality(5_000)) == (NOON_MS + 5_000, pb.CLOCK_NTP)


def test_three_gnss_times_that_agree_correct_a_clock_that_is_years_off():
    clock = told(CarClock(Wrong()), 0, GNSS_CONFIRM - 1)
    assert clock.quality(3_000) == pb.CLOCK_UNKNOWN
    clock = told(CarClock(Wrong()), 0)
    assert (clock.utc_ms(5_000), clock.quality(5_000)) == (NOON_MS + 5_000, pb.CLOCK_GNSS)
    assert clock.utc_ms(-60_000) == NOON_MS - 60_000  # what happened before is corrected as well


def test_one_garbled_time_moves_nothing_and_a_lasting_one_does():
    clock = told(CarClock(Wrong()), 0)
    hear(clock, 4_000, NOON_MS + 90_000_000)
    assert clock.utc_ms(5_000) == NOON_MS + 5_000
    told(clock, 6_000, ahead_ms=NOON_MS + 2_000)
    assert clock.utc_ms(9_000) == NOON_MS + 11_000


def test_a_null_moves_nothing():
    clock = told(CarClock(Wrong()), 0)
    clock.hear(Reading(4_000, "gnss_utc_s", None))
    assert clock.utc_ms(5_000) == NOON_MS + 5_000


def test_the_least_delayed_of_the_first_times_counts():
    clock = CarClock(Wrong())
    for t_ms, late_ms in ((0, 300), (1_000, 100), (2_000, 250)):
        hear(clock, t_ms, t_ms + NOON_MS - late_ms)
    assert clock.utc_ms(3_000) == NOON_MS + 3_000 - 100


@given(st.lists(st.integers(0, GNSS_AGREE_MS // 2), min_size=10, max_size=60))
def test_late_sentences_never_make_utc_jitter(delays_ms):
    clock = told(CarClock(Wrong()), 0)
    for second, late_ms in enumerate(delays_ms, 10):
        hear(clock, second * 1_000, second * 1_000 + NOON_MS - late_ms)
        assert clock.utc_ms(second * 1_000) == NOON_MS + second * 1_000


def test_long_without_gnss_ntp_is_the_better_clock_and_none_the_worse():
    late_ms = GNSS_FRESH_MS + 10_000
    synchronised = told(CarClock(Wrong(pb.CLOCK_NTP, NOON_MS + 700)), 0)
    assert (synchronised.utc_ms(late_ms), synchronised.quality(late_ms)) == (NOON_MS + late_ms + 700, pb.CLOCK_NTP)
    alone = told(CarClock(Wrong()), 0)
    assert (alone.utc_ms(late_ms), alone.quality(late_ms)) == (NOON_MS + late_ms, pb.CLOCK_GNSS)


def test_what_gnss_said_outlives_a_restart_in_the_same_boot():
    clock = CarClock(Wrong())
    clock.restore(json.loads(json.dumps(told(CarClock(Wrong()), 0).to_state())))
    assert clock.utc_ms(5_000) == NOON_MS + 5_000


def test_gnss_times_of_a_recording_correct_what_its_head_says():
    clock = told(CarClock(RecordedClock(NOON_MS - 7_200_000, 60, b"rec")), 0)
    assert clock.utc_ms(5_000) == NOON_MS + 5_000
    assert CarClock(RecordedClock(None, None, b"rec")).quality(0) == pb.CLOCK_UNKNOWN


def test_gnss_times_of_a_recording_are_not_mistaken_for_those_of_today():
    """Sealing moves a trip whose clock is far from the time of arrival, unless it says that it was recorded."""
    for began_ms in (NOON_MS - 7_200_000, None):
        assert told(CarClock(RecordedClock(began_ms, 60, b"rec")), 0).quality(5_000) == pb.CLOCK_RECORDED


@pytest.mark.parametrize(("synchronised", "quality"), [(True, pb.CLOCK_NTP), (False, pb.CLOCK_UNKNOWN)])
def test_quality_of_the_computers_clock_is_what_the_kernel_says(synchronised, quality):
    assert SystemClock(ZoneInfo("Europe/Berlin"), lambda: synchronised).quality == quality
    assert kernel_is_synchronised() in (True, False)


def test_local_time_is_that_of_the_configured_zone_in_summer_and_winter():
    clock = SystemClock(ZoneInfo("Europe/Berlin"))
    assert (clock.utc_offset_min(NOON_MS), clock.utc_offset_min(NOON_MS + 182 * 86_400_000)) == (60, 120)
    assert abs(clock.utc_ms(clock.mono_ms()) - clock.utc_ms(clock.mono_ms() - 5_000)) >= 4_000


FAST_MS = st.integers(CLOCK_TOLERANCE_MS + 1, 10 * YEARS_OFF_MS)
OFF_MS = FAST_MS | FAST_MS.map(lambda fast_ms: -fast_ms)


def answered(clock: CarClock, sent_ms: int, there_ms: int, back_ms: int, utc_ahead_ms: int = NOON_MS) -> CarClock:
    """Hear an ack that was made `there_ms` after its message was sent, by a clock of the insurer's that is right."""
    made_ms = sent_ms + there_ms
    clock.hear_insurer(made_ms + utc_ahead_ms, sent_ms, made_ms + back_ms)
    return clock


WAY_MS = st.integers(0, ANSWER_MAX_MS // 2)


@given(st.integers(0, 10**9), WAY_MS, WAY_MS, st.integers(-CLOCK_TOLERANCE_MS, CLOCK_TOLERANCE_MS))
def test_a_clock_within_the_tolerance_is_never_contradicted_whatever_the_way(sent_ms, there_ms, back_ms, off_ms):
    clock = answered(CarClock(Wrong(pb.CLOCK_NTP, NOON_MS + off_ms)), sent_ms, there_ms, back_ms)
    assert clock.quality(sent_ms + there_ms + back_ms) == pb.CLOCK_NTP


@given(st.integers(0, 10**9), WAY_MS, WAY_MS, OFF_MS)
def test_a_clock_off_by_more_than_tolerance_and_way_is_contradicted_and_moves_no_time(sent, there_ms, back_ms, off_ms):
    off_ms += (there_ms + back_ms) * (1 if off_ms > 0 else -1)
    clock = answered(CarClock(Wrong(pb.CLOCK_NTP, NOON_MS + off_ms)), sent, there_ms, back_ms)
    assert clock.quality(sent) == pb.CLOCK_CONTRADICTED
    assert not clock.is_known(sent)
    assert clock.utc_ms(sent) == sent + NOON_MS + off_ms


def test_an_ack_that_was_long_on_its_way_says_nothing():
    clock = answered(CarClock(Wrong(pb.CLOCK_NTP)), 0, ANSWER_MAX_MS, 1)
    assert clock.quality(0) == pb.CLOCK_NTP


def test_a_clock_that_is_set_right_is_believed_again_at_once_and_one_that_is_set_wrong_is_not():
    computer = Wrong(pb.CLOCK_NTP, NOON_MS)
    clock = answered(CarClock(computer), 0, 500, 500)
    told = []
    for ahead_ms in (NOON_MS - 3_600_000, NOON_MS, NOON_MS + 3_600_000):
        computer.ahead_ms = ahead_ms
        told.append(clock.quality(60_000))
    assert told == [pb.CLOCK_CONTRADICTED, pb.CLOCK_NTP, pb.CLOCK_CONTRADICTED]


def test_the_last_ack_counts_so_a_false_one_holds_until_the_next():
    clock = answered(CarClock(Wrong(pb.CLOCK_NTP, NOON_MS)), 0, 500, 500, utc_ahead_ms=NOON_MS + 10**15)
    assert clock.quality(1_000) == pb.CLOCK_CONTRADICTED
    assert clock.utc_ms(1_000) == NOON_MS + 1_000
    assert answered(clock, 2_000, 500, 500).quality(3_000) == pb.CLOCK_NTP


def test_gnss_outranks_the_insurer_and_a_contradicted_clock_even_when_it_is_old():
    clock = answered(told(CarClock(Wrong(pb.CLOCK_NTP, NOON_MS + 7_200_000)), 0), 5_000, 500, 500)
    for later_ms in (6_000, GNSS_FRESH_MS + 10_000):
        assert (clock.quality(later_ms), clock.utc_ms(later_ms)) == (pb.CLOCK_GNSS, NOON_MS + later_ms)


@pytest.mark.parametrize("quality", [pb.CLOCK_UNKNOWN, pb.CLOCK_RECORDED])
def test_only_what_claims_to_be_right_now_can_be_contradicted(quality):
    assert answered(CarClock(Wrong(quality)), 0, 500, 500).quality(1_000) == quality


def test_what_the_insurer_said_outlives_a_restart_and_is_missing_in_an_older_state():
    state = json.loads(json.dumps(answered(CarClock(Wrong(pb.CLOCK_NTP)), 0, 500, 500).to_state()))
    for saved, quality in ((state, pb.CLOCK_CONTRADICTED), (state[:3], pb.CLOCK_NTP)):
        clock = CarClock(Wrong(pb.CLOCK_NTP))
        clock.restore(saved)
        assert clock.quality(1_000) == quality
