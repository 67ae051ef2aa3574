"""Other event rules over trips without motion: bounds and estimate against what the motion says, on real drives.

Thresholds of harsh events are scaled together. Each trip is judged twice: from its motion, and from what its summary
and events tell alone. `broken` counts trips and kinds whose true number lies outside their bounds: there must be none.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import polars as pl

from device.contract.errors import RecordingError
from device.contract.rules import CURRENT_VERSION, KIND_NAMES, Rule, Rules, load_rules
from features.bounds import bounds
from features.derive import derive
from replay_data.importers import load
from tests.bench.drives import SHARED
from tests.bench.neutrality import trips_of
from tests.bench.row import Row
from tests.features.trips import Trip, heads_of, motion_of

SCALES = (0.8, 0.9, 1.1, 1.25, 1.5)
HARSH = tuple(number for number, name in KIND_NAMES.items() if name.startswith("harsh"))
FOLDERS = ("kit-obd2", "polidriving", "drive-plotr-nds", "ndsbr", "twizy-ev", "ikhyd", "bmw-can-phone")
AGAIN = {"alonso_20231229_151643_raw.csv", "trip2_with_obd.txt", "dataset1_phone.csv"}  # the same drives once more
START_MS = 1_700_000_000_000


def run() -> list[Row]:
    """Judge every recording that is there, once."""
    trips = recorded()
    if not trips:
        sys.stderr.write("rules: no recording is there; see UBI_SHARED_DATA\n")
        return []
    motion, heads = motion_of(trips), heads_of(trips)
    before = derive(motion, heads)
    summaries = heads.join(before.summaries, on="trip_key")
    old = load_rules()
    km = int(before.summaries["distance_mm"].sum()) / 1e6
    rows = [Row(f"{len(trips)} trips", km, "km")]
    for scale in SCALES:
        rules = scaled(old, scale)
        true = derive(motion, heads, rules).events.group_by("trip_key", "kind").agg(true=pl.len().cast(pl.Int64))
        found = (
            bounds(summaries, before.events, rules)
            .filter(pl.col("kind").is_in(HARSH))
            .join(true, on=("trip_key", "kind"), how="left")
            .with_columns(pl.col("true").fill_null(0))
        )
        rows += _of_kinds(found, before.events, f"thresholds x {scale}")
        broken = found.filter((pl.col("low") > pl.col("true")) | (pl.col("true") > pl.col("high"))).height
        rows.append(
            Row(f"thresholds x {scale}: broken, of {found.height}", broken, "1", None, None, "none", not broken)
        )
    return rows


def recorded() -> list[Trip]:
    """Trips of other people's recordings, through the device's path."""
    found = []
    for folder in FOLDERS:
        for file in sorted((SHARED / folder).glob("*")):
            try:
                readings = [] if file.name in AGAIN else load(file)[1]
            except RecordingError:
                continue
            found += trips_of(readings, None, START_MS)
    return [replace(trip, key=number, rules_version=CURRENT_VERSION) for number, trip in enumerate(found)]


def scaled(rules: Rules, scale: float) -> Rules:
    """Harsh events at other thresholds."""

    def of(rule: Rule) -> Rule:
        entry, leave = round(rule.entry * scale), round(rule.exit * scale)
        return replace(rule, entry=entry, exit=leave, levels=(entry,)) if rule.number in HARSH else rule

    return replace(rules, version=1_000, rules=tuple(of(rule) for rule in rules.rules))


def _of_kinds(found: pl.DataFrame, old_events: pl.DataFrame, name: str) -> list[Row]:
    was = dict(old_events.group_by("kind").len().rows())
    rows = []
    for of in found.group_by("kind").agg(pl.exclude("trip_key").sum()).sort("kind").to_dicts():
        about = of["reached"] * was.get(of["kind"], 0) / max(of["reached_before"], 1)
        told = f"{KIND_NAMES[of['kind']]}, {of['low']} to {of['high']}, about"
        rows.append(Row(f"{name}: {told}", round(about, 1), "events", None, of["true"]))
    return rows
