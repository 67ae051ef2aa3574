"""Verify one factor: make it again from lake, features, model and plan, and name, layer by layer, what changed.

    lake -> trips -> driver periods -> features -> relativity -> factor -> receipt
                                   model, plan, code -^

A layer is rebuilt, changed (named: which trip, event, column, plan key, file), or cannot come out again because its
source was erased or has expired. What was not given to check against is said to be not checked.

Judgements:

1. A trip is compared by its content (`features.contents`), then told by the published columns that differ.
2. The source has expired if the factor's first trip is older than every month of which the lake holds trips: retention
   takes whole months, the oldest first.
3. Verdicts of the layers behind a source that was erased or has expired follow from it: they are no changes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from features.contract.catalogue import Catalogue
from ingest.contract.erasure import was_erased
from pricing.built import periods_of_driver
from pricing.changes import changed_keys, changed_periods, changed_trips
from pricing.errors import ModelError
from pricing.exposure import add_months
from pricing.model import changed_files, load_model
from pricing.plan import Plan
from pricing.rebuild import Rebuilt, driver_of, rebuild
from pricing.receipt import CODE_VERSION

MOST_NAMED: Final = 20  # lines of a layer
_NOT_AS_WRITTEN: Final = "{file} is not what training wrote"
_OF_REGIONS: Final = ("holiday_mm", "holiday_known_mm")  # need the policies' regions


class Verdict(StrEnum):
    """What became of a layer."""

    REBUILT = "rebuilt"
    CHANGED = "CHANGED"
    ERASED = "source erased"
    EXPIRED = "source expired"
    UNCHECKED = "not checked"


class Layer(NamedTuple):
    """One layer: its verdict, what it is now, and what changed."""

    name: str
    verdict: Verdict
    now: str = ""
    named: tuple[str, ...] = ()


class Driven(NamedTuple):
    """What a lake holds of a driver in a window, as the tables of `ubi features build`.

    Attributes
    ----------
    first_month : date or None
        The oldest month of which the lake holds trips of anyone.
    erased : bool
        The lake has a record that a device of the driver was erased.
    regions : bool
        The trips carry the regions of their policies.
    """

    trips: pl.DataFrame
    events: pl.DataFrame
    periods: pl.DataFrame
    first_month: date | None
    erased: bool
    regions: bool


class Window(NamedTuple):
    """Months that a factor's features saw: from the first day of one up to that of another."""

    driver_id: str
    start: date
    end: date


FromLake = Callable[[Window], Driven]


def verify(
    factors: Path,
    key: str,
    features: Path,
    model_folder: Path,
    catalogue: Catalogue,
    *,
    plan: Plan | None = None,
    from_lake: FromLake | None = None,
) -> list[Layer]:
    """Verify one factor.

    Parameters
    ----------
    factors, features, model_folder : Path
        Outputs of `ubi pricing score`, `ubi features build` and `ubi pricing train`.
    key : str
        A policy_id or a receipt.
    plan : Plan, optional
        The plan as its file says now.
    from_lake : callable, optional
        Gives what the lake holds of a driver.

    Raises
    ------
    PortfolioError
        If a folder is no such output, or holds no such policy.
    """
    changed = changed_files(model_folder)
    try:
        model = load_model(model_folder, changed_too=True)
    except (ModelError, ValueError, KeyError, TypeError) as error:
        return [_changed_model(changed, f"cannot be read: {error}")]
    periods = periods_of_driver(features, driver_of(factors, key))
    try:
        rebuilt = rebuild(factors, key, periods, catalogue, model)
    except (ModelError, ValueError, IndexError) as error:
        if not changed:
            raise
        return [_changed_model(changed, f"cannot rate any more: {error}")]
    day = date.fromisoformat(rebuilt.book["rating_date"]).replace(day=1)
    window = Window(rebuilt.published["driver_id"], add_months(day, -model.plan.window.feature_months), day)
    erased = was_erased(features, window.driver_id)
    own = _within(periods, window)
    first_trip = day - timedelta(days=rebuilt.published["exposure_days"])
    lake = [] if from_lake is None else _lake_layers(features, own, window, first_trip, from_lake(window))
    gone = Verdict.ERASED if erased else next((layer.verdict for layer in lake if layer.verdict in _GONE), None)
    whole = own.height > 0 and rebuilt.contents == rebuilt.receipt_row["contents"]
    return [
        *(lake or [Layer("trips", Verdict.UNCHECKED, "give --lake to compare its trips and events")]),
        *_rating_layers(rebuilt, None if whole else gone),
        _model_layer(rebuilt, changed),
        _plan_layer(rebuilt, model.plan, plan),
    ]


