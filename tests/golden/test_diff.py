"""`make diff` shows what a deliberate change changed, exactly, and nothing where nothing changed."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess

import pytest

from device.contract.rules import CURRENT_VERSION
from tests.golden import diff, replay
from tests.golden.compare import compare, match
from tests.golden.snapshot import snapshot
from tests.golden.tell import render

RECKLESS, CALM = "sim-reckless-2_2025-11-05_0840_city-emergency-stop", "sim-calm-2_2025-11-03_0751_city"
BRISK = "sim-brisk-2_2025-11-03_0802_city-rural"  # one braking, of 3.25 m/s2
FILES = [replay.TRIPS / f"{name}.ubirec" for name in (RECKLESS, CALM, BRISK)]
CODE = ("device", "ingest", "features", "pricing", "replay_data", "tests")


@pytest.fixture(scope="module")
def head(request):
    return snapshot(FILES, request.config.cache.mkdir("reference-model"))


def event(kind="harsh_braking", onset_ms=1_000, **changed):
    times = {"onset_ms": onset_ms, "peak_ms": onset_ms + 500, "end_ms": onset_ms + 1_000}
    return {"kind": kind, "level": 1, "peak": 320, "onset_speed_dkmh": 500, "delta_v_dkmh": -90} | times | changed


def test_no_change_shows_nothing_and_says_so(head, monkeypatch, capsys):
    assert compare(head["recordings"], snapshot(FILES, None)["recordings"]) == []
    assert diff.main(["--base", "golden", *map(str, FILES)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "base: the committed references",
        "Nothing changed in 3 recordings: no event, no feature, no factor.",
    ]


def test_a_changed_threshold_shows_the_events_features_and_factors_that_it_moved(head, tmp_path, request):
    """Harsh braking from 3.8 m/s2 on instead of 3.0: its events below that are lost, and nothing else of the events."""
    in_force, entry = f"rules-{CURRENT_VERSION}.toml", r'(kind = "harsh_braking".*?entry = )3\.0'
    changed = changed_copy(tmp_path / "changed", in_force, entry, r"\g<1>3.8")
    cache = request.config.cache.mkdir("reference-model")
    there = diff.snapshot_of(changed, tmp_path / "changed.json", FILES, cache, head["model"])
    differences = compare(head["recordings"], there["recordings"])
    brisk, reckless = [found for found in differences if found.is_told]
    assert (brisk.name, reckless.name) == (f"trips/{BRISK}.ubirec", f"trips/{RECKLESS}.ubirec")
    lost = 0
    for found in (brisk, reckless):
        before = [row for row in head["recordings"][found.name]["events"] if row["kind"] == "harsh_braking"]
        assert found.lost == [row for row in before if row["peak"] < 380] != []
        assert found.gained == []
        assert {shift.before["kind"] for shift in found.shifted} <= {"harsh_braking"}
        once, now = found.features["harsh_braking_per_100km"]
        assert now / once == pytest.approx(1 - len(found.lost) / len(before))
        lost += len(found.lost)
    assert brisk.relativity[1] < brisk.relativity[0]
    told = render(differences)
    assert f"events lost: {lost} (harsh_braking {lost})" in told
    assert "events gained: 0" in told
    assert re.search(r"^  factor .* before the caps -\d+\.\d\d %\)$", told, re.MULTILINE)
    assert there["rated_by"] == head["rated_by"] == head["model"] != there["model"]
    assert re.search("the reference model, trained anew, is another; by it . move, before the caps", told)


def changed_copy(folder, file, pattern, replacement):
    for name in CODE:
        shutil.copytree(
            diff.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "trips", "replay")
        )
    shutil.copy(diff.ROOT / "simulated_lake.py", folder)
    (path,) = folder.rglob(file)
    text, count = re.subn(pattern, replacement, path.read_text(), count=1, flags=re.DOTALL)
    assert count == 1
    path.write_text(text)
    return folder


def test_an_event_a_little_later_is_shifted_and_one_of_another_kind_is_not_it():
    before = [event(), event("harsh_turn_left", 60_000)]
    after = [event(onset_ms=1_500, peak=300, level=1), event("harsh_turn_right", 60_000)]
    gained, lost, (shift,) = match(before, after)
    assert ([row["kind"] for row in gained], [row["kind"] for row in lost]) == (
        ["harsh_turn_right"],
        ["harsh_turn_left"],
    )
    row = {"trips": [], "features": {}, "relativity": 1.0, "factor": 1.0, "retrained": 1.0}
    told = render(compare({"a": row | {"events": before}}, {"a": row | {"events": after}}))
    assert "~ 0:01.0 harsh_braking level 1, 3.20 m/s2 from 50 km/h: onset +500 ms, peak +500 ms, end +500 ms" in told
    assert "-0.20 m/s2" in told
    assert shift.before["onset_ms"] == 1_000


def test_the_nearest_event_is_the_same_event():
    before, after = [event(onset_ms=1_000), event(onset_ms=3_500)], [event(onset_ms=3_000)]
    gained, lost, (shift,) = match(before, after)
    assert (gained, lost, shift.before["onset_ms"]) == ([], [before[0]], 3_500)


def test_a_recording_that_is_refused_new_or_gone_is_told(head):
    rows = head["recordings"]
    calm = f"trips/{CALM}.ubirec"
    told = render(compare(rows, {calm: {"refused": ":7: is damaged"}, "new.csv": rows[calm]}))
    assert "  was read\n  is refused:7: is damaged" in told
    assert f"trips/{RECKLESS}.ubirec\n  is gone" in told
    assert "new.csv\n  is new, there is nothing to compare with" in told


def test_features_and_factors_are_told_in_per_cent(head):
    changed = copy.deepcopy(head["recordings"])
    row = changed[f"trips/{CALM}.ubirec"]
    row["features"]["mean_moving_speed_kmh"] *= 1.1
    row["relativity"], row["factor"] = row["relativity"] * 1.02, row["factor"] * 1.02
    told = render(compare(head["recordings"], changed))
    assert "(+10.00 %)" in told
    assert "factors moved, by one model: 1, before the caps +2.00 % in the median" in told
    told = render(compare(head["recordings"], changed), one_model=False)
    assert "factors moved, each side by its own model, since head cannot rate by that of base: 1, before" in told


def rated(features, effects, relativity=1.0, factor=1.0):
    row = {"trips": [], "events": [], "features": features, "effects": effects}
    return {"a": row | {"relativity": relativity, "factor": factor, "retrained": 1.0}}


@pytest.mark.parametrize(
    ("after", "told", "feature"),
    [
        (rated({"x": 1.0, "y": 2.0}, {"x": 0.1}), "stays: the model reads none of what moved", "not in the model"),
        (
            rated({"x": 2.0, "y": 1.0}, {"x": 0.1}),
            "stays: the model's tables say the same of ",
            "the same to the model",
        ),
        (rated({"x": 2.0}, {"x": 0.1 + 1e-9}), "stays: less than is printed", "its part below 0.01 %"),
        (
            rated({"x": 2.0, "y": 1.0}, {"x": 0.2}, 1.105),
            "stays at a cap of the plan, before the caps +10.50 %",
            "+10.52 %",
        ),
        (
            rated({"x": 2.0, "y": 1.0}, {"x": 0.2}, 1.105, 1.05),
            "+5.00 %, before the caps +10.50 %",
            "its part +10.52 %",
        ),
    ],
)
def test_why_a_factor_moved_or_stayed_is_told(after, told, feature):
    lines = render(compare(rated({"x": 1.0, "y": 1.0}, {"x": 0.1}), after))
    (factor,) = re.findall(r"^  factor (.*)$", lines, re.MULTILINE)
    assert told in factor
    assert feature in lines.split("factor")[0]
    stays = re.findall(r"^    1 stay: .*$", lines, re.MULTILINE)
    assert len(stays) == ("stays:" in factor)
    assert ("1 of those that moved stay at a cap of the plan" in lines) == ("at a cap" in factor)


def test_without_a_model_on_both_sides_no_factor_is_told():
    before, after = (
        {"trips": [], "events": [], "features": {"x": 1.0}},
        {"trips": [], "events": [], "features": {"x": 2.0}},
    )
    told = render(compare({"a": before}, {"a": after}))
    assert told.endswith("  factors: not known of both sides")
    assert "factor 1" not in told


def git(folder, *words):
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]
    done = subprocess.run(["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_base_is_head_for_changed_files_else_the_fork_from_origin_else_the_commit_before(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    for number in range(3):
        (tmp_path / "a").write_text(str(number))
        git(tmp_path, "add", "a")
        git(tmp_path, "commit", "-qm", f"commit {number}")
    commits = git(tmp_path, "log", "--format=%H").split()
    assert commits[1].startswith(diff.pick_base(tmp_path).revision)
    git(tmp_path, "update-ref", "refs/remotes/origin/main", commits[2])
    assert commits[2].startswith(diff.pick_base(tmp_path).revision)
    (tmp_path / "a").write_text("changed")
    assert commits[0].startswith(diff.pick_base(tmp_path).revision)


def test_a_base_without_the_snapshot_or_of_no_such_name_is_told_in_a_line(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / "a").write_text(json.dumps(1))
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-qm", "old")
    with pytest.raises(SystemExit, match=r"main has no tests/golden/snapshot\.py; name a later revision with BASE="):
        diff.unpack(tmp_path, "main", tmp_path / "there")
    with pytest.raises(SystemExit, match="make diff: fatal: not a valid object name: nowhere"):
        diff.unpack(tmp_path, "nowhere", tmp_path / "there")
