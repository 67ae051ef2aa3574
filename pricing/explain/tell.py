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
from pricing.reasons import tell_all
from pricing.rebuild import Rebuilt

TRIPS_TOLD: Final = 5
MM_PER_KM: Final = 1e6
MS_PER_HOUR: Final = 3.6e6


def product(rebuilt: Rebuilt, catalogue: Catalogue, language: str = "en") -> str:
    """Tell one factor as the product of all its parts, strongest effects first."""
    row, book = rebuilt.published, rebuilt.book
    by_name = {feature.name: feature for feature in catalogue.features}
    values, effects, logs = rebuilt.inputs.values[0], rebuilt.split.effects[0], rebuilt.split.logs[0]
    acting = (("capped by the band", row["capped"]), ("limited by the renewal limit", row["limited"]))
    marks = "".join(f", {told}" for told, acts in acting if acts)
    lines = [
        f"policy {row['policy_id']}, driver {row['driver_id']}, {row['period_start']} to {row['period_end']}",
        f"{row['exposure_km']:,.0f} km, {row['trips']:,} trips, {row['exposure_days']:.0f} days in the window",
        f"credibility {row['credibility']:.3f}, score {row['score']:.1f}, tier {row['tier'] or '-'}{marks}",
        "",
        f"{rebuilt.factor:.6f}  factor, the product of:",
        f"{book['constants']['base_factor']:.6f}  base factor of the book (off-balance)",
        f"{rebuilt.split.base[0]:.6f}  mean driver of the reference book",
    ]
    order = np.argsort(-np.abs(logs), kind="stable")
    moving = [column for column in order if logs[column]]
    for column in moving:
        feature = by_name[rebuilt.split.names[column]]
        lines.append(f"{effects[column]:.6f}  {tell_all(feature, values[[column]], language)[0]}")
    still = len(order) - len(moving)
    if still:
        lines.append(f"1.000000  {still} more features of the model that have no effect here")
    lines.extend(f"{value:.6f}  {name}" for name, value in rebuilt.adjustments.items())
    return "\n".join(lines)


def months(case: Case, own: pl.DataFrame) -> str:
    """Tell the months of the window: trips, distance, time, and events of each kind."""
    if own.is_empty():
        return f"no trips in the window from {case.months[0]} to {case.rating_date}"
    counts = [_by_kind(entries) for entries in own["event_counts"]]
    kinds = [kind for kind in KIND_NAMES.values() if any(count.get(kind) for count in counts)]
    head = f"{'month':<9}{'trips':>6}{'km':>8}{'hours':>7}" + "".join(f"{_short(kind):>14}" for kind in kinds)
    lines = [head]
    for row, count in zip(own.iter_rows(named=True), counts, strict=True):
        line = f"{row['month']:%Y-%m}  {row['trips']:>6,}{row['distance_mm'] / MM_PER_KM:>8,.0f}"
        line += f"{row['moving_ms'] / MS_PER_HOUR:>7,.1f}"
        lines.append(line + "".join(f"{count.get(kind, 0):>14,}" for kind in kinds))
    return "\n".join(lines)


def trips(case: Case, folder: Path) -> str:
    """Tell the trips of the window with the most events, the latest first among equals; `folder` is the features'."""
    files = (folder / "trips.parquet", folder / "events.parquet")
    if not all(file.is_file() for file in files):
        return f"{folder} holds no trips.parquet and events.parquet: the trips behind it cannot be shown"
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
        .agg(pl.col("count").sum().alias("events"), pl.format("{} {}", "count", "kind").str.join(", ").alias("told"))
    )
    most = driven.join(found, on="trip_id").sort("events", "start", "trip_id", descending=[True, True, False])
    without = driven.height - most.height
    lines = [f"{driven.height:,} trips stored in the window, {without:,} without any event; most events:"]
    for row in most.head(TRIPS_TOLD).iter_rows(named=True):
        many = f", stands for {row['represents']}" if row["represents"] != 1 else ""
        lines.append(
            f"  {row['start']:%Y-%m-%d %H:%M} UTC {row['distance_km']:>7.1f} km, "
            f"up to {row['max_speed_kmh']:.0f} km/h: {row['told'].replace('_', ' ')}{many}  ({row['trip_id']})"
        )
    return "\n".join(lines)


ADVICE: Final = {
    "en": (
        "too little driving in the window: the factor stays what it was, whatever the driving",
        "nothing in the table of changes would lower the factor by 0.01",
        "B held fixed, same distance:",
    ),
    "zh": ("窗口内驾驶里程不足：系数保持不变", "表中没有能使系数降低0.01的改变", "总平衡系数B不变，里程不变："),
}


def advice(found: list[Counterfactual], case: Case, language: str = "en") -> str:
    """Tell what the driver could change, one line each."""
    too_little, nothing, head = ADVICE[language]
    if not case.published["rateable"]:
        return too_little
    return "\n".join([head, *(f"  {one.tell(language)}" for one in found)]) if found else nothing


def _by_kind(entries: list[dict[str, int]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in entries:
        kind = KIND_NAMES[entry["key"] // LEVELS]
        counts[kind] = counts.get(kind, 0) + entry["value"]
    return counts


def _short(kind: str) -> str:
    return kind.removeprefix("harsh_").replace("_", " ")
