"""What one more recorded trip would do to a driver's factor.

    recording -> device path in this process -> messages -> sealed trip -> driver period -> rated again, B held fixed

It composes all stages, so it belongs to none. Nothing is written but to a folder that is thrown away.

Judgements, numbered:

1. The trip counts as driven in the last month of the window, on the same day of the week; with `monthly`, once in each
   month of it from the driver's first trip on, and not before that trip: distance per day is counted from there, so an
   earlier one would spread what was driven over more days. Local hours are those of the recording.
2. Odometer, VIN and device are those of the recording's car, not of the driver's: they are left out.
3. What the trip does to other drivers through the balance is left out: B is held fixed.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from device.contract.errors import RecordingError
from device.contract.rules import KIND_NAMES
from features.contract.catalogue import load_catalogue
from features.periods import merge, sum_trips
from ingest.contract import durable
from ingest.contract.lake import Lake
from ingest.judge import Sound, judge
from ingest.seal import seal
from ingest.segments import MESSAGES, Segment, message_row
from pricing.built import periods_file
from pricing.explain.rerate import Case, Rerated
from pricing.explain.words import WORDS
from pricing.model import load_model
from pricing.rebuild import rebuild
from pricing.typed import read_table
from replay_data.driven import messages_of
from replay_data.recording import read_recording

MM_PER_KM: Final = 1_000_000
DAY_MS: Final = 86_400_000
FEATURES_TOLD: Final = 8
PARTNERS_TOLD: Final = 3
DAYS_PER_WEEK: Final = 7
EPOCH: Final = date(1970, 1, 1)
_OF_ANOTHER_CAR: Final = (
    "vin_hash",
    "device_id",
    "odometer_start_m",
    "odometer_end_m",
    "distance_since_clear_start_m",
    "distance_since_clear_end_m",
)


class Drive(NamedTuple):
    """A recording as the lake holds it: `ingest.contract.tables` TRIPS and EVENTS."""

    trips: pl.DataFrame
    events: pl.DataFrame

    @property
    def km(self) -> float:
        """Distance of its trips."""
        return float(self.trips["distance_mm"].fill_null(0).sum()) / MM_PER_KM

    def counted(self) -> dict[str, int]:
        """Events by kind."""
        return dict(sorted(Counter(KIND_NAMES[kind] for kind in self.events["kind"]).items()))


class Change(NamedTuple):
    """What the trip changes; `times` is how often it was added."""

    before: Rerated
    after: Rerated
    drive: Drive
    times: int

    @property
    def moved(self) -> set[str]:
        """Features that the model sees changed: their values, or how sure these are."""
        same = np.isclose(self.before.matrix[0], self.after.matrix[0], rtol=0.0, atol=0.0, equal_nan=True)
        return {name for name, still in zip(self.before.inputs.names, same, strict=True) if not still}

    @property
    def by_feature(self) -> dict[str, tuple[float, float]]:
        """Features whose effect changed: before and after, the strongest change first."""
        pairs = {name: (self.before.effect(name), self.after.effect(name)) for name in self.before.split.names}
        moved = {name: pair for name, pair in pairs.items() if abs(pair[1] / pair[0] - 1) >= 1e-6}
        return dict(sorted(moved.items(), key=lambda item: -abs(item[1][1] / item[1][0] - 1)))


def tell(change: Change, case: Case, language: str = "en") -> str:
    """Tell what the trip would change."""
    before, after, driven, words = change.before, change.after, change.drive, WORDS[language]
    counts = driven.counted().items()
    events = words.comma.join(words.counted.format(count=count, kind=words.kinds[kind]) for kind, count in counts)
    often = words.monthly.format(times=change.times) if change.times > 1 else words.once
    acting = ((words.held_by["band"], after.capped), (words.held_by["limit"], after.limited))
    held = words.both.join(name for name, acts in acting if acts)
    lines = [
        words.policy.format(policy_id=case.published["policy_id"], driver_id=case.driver),
        words.with_trip.format(trips=driven.trips.height, km=driven.km, events=events or words.no_event, often=often),
        "",
        f"{before.factor:.6f}  {words.without}",
        f"{after.factor:.6f}  {words.with_it.format(change=after.factor / before.factor - 1)}",
    ]
    if before.rateable and after.relativity != before.relativity:
        told = words.held.format(held=held) if held else ""
        lines.append(f"{before.relativity:.6f} {words.to} {after.relativity:.6f}  {words.relativity}{told}")
    if before.rateable and not change.by_feature:
        lines.append(words.no_feature)
    if not after.rateable:
        lines.append(words.still_too_little)
    for name, (was, now) in list(change.by_feature.items())[:FEATURES_TOLD]:
        lines.append(f"  x {now / was:.4f}  {_why(change, case, name, language)}")
    return "\n".join(lines)


def _why(change: Change, case: Case, name: str, language: str) -> str:
    """Tell what changed the effect of a feature: its value, or why it changed although the value is told alike."""
    words, catalogue = WORDS[language], {feature.name: feature for feature in case.catalogue.features}
    told = [rated.told(catalogue[name], language) for rated in (change.before, change.after)]
    if told[0] != told[1]:
        return f"{told[0]} -> {told[1]}"
    if name in change.moved and change.before.value(name) != change.after.value(name):
        return words.slightly.format(told=told[1])
    if name in change.moved:
        return words.surer.format(told=told[1])
    moved = [*change.by_feature, *sorted(change.moved - change.by_feature.keys())]
    partners = [one for one in moved if one in case.partners(name) & change.moved]
    if partners:
        beside = words.comma.join(change.after.told(catalogue[one], language) for one in partners[:PARTNERS_TOLD])
        return words.by_partner.format(told=told[1], partners=beside)
    return words.weightier.format(told=told[1])


def price_with_trip(
    recording: Path, driver: str, factors: Path, features: Path, model: Path, *, monthly: bool = False
) -> Change:
    """Rate a driver again with a recorded trip added.

    Parameters
    ----------
    recording : Path
        Any format that `ubi replay` reads.
    driver : str
        A policy_id or a receipt of the rated book.
    factors, features, model : Path
        Output folders of `ubi pricing score`, `ubi features build` and `ubi pricing train`.
    monthly : bool
        Once in each month of the window from the driver's first trip on, instead of once.

    Raises
    ------
    UbiError
        If the recording holds no trip, or an input cannot be read.
    """
    catalogue, frozen = load_catalogue(), load_model(model)
    periods = read_table(periods_file(features))
    case = Case.of(rebuild(factors, driver, periods, catalogue, frozen), catalogue, frozen)
    return with_drive(case, case.own(periods), drive(recording), monthly=monthly)


def with_drive(case: Case, own: pl.DataFrame, driven: Drive, *, monthly: bool = False) -> Change:
    """Rate a case again with a drive added to its driver periods `own`."""
    since = _first_day(case, own)
    months = [month for month in case.months if month >= since.replace(day=1)] if monthly else case.months[-1:]
    more = [sum_trips(_moved(driven.trips, max(month, since), case), driven.events) for month in months]
    return Change(case.rate(own), case.rate(merge([own, *more])), driven, len(months))


def drive(recording: Path) -> Drive:
    """Send a recording through the device path and seal what comes, in a lake that is thrown away.

    Raises
    ------
    RecordingError
        If it cannot be read, or holds no trip.
    """
    played = read_recording(recording)
    payloads = messages_of(played)
    now_ms = (played.head.started_at_ms or 0) + DAY_MS
    segment = Segment(*MESSAGES)
    for verdict, payload in zip(judge((played.device_id, one) for one in payloads), payloads, strict=True):
        if not isinstance(verdict, Sound):
            raise RecordingError(str(recording), f"the device path made a message that is refused: {verdict}")
        segment.add(message_row(verdict, payload, now_ms), len(payload))
    with tempfile.TemporaryDirectory(prefix="ubi-what-if-") as folder:
        lake = Lake(Path(folder))
        durable.commit(dict(segment.files(lake.root, "0.parquet")))
        if lake.message_files():
            seal(lake, now_ms)
        found = Drive(lake.scan("trips").collect(), lake.scan("events").collect())
    if found.trips.is_empty():
        raise RecordingError(str(recording), "holds no trip: nothing in it is long enough, or moves")
    return found


def _first_day(case: Case, own: pl.DataFrame) -> date:
    """Day of the driver's first trip in the window, at latest a week before its end."""
    first = own.select(pl.from_epoch(pl.col("first_start_ms").min(), time_unit="ms").dt.date()).item()
    return min(first or case.months[0], case.rating_date.replace(day=1) - timedelta(days=DAYS_PER_WEEK))


def _moved(trips: pl.DataFrame, day: date, case: Case) -> pl.DataFrame:
    """Trips as the driver's own, in the week that begins with a day, moved by whole weeks."""
    first = int(trips["start_ms"].to_numpy().min()) // DAY_MS
    days = (day - EPOCH).days - first
    return trips.with_columns(
        pl.col("start_ms") + (days + -days % DAYS_PER_WEEK) * DAY_MS,
        *(pl.lit(None, trips.schema[name]).alias(name) for name in _OF_ANOTHER_CAR),
        policy_id=pl.lit(case.published["policy_id"], pl.String),
        driver_id=pl.lit(case.driver, pl.String),
    )
