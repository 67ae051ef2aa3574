"""What a tester sees: a drawing in the terminal and a page, of what the device path made of a recording."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

import ubi
from device.contract.recording import RecordingHead, reading_order, write_recording
from device.contract.signals import Reading
from replay_data.recording import read_recording
from replay_data.show import MARGIN, Paper, draw
from replay_data.show_page import page
from replay_data.show_svg import route
from replay_data.view import clock, columns, tick_minutes, track, view
from tests.conftest import REPOSITORY

TRIPS = REPOSITORY / "replay_data" / "trips"
STOP = TRIPS / "sim-reckless-2_2025-11-05_0840_city-emergency-stop.ubirec"


@pytest.fixture(scope="module")
def stop():
    return view(read_recording(STOP))


@pytest.fixture(scope="module")
def on_the_map(tmp_path_factory):
    """A drive north at 60 km/h with a hard braking in the middle, and the receiver's positions."""
    path, readings, north_m = tmp_path_factory.mktemp("map") / "north.ubirec", [], 0.0
    for t_ms in range(0, 240_000, 200):
        speed = 60.0 if t_ms < 120_000 else max(0.0, 60.0 - (t_ms - 120_000) / 1_000 * 18) if t_ms < 130_000 else 50.0
        north_m += speed / 3.6 * 0.2
        readings.append(Reading(t_ms, "speed_kmh", speed))
        if t_ms % 1_000 == 0:
            readings += [Reading(t_ms, "latitude_deg", 48 + north_m / 111_195), Reading(t_ms, "longitude_deg", 8.0)]
            readings.append(Reading(t_ms, "limit_kmh", 50.0))
    head = RecordingHead("test", vehicle="<car>", started_at_ms=1_762_156_800_000, utc_offset_min=60)
    write_recording(path, head, sorted(readings, key=reading_order))
    return view(read_recording(path))


@pytest.mark.parametrize("width", [40, 80, 120, 300])
def test_a_drawing_fits_the_terminal(stop, on_the_map, width):
    for drawn in (draw(stop, Paper(width)), draw(on_the_map, Paper(width))):
        curves = [line for line in drawn.splitlines() if "┤" in line]
        assert len(curves) >= 13
        assert max(len(line) for line in curves) <= min(width, 160)
        assert "\x1b" not in drawn


def test_the_drawing_has_the_scale_the_events_and_the_table(stop):
    lines = draw(stop, Paper(80)).splitlines()
    assert lines[:2] == [STOP.name, "ubi recording, device sim-reckless-2"]
    assert re.fullmatch(
        r"Trip 1: 2025-11-05 08:40:\d\d, 7:\d\d min, 5\.5\d km, by speed of the diagnostic port, +2 Hz",
        "".join(lines[3:5]),
    )
    assert any(re.match(r" +65 ┤", line) for line in lines)
    (brakings,) = [line for line in lines if line.startswith("     braking  ")]
    events = stop.trips[0].events
    levels = re.findall(r"\d", brakings)
    assert len(levels) <= len([event for event in events if event.kind == 1])
    assert set(levels) == {"1", "2"}
    hardest = max(events, key=lambda event: event.peak)
    assert any(f"{hardest.peak / 100:.1f} m/s²" in line and "braking" in line for line in lines)
    at = MARGIN + hardest.peak_ms * (80 - MARGIN) // (stop.trips[0].samples[-1].t_ms + 500)
    assert brakings[at] == "2"


def test_where_the_terminal_has_no_unicode_it_is_ascii_and_colour_comes_only_when_asked(stop):
    assert draw(stop, Paper(80, unicode=False)).isascii()
    assert "\x1b[31m2\x1b[0m" in draw(stop, Paper(80, colour=True))


def test_a_column_holds_the_least_and_the_greatest_and_none_where_nothing_is_known(stop):
    trip = stop.trips[0]
    (whole,) = columns(trip, "speed_dkmh", 10, 1)
    speeds = [sample.speed_dkmh / 10 for sample in trip.samples if sample.speed_dkmh is not None]
    assert whole == (min(speeds), max(speeds))
    assert columns(trip, "accel_lat_cmps2", 100, 7) == [None] * 7


def pictures(text):
    assert "http" not in text.replace("http-equiv", "")
    assert "<script" not in text
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]


def test_the_page_stands_alone_and_marks_every_event(stop):
    text = page(stop)
    wide, narrow = [svg for svg in pictures(text) if svg.get("role") == "img"]
    events = stop.trips[0].events
    for svg in (wide, narrow):
        assert len(svg.findall(".//g/title")) == len(events)
    assert text.count("<tr><td") == len(events)
    assert "<b>Simulated:</b>" in text
    assert "<h3>Map</h3>" not in text


