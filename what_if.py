"""What one more recorded trip would do to a driver's factor.

    recording -> device path in this process -> messages -> sealed trip -> driver period -> rated again, B held fixed

It composes all stages, so it belongs to none. Nothing is written but to a folder that is thrown away.

Judgements, numbered:

1. The trip counts as driven in the last month of the window, on the same day of the week; with `monthly`, once in each
   month of it. Local hours are those of the recording.
2. Odometer, VIN and device are those of the recording's car, not of the driver's: they are left out.
3. What the trip does to other drivers through the balance is left out: B is held fixed.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

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
from pricing.batch import Periods
from pricing.explain.rerate import Case, Rerated
from pricing.model import load_model
from pricing.rebuild import rebuild
from pricing.typed import read_table
from replay_data.driven import messages_of
from replay_data.recording import read_recording

MM_PER_KM: Final = 1_000_000
DAY_MS: Final = 86_400_000
FEATURES_TOLD: Final = 8
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
    def by_feature(self) -> dict[str, tuple[float, float]]:
        """Features whose effect changed: before and after, the strongest change first."""
        pairs = {name: (self.before.effect(name), self.after.effect(name)) for name in self.before.split.names}
        moved = {name: pair for name, pair in pairs.items() if abs(pair[1] / pair[0] - 1) >= 1e-6}
        return dict(sorted(moved.items(), key=lambda item: -abs(item[1][1] / item[1][0] - 1)))


def tell(change: Change, case: Case, language: str = "en") -> str:
    """Tell what the trip would change."""
    before, after, driven = change.before, change.after, change.drive
    events = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in driven.counted().items()) or "no event"
    often = f"once in each of {change.times} months" if change.times > 1 else "once, in the last month of the window"
    lines = [
        f"policy {case.published['policy_id']}, driver {case.driver}",
        f"with {driven.trips.height} recorded trip(s) of {driven.km:,.1f} km, {events}; driven {often}",
        "",
        f"{before.factor:.6f}  factor without",
        f"{after.factor:.6f}  factor with, B held fixed ({after.factor / before.factor - 1:+.2%})",
    ]
    if before.rateable and after.relativity != before.relativity:
        told = " and ".join(
            name
            for name, acts in (("the band of the plan", after.capped), ("the renewal limit", after.limited))
            if acts
        )
        lines.append(
            f"{before.relativity:.6f} to {after.relativity:.6f}  relativity indicated by the driving"
            + (f"; the factor is held by {told}" if told else "")
        )
    if before.rateable and not change.by_feature:
        lines.append("no feature leaves its bin of the rating tables: this driving is already what the price says")
    if not after.rateable:
        lines.append("too little driving even so: the factor stays what it was")
    by_name = {feature.name: feature for feature in case.catalogue.features}
    values = zip(before.inputs.values[0], after.inputs.values[0], strict=True)
    by_value = dict(zip(before.inputs.names, values, strict=True))
    for name, (was, now) in list(change.by_feature.items())[:FEATURES_TOLD]:
        old, new = (by_name[name].tell(float(value), language) for value in by_value[name])
        lines.append(f"  x {now / was:.4f}  {old} -> {new}")
    return "\n".join(lines)


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
        Once in each month of the window instead of once.

    Raises
    ------
    UbiError
        If the recording holds no trip, or an input cannot be read.
    """
    catalogue, frozen = load_catalogue(), load_model(model)
    periods = read_table(Periods.of(features).file)
    case = Case.of(rebuild(factors, driver, periods, catalogue, frozen), catalogue, frozen)
    return with_drive(case, case.own(periods), drive(recording), monthly=monthly)


def with_drive(case: Case, own: pl.DataFrame, driven: Drive, *, monthly: bool = False) -> Change:
    """Rate a case again with a drive added to its driver periods `own`."""
    months = case.months if monthly else case.months[-1:]
    more = [sum_trips(_moved(driven.trips, month, case), driven.events) for month in months]
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


def _moved(trips: pl.DataFrame, month: date, case: Case) -> pl.DataFrame:
    """Trips as the driver's own, in the first week of a month, by whole weeks."""
    first = int(trips["start_ms"].to_numpy().min()) // DAY_MS
    days = (month - EPOCH).days - first
    return trips.with_columns(
        pl.col("start_ms") + (days + -days % DAYS_PER_WEEK) * DAY_MS,
        *(pl.lit(None, trips.schema[name]).alias(name) for name in _OF_ANOTHER_CAR),
        policy_id=pl.lit(case.published["policy_id"], pl.String),
        driver_id=pl.lit(case.driver, pl.String),
    )
