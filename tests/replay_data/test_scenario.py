"""Scenes: the motion they ask for, the events they promise, the same readings each time, and clear refusals."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from device.contract.errors import RecordingError
from device.contract.recording import open_recording, write_recording
from replay_data.driver import STEP_S
from replay_data.generate import truth
from replay_data.importers import load, recognise
from replay_data.plan import TRIPS
from replay_data.scenario import read_scene
from replay_data.scenario_keys import REQUIRED, SCENE, STEPS
from replay_data.truth import true_events
from replay_data.vehicle import hard_brakings
from tests.replay_data.device_path import through_device

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = sorted((ROOT / "replay_data" / "scene_library").glob("*.toml"))
PAGE = (ROOT / "docs" / "scenes.md").read_text(encoding="utf-8")
HEAD = "scene = 1\nstarted_at = 2026-03-10T08:00:00+01:00\n"
GO = '[[step]]\ndo = "accelerate"\nto_kmh = 50\n'
HALT = '[[step]]\ndo = "brake"\n'
# A receiver at 1 Hz tells a turn over 2 s, the adapter's whole km/h a braking over about as much.
NEAR_MS = 2_500


def scene(tmp_path, text):
    path = tmp_path / "a.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: p.stem)
def test_the_device_finds_the_events_and_kilometres_of_each_scene_of_the_library(path):
    made = read_scene(path)
    found = through_device(made.head, made.readings())
    assert sum(trip.distance_mm for trip in found.summaries) / 1e6 == pytest.approx(
        made.motion.driven_m / 1e3, rel=0.003
    )
    assert sorted(event.kind for event in found.events) == sorted(event.kind for event in made.events)
    for kind in {event.kind for event in made.events}:
        true = [event.onset_ms for event in made.events if event.kind == kind]
        seen = [event.onset_ms for event in found.events if event.kind == kind]
        assert all(abs(a - b) < NEAR_MS for a, b in zip(true, seen, strict=True)), (kind, true, seen)


@pytest.mark.parametrize(("from_kmh", "found"), [(12, 0), (25, 1)])
def test_a_hard_stop_from_under_15_km_h_is_true_but_below_the_least_speed_of_the_device(tmp_path, from_kmh, found):
    """docs/scenes.md tells the speeds in between, where it depends on when the readings fall."""
    go = f'[[step]]\ndo = "accelerate"\nto_kmh = {from_kmh}\n[[step]]\ndo = "cruise"\nfor_s = 60\n'
    made = read_scene(scene(tmp_path, HEAD + go + '[[step]]\ndo = "emergency_stop"\n'))
    assert [event.kind for event in made.events] == ["harsh_braking"]
    assert len(through_device(made.head, made.readings()).events) == found


def test_the_library_shows_every_step():
    used = set(re.findall(r'do = "(\w+)"', "".join(path.read_text(encoding="utf-8") for path in LIBRARY)))
    assert used == set(STEPS)


def test_a_scene_is_a_recording_like_any_other_and_makes_the_same_bytes_each_time(tmp_path):
    made = []
    for name in ("a", "b"):
        head, readings = load(LIBRARY[0])
        write_recording(tmp_path / name, head, readings)
        made.append((tmp_path / name).read_bytes())
    assert made[0] == made[1]
    head, readings = open_recording(tmp_path / "a")
    assert (head.source, list(readings)) == ("scene", load(LIBRARY[0])[1])
    assert recognise(LIBRARY[0]).NAME == "scene"


def test_motion_is_continuous_and_as_strong_as_asked(tmp_path):
    steps = GO + 'mps2 = 2.0\n[[step]]\ndo = "curve"\nradius_m = 60\nturn = "right"\n' + HALT + "mps2 = 4.0\n"
    samples = read_scene(scene(tmp_path, HEAD + steps)).motion.samples
    assert [s.t_ms for s in samples] == list(range(0, 50 * len(samples), 50))
    assert max(abs(b.speed_mps - a.speed_mps) for a, b in pairwise(samples)) <= 4.0 * STEP_S + 1e-9
    assert max(s.accel_mps2 for s in samples) == pytest.approx(2.0, abs=0.01)
    assert min(s.accel_mps2 for s in samples) == pytest.approx(-4.0, abs=0.01)
    assert min(s.lateral_mps2 for s in samples) == pytest.approx(-((50 / 3.6) ** 2) / 60, rel=0.02)
    assert samples[-1].heading_rad == pytest.approx(-1.5708, rel=0.02)


def test_the_truth_of_brakings_is_what_the_recorded_trips_were_labelled_with():
    for trip in TRIPS[:6]:
        samples = truth(trip)
        found = [event.onset_ms for event in true_events(samples) if event.kind == "harsh_braking"]
        assert found == hard_brakings(samples)


def test_what_is_towed_is_not_driven():
    made = read_scene(next(path for path in LIBRARY if path.stem == "towed"))
    moved_m = sum(sample.speed_mps for sample in made.motion.samples) * STEP_S
    assert moved_m - made.motion.driven_m > 5_000


def test_a_car_on_a_truck_turns_no_odometer_and_breaks_no_limit(tmp_path):
    head = HEAD + 'car = "start-stop"\nsensors = ["obd", "gnss", "limits"]\n'
    limit = '[[step]]\ndo = "limit"\nkmh = 50\n'
    cruise = '[[step]]\ndo = "cruise"\nfor_m = 500\n'
    drive = GO.replace("50", "40") + cruise + HALT
    tow = '[[step]]\ndo = "tow"\nfor_s = 300\nat_kmh = 80\n'
    made = read_scene(scene(tmp_path, head + limit + drive + tow + drive))
    assert made.events == []
    odometer_km = [r.value for r in made.readings() if r.signal == "odometer_km" and r.value]
    assert odometer_km[-1] - odometer_km[0] == pytest.approx(made.motion.driven_m / 1_000, abs=0.5)  # asked rarely
    assert {r.value for r in made.readings() if r.signal == "limit_kmh"} == {50}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("scene = 1\n" + GO + HALT, "started_at: missing; local time with its UTC offset"),
        (HEAD.replace("+01:00", "") + GO + HALT, "started_at = 2026-03-10 08:00:00: local time with its UTC offset"),
        (HEAD.replace("= 1", "= 2") + GO, "scene: 2; write 'scene = 1'"),
        (GO, "scene: missing; write 'scene = 1'"),
        (HEAD, "step: there is none; write [[step]]"),
        (HEAD + "spede = 3\n" + GO + HALT, "spede: no such key; known are title, started_at"),
        (HEAD + GO + '[[step]]\ndo = "drift"\n', "step 2: do: 'drift'; known are accelerate, brake"),
        (HEAD + "[[step]]\nto_kmh = 3\n", "step 1: do: missing; known are"),
        (HEAD + GO + "mps2 = 12\n" + HALT, "step 1 (accelerate): mps2 = 12: a number from 0.2 to 8 m/s2"),
        (HEAD + GO.replace("50", "true") + HALT, "step 1 (accelerate): to_kmh = True: a number from 1 to 250 km/h"),
        (HEAD + GO.replace("to_kmh = 50\n", "") + HALT, "step 1 (accelerate): to_kmh: missing; a number from"),
        (HEAD + GO + "speed = 3\n" + HALT, "step 1 (accelerate): speed: no such key; known are to_kmh, mps2"),
        (HEAD + GO, 'step: the scene ends at 50 km/h; add a last step do = "brake"'),
        (HEAD + GO + GO + HALT, "step 2 (accelerate): to_kmh: the car is at 50 km/h already"),
        (HEAD + HALT, "step 1 (brake): to_kmh: the car is at 0 km/h already"),
        (HEAD + GO + '[[step]]\ndo = "idle"\nfor_s = 9\n' + HALT, "step 2 (idle): the car drives 50 km/h: put a step"),
        (HEAD + GO + '[[step]]\ndo = "cruise"\n' + HALT, "step 2 (cruise): for_s, for_m: give one of them"),
        (
            HEAD + '[[step]]\ndo = "stop_start"\ntimes = 1000\nstand_s = 3600\n',
            "step 1 (stop_start): takes 1002 hours; at most 24",
        ),
        (HEAD + '[[step]]\ndo = "curve"\nradius_m = 20\n', "step 1 (curve): the car stands"),
        (
            HEAD + GO + '[[step]]\ndo = "curve"\nradius_m = 12\n' + HALT,
            "step 2 (curve): 50 km/h on a radius of 12 m needs 16.1 m/s2 and tyres hold 8.5: brake to 36 km/h",
        ),
        (
            HEAD + '[[step]]\ndo = "repeat"\ntimes = 2\n[[step.step]]\ndo = "brake"\n',
            "step 1 (repeat).step 1 (brake): to_kmh: the car is at 0 km/h already",
        ),
        (HEAD + '[[step]]\ndo = "repeat"\ntimes = 2\n', "step 1 (repeat): step: missing; steps of its own"),
        (HEAD + 'sensors = ["imu"]\n' + GO + HALT, "sensors = ['imu']: a list of"),
        (HEAD + 'car = "steam"\n' + GO + HALT, "car = 'steam': one of \"petrol\""),
        (HEAD + GO + "to_kmh = 60\n", "no TOML: "),
        (
            HEAD
            + '[[step]]\ndo = "repeat"\ntimes = 1000\n[[step.step]]\ndo = "repeat"\ntimes = 1000\n'
            + '[[step.step.step]]\ndo = "idle"\nfor_s = 0.05\n',
            "over 24 hours or 100,000 steps; repeat less",
        ),
    ],
)
def test_a_bad_scene_is_refused_with_file_key_and_fix(tmp_path, text, told):
    path = scene(tmp_path, text)
    with pytest.raises(RecordingError) as refused:
        load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_page_tells_every_step_and_key_with_its_default():
    for kind, keys in {"(head)": SCENE, **STEPS}.items():
        (row,) = re.findall(rf"^\| `?{re.escape(kind)}`? \|.*$", PAGE, re.MULTILINE)
        for name, key in keys.items():
            assert f"`{name}`" in row, f"{kind}: {name}"
            if isinstance(key.default, int | float) and not isinstance(key.default, bool):
                assert f"`{name}` {key.default:g}" in row, f"{kind}: {name} {key.default:g}"
            elif key.default is REQUIRED:
                assert f"**`{name}`**" in row, f"{kind}: {name} is required"
