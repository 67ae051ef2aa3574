"""The project's own recorded trips: complete, as made, labelled, and true to the simulator behind them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from device.contract.recording import open_recording, recording_sha256
from replay_data.generate import FOLDER, MANIFEST, build, main, manifest
from replay_data.plan import TRIPS
from tests.replay_data.device_path import through_device

ROWS = json.loads(MANIFEST.read_text(encoding="utf-8"))["recordings"]


def path(row):
    return MANIFEST.parent / row["file"]


def name(row):
    return Path(row["file"]).stem


def found_in(row):
    """What the device path makes of a recording."""
    return through_device(*open_recording(path(row)))


@pytest.mark.parametrize("trip", [t for t in TRIPS if not t.rate], ids=lambda t: t.name)
def test_an_in_process_recording_is_rebuilt_byte_for_byte(trip, tmp_path):
    assert build(trip, tmp_path).read_bytes() == (FOLDER / f"{trip.name}.ubirec").read_bytes()


def test_the_manifest_is_as_made_and_complete():
    assert MANIFEST.read_text(encoding="utf-8") == manifest(FOLDER)
    assert sorted(name(row) for row in ROWS) == sorted(file.stem for file in FOLDER.iterdir())


def test_check_finds_a_changed_and_a_missing_file(monkeypatch, tmp_path, capsys):
    for file in FOLDER.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    changed, missing = (tmp_path / f"{t.name}.ubirec" for t in TRIPS[:2])
    changed.write_bytes(changed.read_bytes()[:-1])
    missing.unlink()
    monkeypatch.setattr("replay_data.generate.FOLDER", tmp_path)
    monkeypatch.setattr("replay_data.generate.TRIPS", TRIPS[:2])
    for file in tmp_path.glob("*.ubirec"):
        if file != changed:
            file.unlink()
    assert main(["--check"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        f"{changed.name}: other bytes than the generator makes",
        f"{missing.name}: missing",
    ]


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_a_recording_is_what_its_manifest_row_says(row):
    assert recording_sha256(path(row)) == row["sha256"]
    head, readings = open_recording(path(row))
    readings = list(readings)
    assert len(readings) == row["readings"]
    assert abs(readings[-1].t_ms / 1_000 - row["duration_s"]) < 2
    started_at = datetime.fromisoformat(row["started_at"])
    assert head.started_at_ms == started_at.timestamp() * 1_000
    assert head.utc_offset_min == started_at.utcoffset() / timedelta(minutes=1)
    assert head.vehicle == head.driver == row["device"]
    assert head.notes["car"] == row["car"]
    assert head.source == "simulated"
    assert head.notes["simulated"] == "yes"
    assert row["true_hard_brakings"] == len(row["true_hard_brakings_ms"])


@pytest.fixture(scope="module")
def found():
    """Each recording through the device path, once."""
    return {name(row): found_in(row) for row in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_the_device_path_drives_the_true_distance_in_one_trip(row, found):
    summaries = found[name(row)].summaries
    assert len(summaries) == 1
    assert summaries[0].distance_mm / 1e6 == pytest.approx(row["km"], rel=0.01)
    assert summaries[0].max_speed_dkmh / 10 == pytest.approx(row["max_kmh"], abs=1.5)


# Share of the true events that are found, and of the found that are true: onsets within 2.5 s. Speeding by two per cent
# over a limit comes and goes, and what is one stretch is a question of tenths of km/h.
@pytest.mark.parametrize(
    ("kind", "least", "share"),
    [
        ("harsh_braking", 100, 0.9),
        ("harsh_acceleration", 50, 0.9),
        ("harsh_turn_left", 15, 0.95),
        ("harsh_turn_right", 25, 0.95),
        ("speeding", 90, 0.8),
    ],
)
def test_the_events_found_are_the_true_ones(kind, least, share, found):
    true = seen = both = 0
    for row in ROWS:
        times = [event["onset_ms"] for event in row["expected_events"] if event["kind"] == kind]
        onsets = [event.onset_ms for event in found[name(row)].events if event.kind == kind]
        true, seen = true + len(times), seen + len(onsets)
        for onset_ms in onsets:
            near = [t for t in times if abs(t - onset_ms) < 2_500]
            if near:
                times.remove(near[0])
                both += 1
    assert true >= least
    assert both / true > share, f"{both} of {true} true ones found"
    assert both / seen > share, f"{both} of {seen} found were true"


def test_no_event_of_a_kind_that_never_happened(found):
    kinds = Counter(event.kind for trip in found.values() for event in trip.events)
    assert set(kinds) <= {event["kind"] for row in ROWS for event in row["expected_events"]} | {"idling"}


def test_the_set_is_as_varied_as_it_claims():
    assert len(ROWS) >= 40
    by_device = defaultdict(list)
    for row in ROWS:
        by_device[row["device"]].append(row)
        assert 5 * 60 <= row["duration_s"] <= 25 * 60, row["file"]
    assert len(by_device) >= 8
    assert min(len({row["started_at"][:10] for row in rows}) for rows in by_device.values()) >= 2
    assert min(Counter(row["device"] for row in ROWS).values()) >= 3
    assert {row["fuel"] for row in ROWS} == {"petrol", "diesel", "electric"}
    assert len({row["adapter"] for row in ROWS} - {None}) >= 4
    assert {"calm", "everyday", "brisk", "reckless"} == {row["driver"] for row in ROWS}
    kits = Counter(tuple(sensor for sensor in row["sensors"] if sensor != "limits") for row in ROWS)
    assert kits.keys() == {
        ("obd",),
        ("obd", "gnss"),
        ("obd", "imu"),
        ("obd", "gnss", "imu"),
        ("gnss",),
        ("gnss", "imu"),
    }
    assert {sensor for row in ROWS if row["recorded"] == "pty" for sensor in row["sensors"]} >= {"obd", "gnss", "imu"}
    assert sum(path(row).stat().st_size for row in ROWS) < 2_000_000
    starts = {name(row): datetime.fromisoformat(row["started_at"]) for row in ROWS}
    ends = {name(row): starts[name(row)] + timedelta(seconds=row["duration_s"]) for row in ROWS}
    assert any(starts[n].date() != ends[n].date() for n in starts)  # across local midnight
    assert any(starts[n].hour in range(5) for n in starts)
    for change in ("2025-10-26T01:00+00:00", "2026-03-29T01:00+00:00"):  # of summer time
        assert any(starts[n] < datetime.fromisoformat(change) < ends[n] for n in starts)


def test_an_electric_car_has_no_rpm_and_a_start_stop_engine_rests_at_red_lights():
    for row in ROWS:
        rpm = [r.value for r in open_recording(path(row))[1] if r.signal == "rpm"]
        assert bool(rpm) == (row["fuel"] != "electric" and "obd" in row["sensors"])
        if row["car"] == "petrol start-stop" and row["scenario"] == "city":
            middle = rpm[30:-30]
            assert 0.0 in middle
            assert max(v or 0 for v in middle) > 1_500


def test_a_device_drives_one_car_with_a_rising_odometer():
    by_device = defaultdict(list)
    for row in sorted(ROWS, key=lambda r: datetime.fromisoformat(r["started_at"])):
        if "obd" not in row["sensors"]:
            continue
        values = [r.value for r in open_recording(path(row))[1] if r.signal == "distance_since_clear_km" and r.value]
        by_device[row["device"]] += [values[0], values[-1]]
        assert values[-1] - values[0] == pytest.approx(row["km"], abs=2)
    assert all(values == sorted(values) for values in by_device.values())
