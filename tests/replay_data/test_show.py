"""What a tester sees: a drawing in the terminal and a page, of what the device path made of a recording."""

from __future__ import annotations

import itertools
import math
import re
import xml.etree.ElementTree as ET

import pytest

import ubi
from device.contract.recording import RecordingHead, reading_order, write_recording
from device.contract.signals import Reading
from replay_data.recording import read_recording
from replay_data.show import MARGIN, Paper, draw
from replay_data.show_map import PIN_PX, route
from replay_data.show_page import page
from replay_data.view import clock, columns, lasting, tick_minutes, track, view
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
    monkeypatch.setattr("replay_data.show_map.MAP_POINTS", 3)
    drawn = ET.fromstring(route(on_the_map.trips[0], on_the_map.track, 640, 400))
    assert len(on_the_map.track) // 3 > 10  # seconds
    assert drawn.find("path[@class='track']").get("d").count("M") >= 2


def test_events_at_one_place_stand_beside_each_other(tmp_path):
    """A drive to and fro between two stops that are hard brakings, each where the one before was."""
    path, readings, north_m = tmp_path / "to-and-fro.ubirec", [], 0.0
    for t_ms in range(0, 600_000, 200):
        round_ms = t_ms % 60_000
        speed = min(60.0, round_ms / 1_000 * 6, max(0.0, (50_000 - round_ms) / 1_000 * 18))
        north_m += speed / 3.6 * 0.2 * (1 if t_ms // 60_000 % 2 == 0 else -1)
        readings.append(Reading(t_ms, "speed_kmh", speed))
        if t_ms % 1_000 == 0:
            readings += [Reading(t_ms, "latitude_deg", 48 + north_m / 111_195), Reading(t_ms, "longitude_deg", 8.0)]
    write_recording(path, RecordingHead("test"), sorted(readings, key=reading_order))
    found = view(read_recording(path))
    drawn = ET.fromstring(route(found.trips[0], found.track, 350, 300))
    pins = [(float(pin.find("circle").get("cx")), float(pin.find("circle").get("cy"))) for pin in drawn.findall("g")]
    assert len(pins) == len(found.trips[0].events) >= 10
    assert min(math.dist(one, other) for one, other in itertools.combinations(pins, 2)) >= PIN_PX - 0.2
    assert drawn.findall("path[@class='lead']")


def test_on_a_telephone_every_value_of_an_event_is_on_the_page(stop):
    """Where rows become two lines, each value names its cell; nothing scrolls sideways."""
    style = page(stop).split("</style>")[0]
    telephone = style[style.index("@media(max-width:640px)") :]
    assert "tr{display:grid" in telephone
    for name in ("level", "speed", "lasted"):
        assert f"td.{name}{{grid-column" in telephone
        assert f'more {name}">' in page(stop)
    assert "overflow-x" not in style


def test_several_trips_have_a_list_that_leads_to_them(tmp_path):
    path, readings = tmp_path / "two.ubirec", []
    for start_ms in (0, 1_000_000):
        readings += [Reading(start_ms + t, "speed_kmh", 50.0) for t in range(0, 60_000, 500)]
    write_recording(path, RecordingHead("test"), readings)
    text = page(view(read_recording(path)))
    assert [text.count(f'href="#trip{number}"') for number in (1, 2, 3)] == [1, 1, 0]
    assert [text.count(f'id="trip{number}"') for number in (1, 2)] == [1, 1]


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
    assert (lasting(61_500), lasting(3_661_000)) == ("1:01 min", "1:01:01 h")
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
