"""The project's own recorded trips: complete, as made, labelled, and true to the simulator behind them."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from device.contract.recording import open_recording, recording_sha256
from device.contract.rules import KIND_NUMBERS
from device.events import DetectedEvent
from device.pipeline import Pipeline, TripEnded
from replay_data.generate import FOLDER, MANIFEST, build, main, manifest
from replay_data.plan import TRIPS

ROWS = json.loads(MANIFEST.read_text(encoding="utf-8"))["recordings"]
HARSH_BRAKING = KIND_NUMBERS["harsh_braking"]


def path(row):
    return MANIFEST.parent / row["file"]


def name(row):
    return Path(row["file"]).stem


def through_device(row):
    """Summaries and harsh brakings that the device path makes of a recording."""
    head, readings = open_recording(path(row))
    pipeline = Pipeline(lambda mono_ms: (head.started_at_ms + mono_ms, head.utc_offset_min))
    outputs = [output for reading in readings for output in pipeline.push(reading)] + pipeline.finish()
    summaries = [output.summary for output in outputs if isinstance(output, TripEnded)]
    brakings = [o for o in outputs if isinstance(o, DetectedEvent) and o.kind == HARSH_BRAKING]
    return summaries, brakings


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


@pytest.mark.parametrize("row", ROWS, ids=name)
def test_the_device_path_drives_the_true_distance_in_one_trip(row):
    summaries, _ = through_device(row)
    assert len(summaries) == 1
    assert summaries[0].distance_mm / 1e6 == pytest.approx(row["km"], rel=0.01)
    assert summaries[0].max_speed_dkmh / 10 == pytest.approx(row["max_kmh"], abs=1.5)


def test_harsh_brakings_found_are_the_true_ones():
    """Found by the rules on what an adapter read, against what the simulated cars did: onsets within 2.5 s."""
    true = found = both = 0
    for row in ROWS:
        _, brakings = through_device(row)
        times = list(row["true_hard_brakings_ms"])
        true, found = true + len(times), found + len(brakings)
        started_ms = _trip_start_ms(row)
        for event in brakings:
            near = [t for t in times if abs(t - (event.onset_ms + started_ms)) < 2_500]
            if near:
                times.remove(near[0])
                both += 1
    assert true >= 50
    assert both / true > 0.9, f"{both} of {true} true hard brakings found"
    assert both / found > 0.9, f"{both} of {found} found were true"


def _trip_start_ms(row):
    head, readings = open_recording(path(row))
    starts = []
    pipeline = Pipeline(lambda mono_ms: starts.append(mono_ms) or (head.started_at_ms + mono_ms, None))
    for reading in readings:
        pipeline.push(reading)
        if starts:
            return starts[0]
    raise AssertionError("no trip")


def test_the_set_is_as_varied_as_it_claims():
    assert len(ROWS) >= 24
    by_device = defaultdict(list)
    for row in ROWS:
        by_device[row["device"]].append(row)
        assert 5 * 60 <= row["duration_s"] <= 25 * 60, row["file"]
    assert len(by_device) >= 8
    assert min(len({row["started_at"][:10] for row in rows}) for rows in by_device.values()) >= 2
    assert min(Counter(row["device"] for row in ROWS).values()) >= 3
    assert {row["fuel"] for row in ROWS} == {"petrol", "diesel", "electric"}
    assert len({row["adapter"] for row in ROWS}) >= 4
    assert sum(row["recorded"] == "pty" for row in ROWS) >= 2
    assert sum(path(row).stat().st_size for row in ROWS) < 2_000_000
    starts = {name(row): datetime.fromisoformat(row["started_at"]) for row in ROWS}
    ends = {name(row): starts[name(row)] + timedelta(seconds=row["duration_s"]) for row in ROWS}
    assert any(starts[n].date() != ends[n].date() for n in starts)  # across local midnight
    assert any(starts[n].hour in range(5) for n in starts)


def test_an_electric_car_has_no_rpm_and_a_start_stop_engine_rests_at_red_lights():
    for row in ROWS:
        rpm = [r.value for r in open_recording(path(row))[1] if r.signal == "rpm"]
        assert bool(rpm) == (row["fuel"] != "electric")
        if row["car"] == "petrol start-stop" and row["scenario"] == "city":
            middle = rpm[30:-30]
            assert 0.0 in middle
            assert max(v or 0 for v in middle) > 1_500


def test_a_device_drives_one_car_with_a_rising_odometer():
    by_device = defaultdict(list)
    for row in sorted(ROWS, key=lambda r: datetime.fromisoformat(r["started_at"])):
        values = [r.value for r in open_recording(path(row))[1] if r.signal == "distance_since_clear_km" and r.value]
        by_device[row["device"]] += [values[0], values[-1]]
        assert values[-1] - values[0] == pytest.approx(row["km"], abs=2)
    assert all(values == sorted(values) for values in by_device.values())
