"""Harsh events relative to what is usual at their speed and on their kind of trip: before and after, on real drives.

`python -m tests.bench.context --write` makes features/context.toml from the open recordings of other people's drives;
`make bench NAME=context` shows what the weights do to each kind of trip, each source left out of the weights in turn.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from device.contract.rules import KIND_NUMBERS
from device.contract.trip import DURATION_CLASSES, ONSET_BANDS, PEAK_BINS, PEAK_STEP_CMPS2, SPEED_BANDS, TripSummary
from device.pipeline import Pipeline, TripEnded
from features.context import CONTEXTS, MILLI, TRIP_KINDS, trip_kind
from replay_data.importers import load, recognise
from tests.bench.drives import SHARED
from tests.bench.measure import ROOT
from tests.bench.row import Row

PROFILES: Final = ("calm", "everyday", "brisk", "reckless")
FOLDERS: Final = ("kit-obd2", "polidriving", "drive-plotr-nds", "ndsbr", "twizy-ev", "ikhyd", "bmw-can-phone")
# The same drives once more, in another format or by another instrument.
AGAIN: Final = {"alonso_20231229_151643_raw.csv", "trip2_with_obd.txt", "dataset1_phone.csv"}
KINDS: Final = {"braking": ("harsh_braking",), "acceleration": ("harsh_acceleration",)}
TURNS: Final = ("harsh_turn_left", "harsh_turn_right")
MODERATE_CMPS2: Final = 200
# Events that the next wider cell counts for: city at 30 km/h leans on all driving at 30 km/h, that on town speeds.
PRIOR_EVENTS: Final = 5.0
REGIMES: Final = (0, 2, 5, 10)  # first bands: creeping, town from 20, road from 50, motorway from 100 km/h
START_MS: Final = 1_700_000_000_000
TARGET: Final = ROOT / "features" / "context.toml"
Floats = npt.NDArray[np.float64]


class Drive(NamedTuple):
    """Summary of a recorded trip, and where it comes from."""

    source: str
    summary: TripSummary


class Counts(NamedTuple):
    """Events and distance of drives by kind of trip and speed band: shapes (3, 3, SPEED_BANDS)."""

    events: Floats
    km: Floats


def run() -> list[Row]:
    """Rates by kind of trip and by source, as they are and against what is usual there."""
    every = recorded()
    rows: list[Row] = []
    for source in sorted({drive.source for drive in every}):
        others = weights(counts([drive for drive in every if drive.source != source]))
        rows.append(_braking(source, [drive for drive in every if drive.source == source], others))
    usual = weights(counts(every))
    rows += [_braking(f"own trips, simulated, {profile}", simulated(profile), usual) for profile in PROFILES]
    for place, name in enumerate(CONTEXTS):
        plain, fair = _rates(every, place)
        rows += [
            Row(f"{name}, {kind} trips, per 100 km as driven", plain[k], "per 100 km")
            for k, kind in enumerate(TRIP_KINDS)
        ]
        rows += [
            Row(f"{name}, {kind} trips, per 100 km in context", fair[k], "per 100 km", anchor=plain[k])
            for k, kind in enumerate(TRIP_KINDS)
        ]
        rows.append(Row(f"{name}, city over motorway", fair[0] / fair[2], "1", anchor=plain[0] / plain[2]))
    return rows


def _braking(name: str, drives: Sequence[Drive], of_others: npt.NDArray[np.int64]) -> Row:
    """Moderate brakings per 100 km in context, beside those as driven."""
    counted = counts(drives)
    events, km = counted.events[0].sum(), counted.km[0].sum()
    context_km = float((counted.km[0] * of_others[0]).sum() / MILLI)
    told = f"braking, {name}, {km:.0f} km, in context beside as driven"
    return Row(told, float(100 * events / context_km), "per 100 km", anchor=float(100 * events / km))


def _rates(drives: Sequence[Drive], place: int) -> tuple[Floats, Floats]:
    """Events per 100 km of each kind of trip, as driven and in context of the weights made without their source."""
    events, km, context = (np.zeros(len(TRIP_KINDS)) for _ in range(3))
    for source in sorted({drive.source for drive in drives}):
        own = counts([drive for drive in drives if drive.source == source])
        others = weights(counts([drive for drive in drives if drive.source != source]))
        events += own.events[place].sum(axis=1)
        km += own.km[place].sum(axis=1)
        context += (own.km[place] * others[place] / MILLI).sum(axis=1)
    return 100 * events / km, 100 * events / context


@cache
def recorded() -> list[Drive]:
    """Every open recording of a real drive, through the device's own pipeline."""
    return list(_recorded())


def _recorded() -> Iterator[Drive]:
    files = [file for folder in FOLDERS for file in sorted((SHARED / folder).glob("*"))]
    return _played([file for file in files if file.name not in AGAIN and recognise(file)])