def test_where_location_is_known_there_is_a_map_with_the_events_and_a_scale(on_the_map):
    text = page(on_the_map)
    charts = [svg for svg in pictures(text) if svg.get("role") == "img"]
    assert len(charts) == 4  # curves and map, each wide and narrow
    track = charts[2]
    (pin,) = [g for g in track.findall("g") if g.get("class", "").startswith("pin")]
    assert "braking, level 2, 5.0 m/s²" in pin.find("title").text or "braking" in pin.find("title").text
    start, end = (track.find(f"circle[@class='{name}']") for name in ("start", "end"))
    assert float(start.get("cy")) > float(pin.find("circle").get("cy")) > float(end.get("cy"))  # northward is up
    (name,) = [text for text in track.findall("text") if text.get("class") == "tick"]
    assert re.fullmatch(r"\d+ k?m", name.text)
    assert "The track is read from the recording itself" in text
    assert "&lt;car&gt;" not in text  # a device id has none of it
    assert 'class="limit"' in text


def test_a_track_so_long_that_it_is_thinned_is_still_drawn(on_the_map, monkeypatch):
    monkeypatch.setattr("replay_data.show_svg.MAP_POINTS", 3)
    drawn = ET.fromstring(route(on_the_map.trips[0], on_the_map.track, 640, 400))
    assert len(on_the_map.track) // 3 > 10  # seconds
    assert drawn.find("path[@class='track']").get("d").count("M") >= 2


def test_show_needs_no_broker_and_the_page_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    target = tmp_path / "page.html"
    assert ubi.main(["replay", str(STOP), "--show", "--html", str(target)]) == 0
    told = capsys.readouterr().out
    assert told.startswith(STOP.name)
    assert max(map(len, told.splitlines())) <= 80
    assert target.read_text().startswith("<!doctype html>")
    assert ubi.main(["replay", str(STOP), "--html", str(tmp_path)]) == 0
    assert (tmp_path / f"{STOP.stem}.html").read_text() == target.read_text()
    assert capsys.readouterr().out == ""


def test_one_page_for_several_recordings_is_refused(tmp_path, capsys):
    other = TRIPS / "sim-calm-2_2025-11-03_0751_city.ubirec"
    assert ubi.main(["replay", str(STOP), str(other), "--html", str(tmp_path / "page.html")]) == 2
    assert "is no folder, and there are 2 recordings to write" in capsys.readouterr().err


def test_two_recordings_of_one_name_do_not_overwrite_each_others_page(tmp_path, capsys):
    twin = tmp_path / STOP.name
    twin.write_bytes(STOP.read_bytes())
    assert ubi.main(["replay", str(STOP), str(twin), "--html", str(tmp_path)]) == 2
    assert "rename one of them" in capsys.readouterr().err
    assert list(tmp_path.glob("*.html")) == []


def test_a_wrong_device_and_a_fault_that_cannot_be_shown_are_told(capsys, caplog):
    assert ubi.main(["replay", str(STOP), "--show", "--device", "a b"]) == 2
    assert "device id 'a b'" in capsys.readouterr().err
    assert ubi.main(["replay", str(STOP), "--show", "--faults", "duplicate,reorder"]) == 0
    assert "duplicate, reorder: of the road, met only on the way to a --broker" in caplog.text


def test_a_recording_without_a_trip_says_so(tmp_path):
    path = tmp_path / "parked.ubirec"
    write_recording(path, RecordingHead("test"), [Reading(t, "ambient_c", 20.0) for t in range(0, 10_000, 1_000)])
    parked = view(read_recording(path))
    assert "no trip: the device path saw no driving in ambient_c" in draw(parked, Paper())
    assert "No trip" in page(parked)


def test_times_and_ticks_are_round():
    assert (clock(0), clock(61_500), clock(3_661_000)) == ("0:00", "1:01", "1:01:01")
    assert [tick_minutes(minutes * 60_000, 6) for minutes in (5, 12, 60, 300)] == [1, 2, 10, 60]


def test_an_old_position_that_comes_again_and_again_is_not_on_the_map(tmp_path):
    """Every second position is where the drive will end, as in the logs of POLIDriving."""
    driven = [(t_ms, 48 + t_ms / 1e7) for t_ms in range(0, 100_000, 1_000)]
    readings = []
    for t_ms, latitude in driven:
        told = latitude if t_ms % 2_000 == 0 else 48.5
        readings += [Reading(t_ms, "latitude_deg", told), Reading(t_ms, "longitude_deg", 8.0)]
    path = tmp_path / "jumps.ubirec"
    write_recording(path, RecordingHead("test"), sorted(readings, key=reading_order))
    points = track(read_recording(path))
    assert [point.t_ms for point in points] == [t_ms for t_ms, _ in driven if t_ms % 2_000 == 0]
    assert max(point.lat_deg for point in points) < 48.02
