"""What other rules would find in a lake: counted where motion was kept, bounded where it was not, nothing changed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib import resources

import polars as pl
import pytest

import features.rules_change
from device.contract.errors import ContractError, UbiError
from device.contract.rules import KIND_NAMES, load_rules
from features.derive import derive
from features.errors import RulesError
from features.rules_change import CHANGE, by_kind, change, read_rules
from ingest.contract.lake import Lake
from ingest.contract.publish import publish
from tests.features.lakes import drive, lake_of, sealed, utc_ms, year_of_trips
from tests.features.trips import heads_of, motion_of

DRIVES = [drive(seed, f"car-{seed % 3}", utc_ms(2025, 1, 2 + seed)) for seed in range(9)]
OLD = load_rules(2)  # bridges nothing, as version 1, which the drives were recorded with
BRAKING_FROM_350 = replace(
    OLD,
    version=1_000,
    rules=tuple(
        replace(rule, entry=350, levels=(350, 440)) if rule.kind == "harsh_braking" else rule for rule in OLD.rules
    ),
)


def true_counts(rules):
    trips = sorted((trip for trip, _, _ in DRIVES), key=lambda trip: trip.key)
    car_of = {trip.key: device for trip, _, device in DRIVES}
    events = derive(motion_of(trips), heads_of(trips), rules).events
    counts: dict[tuple[str, int], int] = {}
    for key, kind in events.select("trip_key", "kind").rows():
        counts[car_of[key], kind] = counts.get((car_of[key], kind), 0) + 1
    return counts


def test_where_motion_was_kept_every_count_is_exact(tmp_path):
    rows = change(lake_of(tmp_path / "lake", DRIVES), BRAKING_FROM_350)
    assert rows.schema == CHANGE
    found = {(row["driver_id"], row["kind"]): row for row in rows.to_dicts()}
    for (car, kind), n in true_counts(BRAKING_FROM_350).items():
        row = found[car, KIND_NAMES[kind]]
        assert row["after_at_least"] == row["after_about"] == row["after_at_most"] == n
        assert row["trips"] == 3
        assert row["trips_without_motion"] == 0
    braking = rows.filter(pl.col("kind") == "harsh_braking")
    assert (braking["after_about"] < braking["before"]).all()
    others = rows.filter(pl.col("kind") != "harsh_braking")
    assert (others["after_about"] <= others["before"] + 2).all()  # trips were recorded with version 1, without idling


def test_without_motion_the_truth_lies_between_the_bounds(tmp_path):
    exact = change(lake_of(tmp_path / "with", DRIVES), BRAKING_FROM_350)
    bounded = change(lake_of(tmp_path / "without", DRIVES, with_motion=False), BRAKING_FROM_350)
    both = exact.join(bounded, on=("driver_id", "kind"), suffix="_bounded").filter(pl.col("kind") != "idling")
    assert both.height >= 12
    assert (both["after_at_least_bounded"] <= both["after_about"]).all()
    assert (both["after_about"] <= both["after_at_most_bounded"]).all()
    assert (both["before"] == both["before_bounded"]).all()
    assert (both["trips_without_motion_bounded"] == 3).all()
    unchanged = both.filter(pl.col("kind") != "harsh_braking")
    assert (unchanged["after_at_least_bounded"] == unchanged["after_at_most_bounded"]).all()


def test_what_cannot_be_told_is_not_told_as_none(tmp_path):
    rows = change(lake_of(tmp_path / "lake", DRIVES, with_motion=False), load_rules())
    idling = rows.filter(pl.col("kind") == "idling")  # the trips were recorded with version 1, which knows none
    assert idling["after_at_least"].to_list() == [0, 0, 0]
    assert idling["after_about"].to_list() == idling["after_at_most"].to_list() == [None, None, None]
    assert by_kind(rows).filter(pl.col("kind") == "idling")["after_about"].to_list() == [None]


def test_both_sorts_of_trips_add_up(tmp_path):
    lake = Lake(tmp_path / "lake")
    publish(lake, "messages", [sealed(DRIVES[:5]), sealed(DRIVES[5:], with_motion=False)])
    rows = change(lake, BRAKING_FROM_350).filter(pl.col("kind") == "harsh_braking")
    assert rows["trips"].sum() == 9
    assert rows["trips_without_motion"].sum() == 4
    true = sum(n for (_, kind), n in true_counts(BRAKING_FROM_350).items() if kind == 1)
    assert rows["after_at_least"].sum() <= true <= rows["after_at_most"].sum()
    total = by_kind(change(lake, BRAKING_FROM_350)).filter(pl.col("kind") == "harsh_braking").row(0, named=True)
    assert total["before"] == rows["before"].sum()


def test_the_lake_is_not_changed(tmp_path):
    lake = lake_of(tmp_path / "lake", DRIVES[:2])
    before = contents(lake)
    change(lake, BRAKING_FROM_350)
    assert contents(lake) == before


def test_a_damaged_file_is_named(tmp_path):
    lake = lake_of(tmp_path / "lake", DRIVES[:2])
    motion = next(lake.sealed.glob("motion/**/*.parquet"))
    motion.write_bytes(motion.read_bytes()[:-100])
    with pytest.raises(UbiError, match=f"{motion.name}: cannot be read"):
        change(lake, BRAKING_FROM_350)


def test_groups_are_derived_together_or_one_by_one(tmp_path, monkeypatch):
    lake = lake_of(tmp_path / "lake", year_of_trips(3, 2))
    together = change(lake, BRAKING_FROM_350)
    monkeypatch.setattr(features.rules_change, "MOTION_ROWS", 1)
    assert change(lake, BRAKING_FROM_350).equals(together)


def contents(lake):
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in lake.root.rglob("*") if file.is_file()}


def test_a_kind_that_the_new_rules_lack_is_gone(tmp_path):
    rules = replace(load_rules(), rules=tuple(rule for rule in load_rules().rules if rule.kind != "harsh_turn_left"))
    for with_motion in (True, False):
        rows = change(lake_of(tmp_path / str(with_motion), DRIVES, with_motion=with_motion), rules)
        gone = rows.filter(pl.col("kind") == "harsh_turn_left")
        assert gone["before"].sum() > 0
        assert gone["after_at_most"].sum() == 0


def test_rules_are_read_from_a_file_or_by_version(tmp_path):
    assert read_rules("2") == load_rules(2)
    file = tmp_path / "rules.toml"
    file.write_text((resources.files("device.contract") / "event_rules" / "rules-2.toml").read_text())
    assert read_rules(str(file)) == load_rules(2)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("version = ", "cannot be read as TOML"),
        ("version = 3", "lacks 'rule'"),
        ("version = 3\nrule = 7", "is no definition of event rules"),
        ("version = 3\nrule = [{kind = 'harsh_braking'}]", "lacks 'signal'"),
        ("version = 3\nrule = [{kind = 'harsh_braking', bridge = 7}]", "'bridge' is no key; there are kind, signal"),
    ],
)
def test_a_file_that_is_no_definition_is_refused(tmp_path, content, told):
    file = tmp_path / "rules.toml"
    file.write_text(content)
    with pytest.raises(RulesError, match=told):
        read_rules(str(file))


def test_rules_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(RulesError, match=r"none\.toml: no such file"):
        read_rules(str(tmp_path / "none.toml"))
    with pytest.raises(ContractError, match="version 77"):
        read_rules("77")


def test_a_driver_without_events_counts_in_the_distance_of_all(tmp_path):
    """Rates of the fleet are per kilometre of the fleet, not of those who brake hard."""
    lake = Lake(tmp_path / "lake")
    content = sealed(DRIVES)
    quiet = pl.col("device_id") == "car-0"
    none = pl.lit([], content["trips"].schema["event_counts"])
    content["trips"] = content["trips"].with_columns(
        event_counts=pl.when(quiet).then(none).otherwise("event_counts"),
        excursions=pl.when(quiet).then(none).otherwise("excursions"),
        has_motion=~quiet,
    )
    content["events"] = content["events"].filter(~quiet)
    content["motion"] = content["motion"].join(content["trips"].filter(~quiet), on="trip_key", how="semi")
    publish(lake, "messages", [content])
    rows = change(lake, load_rules(1))
    own = rows.filter(pl.col("driver_id") == "car-0")
    assert own["kind"].to_list() == rows["kind"].unique(maintain_order=True).to_list()
    assert set(own["after_at_most"]) == {0}
    km = content["trips"]["distance_mm"].sum() / 1e6
    for row in by_kind(rows).to_dicts():
        assert row["before_per_100km"] == pytest.approx(100 * row["before"] / km, rel=1e-4)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('signal = "accel_lon_cmps2"', 'signal = "speed"', "harsh_braking: 'speed' is no signal; there are accel_lat"),
        ('kind = "idling"', 'kind = "honking"', "'honking' is no kind of event; there are harsh_braking"),
        ('kind = "idling"', 'kind = "speeding"', "speeding has two rules"),
        ("sign = -1", "sign = 0", r"rules\.toml: event rule harsh_braking: needs exit <= entry"),
        (
            "exit = 1.0",
            "exit = 1.0\nbrige_ms = 500",
            r"toml: excursion: 'brige_ms' is no key; there are entry, exit, bri",
        ),
        ("merge_gap_ms = 5000", "merge_gap_ms = 5000\nbridge_ms = 500", "speeding: bridge_ms is 0"),
    ],
)
def test_rules_that_nothing_here_can_follow_are_refused(tmp_path, old, new, told):
    file = tmp_path / "rules.toml"
    text = resources.files("device.contract").joinpath("event_rules/rules-2.toml").read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    with pytest.raises(RulesError, match=told):
        read_rules(str(file))
