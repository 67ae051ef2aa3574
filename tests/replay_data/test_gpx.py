"""GPX tracks: with the logger's speed, and without, where it comes from the positions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.errors import RecordingError
from device.contract.signals import Reading
from replay_data.importers import load
from replay_data.importers.positions import EARTH_RADIUS_M, Fix, moved

GPX11 = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<gpx version="1.1" creator="x" xmlns="http://www.topografix.com/GPX/1/1"'
)
GARMIN = ' xmlns:gpxtpx="http://www.garmin.com/xmlschemas/TrackPointExtension/v2"'
OSMAND = ' xmlns:osmand="https://osmand.net/docs/technical/osmand-file-formats/osmand-gpx"'
METRES_PER_DEGREE = EARTH_RADIUS_M * math.pi / 180


def gpx(tmp_path, points, namespace=""):
    path = tmp_path / "track.gpx"
    track = "\n".join(points)
    path.write_text(f"{GPX11}{namespace}><trk><trkseg>\n{track}\n</trkseg></trk></gpx>")
    return path


def point(second, north_m=0.0, inside="", zone="Z"):
    place = f'lat="{52 + north_m / METRES_PER_DEGREE:.9f}" lon="13.4"'
    return f"<trkpt {place}><ele>34.5</ele><time>2024-05-01T10:00:{second:02d}{zone}</time>{inside}</trkpt>"


def extended(what):
    return f"<extensions>{what}</extensions>"


@pytest.mark.parametrize(
    ("namespace", "speed"),
    [
        (GARMIN, "<gpxtpx:TrackPointExtension><gpxtpx:speed>10</gpxtpx:speed></gpxtpx:TrackPointExtension>"),
        (OSMAND, "<osmand:speed>10</osmand:speed>"),
        ("", "<speed>10</speed>"),
    ],
)
def test_the_speed_that_the_logger_kept_is_read_in_metres_per_second(tmp_path, namespace, speed):
    head, readings = load(gpx(tmp_path, [point(0, inside=extended(speed))], namespace))
    assert readings == [
        Reading(0, "latitude_deg", 52.0),
        Reading(0, "longitude_deg", 13.4),
        Reading(0, "altitude_m", 34.5),
        Reading(0, "gnss_speed_kmh", 36.0),
    ]
    assert (head.started_at_ms, head.utc_offset_min, head.notes) == (1_714_557_600_000, None, {})


def test_quality_of_the_fix_is_read(tmp_path):
    quality = "<fix>dgps</fix><sat>8</sat><hdop>1.2</hdop>" + extended("<speed>1</speed><course>90.5</course>")
    _, readings = load(gpx(tmp_path, [point(0, inside=quality)]))
    assert {r.signal: r.value for r in readings[3:]} == {
        "gnss_speed_kmh": 3.6,
        "gnss_course_deg": 90.5,
        "gnss_fix": 2,
        "gnss_hdop": 1.2,
        "gnss_satellites": 8,
    }


def test_without_speed_it_comes_from_the_positions(tmp_path):
    head, readings = load(gpx(tmp_path, [point(second, 20.0 * second) for second in range(20)]))
    speeds = [r.value for r in readings if r.signal == "gnss_speed_kmh"]
    courses = [r.value for r in readings if r.signal == "gnss_course_deg"]
    assert len(speeds) == 20
    assert speeds == pytest.approx([72.0] * 20, abs=0.2)  # a microdegree is 0.11 m
    assert [math.cos(math.radians(course)) for course in courses] == pytest.approx([1.0] * 20)
    assert head.notes == {"speed": "from positions"}


def test_a_time_with_an_offset_tells_the_local_time(tmp_path):
    head, _ = load(gpx(tmp_path, [point(s, 10 * s, zone="+02:00") for s in range(5)]))
    assert (head.started_at_ms, head.utc_offset_min) == (1_714_550_400_000, 120)


def test_a_planned_route_is_refused(tmp_path):
    with pytest.raises(RecordingError, match="1 track points, none with a time; a planned route is no trip"):
        load(gpx(tmp_path, ['<trkpt lat="52" lon="13"/>']))
    with pytest.raises(RecordingError, match="0 track points, none with a time; export the track, not its waypoints"):
        load(gpx(tmp_path, []))


def test_a_track_cut_off_is_read_up_to_there(tmp_path):
    path = gpx(tmp_path, [point(s, 10 * s) for s in range(9)])
    path.write_bytes(path.read_bytes()[:-100])
    head, readings = load(path)
    assert max(r.t_ms for r in readings) == 7_000
    assert head.repairs == {"cut_off": 1}


def test_entities_are_refused_before_they_are_read(tmp_path):
    path = tmp_path / "bomb.gpx"
    path.write_text('<?xml version="1.0"?><!DOCTYPE gpx [<!ENTITY a "aaaa">]><gpx><trk>&a;</trk></gpx>')
    with pytest.raises(RecordingError, match="has a document type"):
        load(path)


def test_what_is_no_xml_is_refused_with_its_line(tmp_path):
    path = tmp_path / "broken.gpx"
    path.write_text('<?xml version="1.0"?>\n<gpx>\n<trk></gpx>')
    with pytest.raises(RecordingError, match=r"gpx:3: is no XML: mismatched tag"):
        load(path)


@given(speed=st.floats(0, 60), turn=st.floats(0, 360), spacing=st.sampled_from([200, 1_000, 2_000]))
def test_positions_of_steady_driving_give_its_speed_and_course(speed, turn, spacing):
    north, east = math.cos(math.radians(turn)) * speed, math.sin(math.radians(turn)) * speed
    fixes = [
        Fix(t, north * t / 1_000 / METRES_PER_DEGREE, east * t / 1_000 / METRES_PER_DEGREE)
        for t in range(0, 20_000, spacing)
    ]
    for told in moved(fixes):
        assert told.speed_kmh == pytest.approx(speed * 3.6, rel=1e-6, abs=1e-6)
        if told.course_deg is not None:
            assert math.cos(math.radians(told.course_deg - turn)) == pytest.approx(1)


def test_nothing_is_told_across_a_gap_or_a_jump():
    steady = [Fix(t, 0.0, t / 1_000 * 1e-4) for t in range(0, 10_000, 1_000)]
    later = [Fix(t + 60_000, 0.5, fix.longitude_deg) for fix in steady for t in [fix.t_ms]]
    jumped = [
        Fix(10_000, 1.0, 0.0),
        *(Fix(t + 11_000, 0.0, (t + 11_000) / 1_000 * 1e-4) for t in range(0, 5_000, 1_000)),
    ]
    for fixes in (steady + later, steady + jumped):
        assert {round(told.speed_kmh, 2) for told in moved(fixes)} == {40.03}
    assert len(list(moved(steady + jumped))) == 15  # the one that jumped has no neighbours