def simulated(profile: str) -> list[Drive]:
    """Recorded trips of this project's simulated drivers of a profile."""
    return list(_played(sorted((ROOT / "replay_data" / "trips").glob(f"sim-{profile}-*.ubirec"))))


def _played(files: Sequence[Path]) -> Iterator[Drive]:
    """Drives through the device's own pipeline."""
    for file in files:
        pipeline = Pipeline(lambda mono_ms: (START_MS + mono_ms, None))
        outputs = [output for reading in load(file)[1] for output in pipeline.push(reading)]
        for output in (*outputs, *pipeline.finish()):
            if isinstance(output, TripEnded) and output.summary.distance_mm:
                yield Drive(file.parent.name, output.summary)


def counts(drives: Sequence[Drive]) -> Counts:
    """Count moderate events by onset speed, and distance by speed; of turns, where they could be seen."""
    shape = (len(CONTEXTS), len(TRIP_KINDS), SPEED_BANDS)
    events, km = np.zeros(shape), np.zeros(shape)
    numbers = [{KIND_NUMBERS[kind] for kind in KINDS.get(name, TURNS)} for name in CONTEXTS]
    for drive in drives:
        summary = drive.summary
        by_speed = np.array([[summary.distance_by_speed_mm.get(band, 0) for band in range(SPEED_BANDS)]])
        kind = int(trip_kind(by_speed)[0])
        km[:, kind] += by_speed[0] / 1e6
        km[CONTEXTS.index("turn"), kind] -= by_speed[0] / 1e6 * (1 - summary.lateral_samples / summary.samples)
        for key, count in summary.excursions.items():
            rest, band = divmod(key, ONSET_BANDS)
            number, peak = divmod(rest // DURATION_CLASSES, PEAK_BINS)
            if band < SPEED_BANDS and peak * PEAK_STEP_CMPS2 >= MODERATE_CMPS2:
                for place, of in enumerate(numbers):
                    events[place, kind, band] += count * (number in of)
    return Counts(events, km)


def weights(counted: Counts) -> npt.NDArray[np.int64]:
    """Usual rate of each kind of trip and speed band over that of all driving, in 1/1000.

    A cell leans on all kinds of trips at that speed, a speed on its regime (creeping, town, road, motorway), a regime
    on all driving, as if `PRIOR_EVENTS` had been seen at the wider one's rate. The weights are then scaled so that
    context distance and distance agree on these drives.
    """
    made = []
    for events, km in zip(counted.events, counted.km, strict=True):
        rate = events.sum() / km.sum()
        of_regime = [np.full(len(r), _leaning(e.sum(), rate * k.sum())) for r, e, k in _regimes(events, km)]
        by_speed = rate * np.concatenate(of_regime)
        by_speed *= _leaning(events.sum(axis=0), by_speed * km.sum(axis=0))
        cells = by_speed * _leaning(events, by_speed * km)
        made.append(cells * km.sum() / (cells * km).sum())
    per_mille: npt.NDArray[np.int64] = np.maximum(np.rint(np.array(made) * MILLI), 1).astype(np.int64)
    return per_mille


def _regimes(events: Floats, km: Floats) -> Iterator[tuple[range, Floats, Floats]]:
    """Bands of each regime of speed, with its events and distance."""
    for low, high in pairwise((*REGIMES, SPEED_BANDS)):
        yield range(low, high), events[:, low:high], km[:, low:high]


def _leaning(observed: Floats, expected: Floats) -> Floats:
    leaning: Floats = (observed + PRIOR_EVENTS) / (expected + PRIOR_EVENTS)
    return leaning


def as_toml(drives: Sequence[Drive]) -> str:
    """The file of weights, with what it rests on."""
    counted = counts(drives)
    made = weights(counted)
    lines = [
        "# Usual rate of moderate events (peak 2.0 m/s2 and more) by kind of trip and speed band of 10 km/h, over that",
        "# of all driving, in 1/1000. Made by 'python -m tests.bench.context --write'; see features/context.py.",
        'version = "1"',
        "",
        "# What it rests on",
        f"trips = {len(drives)}",
        f"km = {counted.km[0].sum():.0f}",
        f"sources = [{', '.join(repr(s) for s in sorted({d.source for d in drives}))}]".replace("'", '"'),
    ]
    for place, name in enumerate(CONTEXTS):
        lines += ["", f"[{name}]", f"events = {counted.events[place].sum():.0f}"]
        lines += [f"{kind} = [{', '.join(map(str, made[place, k]))}]" for k, kind in enumerate(TRIP_KINDS)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        TARGET.write_text(as_toml(recorded()), encoding="utf-8")
    else:
        sys.stdout.write(as_toml(recorded()))