def _changed_model(changed: list[str], why: str) -> Layer:
    """The model alone, where no factor can be made with it."""
    named = [*(_NOT_AS_WRITTEN.format(file=name) for name in changed), why]
    return Layer("model", Verdict.CHANGED, "", _few(named))


_GONE: Final = (Verdict.ERASED, Verdict.EXPIRED)


def _within(rows: pl.DataFrame, window: Window, column: str = "month") -> pl.DataFrame:
    day = pl.col(column).cast(pl.Date)
    return rows.filter((pl.col("driver_id") == window.driver_id) & (day >= window.start) & (day < window.end))


def _lake_layers(features: Path, own: pl.DataFrame, window: Window, first_trip: date, lake: Driven) -> list[Layer]:
    """Trips and driver periods of the features beside what the lake holds.

    Parameters
    ----------
    own : polars.DataFrame
        The driver's periods in the window.
    first_trip : date
        Day of the first trip that the factor rests on.
    """
    if lake.erased or was_erased(features, window.driver_id):
        return [Layer("trips", Verdict.ERASED), Layer("driver periods", Verdict.ERASED)]
    driven = pl.scan_parquet(features / "trips.parquet").filter(pl.col("driver_id") == window.driver_id).collect()
    trips = _within(driven, window, "start")
    events = pl.scan_parquet(features / "events.parquet").filter(pl.col("trip_id").is_in(trips["trip_id"].implode()))
    oldest = lake.first_month or window.end
    kept = trips.filter(pl.col("start").cast(pl.Date) >= oldest)
    named = [*changed_trips(kept, lake.trips, events.collect(), lake.events)]
    now = f"{lake.trips.height} trips, {lake.events.height} events in the lake"
    expired = first_trip < oldest
    if expired:
        now += f", none from before {oldest} any more"
    months = own.filter(pl.col("month") >= oldest)
    ignored = () if lake.regions else _OF_REGIONS
    of_periods = [*changed_periods(months, lake.periods, ignored)]
    otherwise = Verdict.EXPIRED if expired else Verdict.REBUILT
    return [
        Layer("trips", Verdict.CHANGED if named else otherwise, now, _few(named)),
        Layer("driver periods", Verdict.CHANGED if of_periods else otherwise, f"{own.height} rows", _few(of_periods)),
    ]


def _rating_layers(rebuilt: Rebuilt, gone: Verdict | None) -> list[Layer]:
    """What is made of the driver periods; `gone` is the verdict of what cannot come out again."""
    written, published, constants = rebuilt.receipt_row, rebuilt.published, rebuilt.book["constants"]
    whole = rebuilt.table_receipt == published["receipt"] == written["receipt"]
    layers = [
        Layer("table", Verdict.REBUILT if whole else Verdict.CHANGED, rebuilt.table_receipt),
        Layer("code", Verdict.REBUILT if constants["code_version"] == CODE_VERSION else Verdict.CHANGED, CODE_VERSION),
    ]
    same = {
        "contents": (rebuilt.contents == written["contents"], str(rebuilt.contents)),
        "features": (rebuilt.features_sha256 == written["features_sha256"], rebuilt.features_sha256[:16]),
        "relativity": (rebuilt.relativity == published["indicated_relativity"], f"{rebuilt.relativity:.6f}"),
        "factor": (rebuilt.factor == published["factor"], f"{rebuilt.factor:.6f}"),
        "receipt": (rebuilt.receipt == published["receipt"], rebuilt.receipt),
    }
    for name, (is_same, now) in same.items():
        layers.append(Layer(name, Verdict.REBUILT if is_same else gone or Verdict.CHANGED, now))
    return layers


def _model_layer(rebuilt: Rebuilt, changed: list[str]) -> Layer:
    stated = rebuilt.book["constants"]["model_id"]
    named = [_NOT_AS_WRITTEN.format(file=name) for name in changed]
    if not changed and rebuilt.model_id != stated:
        named = [f"the factor was made with model {stated}"]
    return Layer("model", Verdict.CHANGED if named else Verdict.REBUILT, rebuilt.model_id, _few(named))


def _plan_layer(rebuilt: Rebuilt, trained: Plan, given: Plan | None) -> Layer:
    """The plan in the model and, where given, in its file, beside the one that the factor was made with."""
    stated = rebuilt.book["constants"]["plan_sha256"]
    named = [] if given is None else [*changed_keys(trained.to_dict(), given.to_dict())]
    if trained.content_hash() != stated:
        named.append("the plan in the model's manifest is not the one that the factor was made with")
    return Layer("plan", Verdict.CHANGED if named else Verdict.REBUILT, trained.plan_version, _few(named))


def _few(lines: list[str]) -> tuple[str, ...]:
    return tuple(lines if len(lines) <= MOST_NAMED else [*lines[:MOST_NAMED], f"and {len(lines) - MOST_NAMED} more"])
