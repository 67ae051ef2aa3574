"""One factor, told to a person: the product of all its parts, the history behind it, and what would change it.

product        factor = B x base x all effects x named adjustments, with the driver's own values
history        the months of the window, and the trips with the most events in it
counterfactuals what the driver could do, and what the factor would then be
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from device.contract.rules import KIND_NAMES
from device.contract.trip import LEVELS
from features.contract.catalogue import Catalogue
from features.contract.tables import EVENTS, TRIPS
from pricing.explain.counterfactual import Counterfactual
from pricing.explain.rerate import Case
from pricing.explain.words import WORDS, left, right
from pricing.reasons import tell_all
from pricing.rebuild import Rebuilt

TRIPS_TOLD: Final = 5
MM_PER_KM: Final = 1e6
MS_PER_HOUR: Final = 3.6e6
_DECIMALS: Final = {"share": 4, "rate": 2, "level": 2}  # of the middle of the book: it is there to be compared with


def product(rebuilt: Rebuilt, catalogue: Catalogue, language: str = "en") -> str:
    """Tell one factor as the product of all its parts, strongest effects first."""
    row, book, words = rebuilt.published, rebuilt.book, WORDS[language]
    by_name = {feature.name: feature for feature in catalogue.features}
    values, seen = rebuilt.inputs.values[0], rebuilt.matrix[0]
    effects, logs = rebuilt.split.effects[0], rebuilt.split.logs[0]
    rated = words.rated.format_map(row | {"tier": row["tier"] or "-"}) if row["rateable"] else words.not_rated
    acting = ((words.capped, row["capped"]), (words.limited, row["limited"]))
    lines = [
        words.head.format_map(row),
        words.window.format_map(row | {"seen": rebuilt.seen_share}),
        words.comma.join([rated, *(told for told, acts in acting if acts)]),
        "",
        f"{rebuilt.factor:.6f}  {words.factor}",
        f"{book['constants']['base_factor']:.6f}  {words.base}",
        f"{rebuilt.split.base[0]:.6f}  {words.mean_driver}",
    ]
    order = np.argsort(-np.abs(logs), kind="stable")
    moving = [column for column in order if logs[column]]
    for column in moving:
        feature = by_name[rebuilt.split.names[column]]
        shrunk = bool(np.isnan(values[column]) and not np.isnan(seen[column]))
        told = tell_all(feature, (seen if shrunk else values)[[column]], language)[0]
        told = words.shrunk.format(told=told) if shrunk else told
        middle = rebuilt.middle[feature.name]
        if middle is not None:
            told = words.beside.format(told=told, middle=feature.shown(round(middle, _DECIMALS[feature.kind])))
        lines.append(f"{effects[column]:.6f}  {told}")
    still = len(order) - len(moving)
    if still:
        lines.append(f"1.000000  {words.still.format(count=still)}")
    share = rebuilt.kept_discount_share
    lines.extend(
        f"{value:.6f}  {words.adjustments[name].format(share=share)}" for name, value in rebuilt.adjustments.items()
    )
    return "\n".join(lines)


def months(case: Case, own: pl.DataFrame, language: str = "en") -> str:
    """Tell the months of the window: trips, distance, time, and events of each kind."""
    words = WORDS[language]
    if own.is_empty():
        return words.no_trips.format(since=case.months[0], until=case.rating_date)
    counts = [_by_kind(entries) for entries in own["event_counts"]]
    kinds = [kind for kind in KIND_NAMES.values() if any(count.get(kind) for count in counts)]
    heads = [words.kinds[kind].removeprefix("harsh ") for kind in kinds]
    head = left(words.month, 9) + right(words.trips, 6) + right(words.km, 8) + right(words.hours, 7)
    lines = [head + "".join(right(kind, 14) for kind in heads)]
    for row, count in zip(own.iter_rows(named=True), counts, strict=True):
        line = f"{row['month']:%Y-%m}  {row['trips']:>6,}{row['distance_mm'] / MM_PER_KM:>8,.0f}"
        line += f"{row['moving_ms'] / MS_PER_HOUR:>7,.1f}"
        lines.append(line + "".join(f"{count.get(kind, 0):>14,}" for kind in kinds))
    return "\n".join(lines)


def trips(case: Case, folder: Path, language: str = "en") -> str:
    """Tell the trips of the window with the most events, the latest first among equals; `folder` is the features'."""
    files, words = (folder / "trips.parquet", folder / "events.parquet"), WORDS[language]
    if not all(file.is_file() for file in files):
        return words.no_tables.format(folder=folder)
    since = pl.lit(case.months[0]).cast(pl.Datetime("ms", "UTC"))
    until = pl.lit(case.rating_date.replace(day=1)).cast(pl.Datetime("ms", "UTC"))
    driven = (
        pl.scan_parquet(files[0], schema=TRIPS)
        .filter(pl.col("driver_id") == case.driver, pl.col("start").is_between(since, until, closed="left"))
        .select("trip_id", "start", "distance_km", "max_speed_kmh", "represents")
        .collect()
    )
    found = (
        pl.scan_parquet(files[1], schema=EVENTS)
        .filter(pl.col("trip_id").is_in(driven["trip_id"].implode()))
        .group_by("trip_id", "kind")
        .len("count")
        .collect()
        .sort("trip_id", "count", "kind", descending=[False, True, False])
        .group_by("trip_id", maintain_order=True)
        .agg(pl.col("count").sum().alias("events"), pl.struct("kind", "count").alias("by_kind"))
    )
    most = driven.join(found, on="trip_id").sort("events", "start", "trip_id", descending=[True, True, False])
    stored = words.stored.format(count=driven.height, without=driven.height - most.height)
    lines = [stored + (words.most if most.height else "")]
    for row in most.head(TRIPS_TOLD).iter_rows(named=True):
        many = words.stands_for.format_map(row) if row["represents"] != 1 else ""
        counted = words.comma.join(
            words.counted.format(count=one["count"], kind=words.kinds[one["kind"]]) for one in row["by_kind"]
        )
        lines.append(words.trip.format_map(row | {"told": counted, "many": many}))
    return "\n".join(lines)


def advice(found: list[Counterfactual], case: Case, language: str = "en") -> str:
    """Tell what the driver could change, one line each."""
    words = WORDS[language]
    if not case.published["rateable"]:
        return words.too_little
    lines = [words.held_fixed, *(f"  {one.tell(language)}" for one in found)]
    return "\n".join(lines) if found else words.nothing


def _by_kind(entries: list[dict[str, int]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in entries:
        kind = KIND_NAMES[entry["key"] // LEVELS]
        counts[kind] = counts.get(kind, 0) + entry["value"]
    return counts
