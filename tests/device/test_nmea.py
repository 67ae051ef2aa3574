"""NMEA sentences to readings: known sentences, known values; anything damaged changes nothing but a counter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.signals import BY_NAME, Reading
from device.sources.nmea import MAX_SENTENCE, OWNED_MS, NmeaParser
from replay_data.serial_gnss import no_fix, sentence, to_nmea

# Of a u-blox receiver, as its maker prints them.
RMC = b"$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57\r\n"
GGA = b"$GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*5B\r\n"
VTG = b"$GPVTG,77.52,T,,M,0.004,N,0.008,K,A*06\r\n"
STARTED_AT_MS = 1_762_156_800_000  # 2025-11-03 08:00 UTC


def rmc(time="080000.00", status="A", speed="10.0", date="031125", mode="A"):
    return sentence(f"GNRMC,{time},{status},5000.00000,N,00800.00000,E,{speed},90.0,{date},,,{mode}")


def values(readings):
    return {r.signal: r.value for r in readings}


def test_sentences_of_a_real_receiver():
    parser = NmeaParser()
    told = values(parser.feed(GGA + VTG, 5))
    assert told == pytest.approx(
        {
            "gnss_fix": 1,
            "latitude_deg": 47 + 17.11399 / 60,
            "longitude_deg": 8 + 33.91590 / 60,
            "altitude_m": 499.6,
            "gnss_hdop": 1.01,
            "gnss_satellites": 8,
            "gnss_speed_kmh": 0.008,
            "gnss_course_deg": 77.52,
        }
    )
    assert parser.frames == 2
    assert parser.counters == {}


def test_recommended_minimum_has_position_speed_course_and_utc():
    told = values(NmeaParser().feed(rmc(time="080001.25"), 0))
    assert told == pytest.approx(
        {
            "gnss_fix": 1,
            "latitude_deg": 50,
            "longitude_deg": 8,
            "gnss_speed_kmh": 18.52,
            "gnss_course_deg": 90,
            "gnss_utc_s": STARTED_AT_MS / 1_000 + 1.25,
        }
    )


def test_a_year_before_2020_is_a_week_count_that_rolled_over_and_no_time():
    parser = NmeaParser()
    assert "gnss_utc_s" not in values(parser.feed(rmc() + RMC, 0)[6:])
    assert parser.counters == {"gnss_refused_range": 1}


def test_without_a_fix_only_that_is_told():
    assert values(NmeaParser().feed(no_fix(STARTED_AT_MS), 0)) == {"gnss_fix": 0}
    assert values(NmeaParser().feed(rmc(mode="N"), 0)) == {"gnss_fix": 0}


def test_each_signal_comes_from_its_best_sentence():
    parser = NmeaParser()
    parser.feed(rmc() + VTG, 0)
    assert values(parser.feed(VTG, 1_000)) == {}
    assert values(parser.feed(VTG, OWNED_MS)) == {"gnss_speed_kmh": 0.008, "gnss_course_deg": 77.52}
    assert "gnss_speed_kmh" in values(parser.feed(rmc(), OWNED_MS + 1))


def test_empty_fields_are_not_told():
    parser = NmeaParser()
    told = values(parser.feed(sentence("GPRMC,080000,A,5000.0,N,00800.0,E,,,031125,,,A"), 0))
    assert set(told) == {"gnss_fix", "latitude_deg", "longitude_deg", "gnss_utc_s"}
    assert parser.counters == {}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (RMC.replace(b"4717", b"4718"), "checksum"),
        (RMC.replace(b"*57", b""), "syntax"),
        (b"$GPRMC," + b"1" * MAX_SENTENCE + b"*00\r\n", "syntax"),
        (sentence("GPRMC,080000,A,5000.0,N,00800.0,E,fast,,031125,,,A"), "fields"),
        (sentence("GPRMC,080000,A"), "fields"),
        (sentence("GPGGA,080000,9100.0,N,00800.0,E,1,08,1,1,M,1,M,,"), "range"),
        (b"\xb5\x62\x01\x07\n", "syntax"),
    ],
)
def test_a_damaged_sentence_is_counted(line, reason):
    parser = NmeaParser()
    parser.feed(rmc(), 0)
    parser.feed(line, 10_000)
    assert parser.counters == {f"gnss_refused_{reason}": 1}
    assert len(parser.feed(rmc(), 20_000)) == 6


def test_what_began_before_we_listened_is_no_fault():
    parser = NmeaParser()
    assert len(parser.feed(RMC[20:] + rmc(), 0)) == 6
    assert parser.counters == {}


def test_a_sentence_cut_off_by_the_next_costs_only_itself():
    parser = NmeaParser()
    assert len(parser.feed(rmc()[:30] + rmc(), 0)) == 6


def test_a_line_without_an_end_is_not_kept():
    parser = NmeaParser()
    parser.feed(rmc(), 0)
    for _ in range(1_000):
        parser.feed(b"$" * 100, 0)
    assert len(parser._rest) <= MAX_SENTENCE
    assert parser.counters["gnss_refused_syntax"] > 0
    assert len(parser.feed(b"\r\n" + rmc(), 1)) == 6


@given(st.lists(st.integers(1, 40), max_size=30), st.binary(max_size=60))
def test_how_the_bytes_are_cut_changes_nothing(cuts, noise):
    data = rmc() + noise.replace(b"\n", b"") + b"\r\n" + GGA + VTG
    whole = NmeaParser()
    expected = whole.feed(data, 0)
    pieces, readings = NmeaParser(), []
    for cut in [*cuts, len(data)]:
        readings += pieces.feed(data[:cut], 0)
        data = data[cut:]
    assert readings == expected
    assert pieces.counters == whole.counters


@given(
    st.lists(st.one_of(st.binary(max_size=120), st.text(max_size=60).map(lambda t: sentence(f"GPRMC,{t}"))), max_size=9)
)
def test_any_bytes_give_plausible_values_or_none(chunks):
    parser = NmeaParser()
    for reading in [r for chunk in chunks for r in parser.feed(chunk, 7)]:
        assert BY_NAME[reading.signal].low <= reading.value <= BY_NAME[reading.signal].high


@given(
    st.floats(-90, 90),
    st.floats(-179.9, 180),
    st.floats(0, 390),
    st.floats(0, 359.99),
    st.integers(0, 10**8),
)
def test_what_a_played_receiver_says_is_what_was_recorded(latitude, longitude, speed, course, t_ms):
    recorded = {
        "latitude_deg": latitude,
        "longitude_deg": longitude,
        "gnss_speed_kmh": speed,
        "gnss_course_deg": course,
        "altitude_m": 123.4,
    }
    ((at_ms, data),) = to_nmea([Reading(t_ms, *pair) for pair in recorded.items()], STARTED_AT_MS)
    told = values(NmeaParser().feed(data, t_ms))
    for name, tolerance in zip(recorded, (1e-7, 1e-7, 0.001, 0.005, 0.05), strict=True):
        assert told[name] == pytest.approx(recorded[name], abs=tolerance * 1.01)
    assert told["gnss_utc_s"] == pytest.approx((STARTED_AT_MS + at_ms) / 1_000, abs=1e-4)
