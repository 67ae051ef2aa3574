"""Where a driver is known to drive, as far as consent goes: numbers about coarse cells, never the cells themselves.

Location is a setting of the driver, and a setting must never move a price; so these numbers are in no driver period and
in no feature of the catalogue, and `pricing` cannot read them. They are for questions that need no price: how regular a
fleet's tours are, whether a garaging address can be right.

Judgements, numbered:

1. A trip counts if its start and its end cell came; without consent neither does, and what is not known is null.
2. Home is the cell in which most trips start or end; of equals the smallest latitude, then longitude. It is not told.
3. Below `MIN_TRIPS` placed trips nothing is told: a handful of places is a diary.
"""

from __future__ import annotations

from typing import Final

import polars as pl

from features.policies import assign
from ingest.contract import tables
from ingest.contract.lake import Lake, collect, scan_files

MIN_TRIPS: Final = 20
_KEY: Final = ("policy_id", "driver_id")
_CELLS: Final = tuple(f"{at}_cell_{axis}_cdeg" for at in ("start", "end") for axis in ("lat", "lon"))
_COLUMNS: Final = ("device_id", "start_ms", "distance_mm", *_CELLS)

# One row a policy and driver, sorted by both.
PLACES: Final = pl.Schema(
    {
        "policy_id": pl.String,
        "driver_id": pl.String,
        "trips": pl.Int64,
        "placed_trips": pl.Int64,  # with start and end cell
        "cells": pl.Int64,  # different ones, of 0.01 degree; null below MIN_TRIPS placed trips, as all that follows
        "home_trip_share": pl.Float64,  # trips that start or end at home
        "home_km_share": pl.Float64,  # distance of these, of the distance of placed trips
        "round_trip_share": pl.Float64,  # trips that end in the cell they start in
    }
)


def places(lake: Lake, policies: pl.DataFrame | None = None) -> pl.DataFrame:
    """Make the table of places of all sealed trips: schema PLACES; see `places_of`."""
    groups = lake.manifest().groups
    sealed = [lake.sealed / file.path for group in groups for file in group.files if file.table == "trips"]
    trips = collect(scan_files(sealed, tables.TRIPS).select(_COLUMNS), sealed, tables.TRIPS)
    return places_of(assign(trips, policies))


def places_of(trips: pl.DataFrame) -> pl.DataFrame:
    """Tell how many places drivers have, and how much of their driving is from or to home.

    Parameters
    ----------
    trips : pl.DataFrame
        policy_id, driver_id, distance_mm and the start and end cells of `ingest.contract.tables.TRIPS`.

    Returns
    -------
    pl.DataFrame
        Schema PLACES.
    """
    own = trips.filter(pl.col("driver_id").is_not_null()).select(
        *_KEY,
        distance_mm=pl.col("distance_mm").fill_null(0),
        start=_cell("start"),
        end=_cell("end"),
    )
    placed = own.filter(pl.col("start").is_not_null() & pl.col("end").is_not_null())
    visits = pl.concat([placed.select(*_KEY, cell=at) for at in ("start", "end")])
    counted = visits.group_by(*_KEY, "cell").len().sort(*_KEY, "len", "cell", descending=[False, False, True, False])
    home = counted.group_by(_KEY, maintain_order=True).agg(home=pl.col("cell").first(), cells=pl.len())
    at_home = (pl.col("start") == pl.col("home")) | (pl.col("end") == pl.col("home"))
    shares = (
        placed.join(home, on=_KEY, nulls_equal=True)
        .group_by(_KEY)
        .agg(
            placed_trips=pl.len(),
            cells=pl.col("cells").first(),
            home_trip_share=at_home.mean(),
            home_km_share=pl.col("distance_mm").filter(at_home).sum() / pl.col("distance_mm").sum(),
            round_trip_share=(pl.col("start") == pl.col("end")).mean(),
        )
    )
    told = pl.col("placed_trips") >= MIN_TRIPS
    return (
        own.group_by(_KEY)
        .agg(trips=pl.len())
        .join(shares, on=_KEY, how="left", nulls_equal=True)
        .with_columns(pl.col("placed_trips").fill_null(0))
        .with_columns(pl.when(told).then(pl.col(name)).alias(name) for name in PLACES.names()[4:])
        .with_columns(pl.col("home_km_share").fill_nan(None))
        .sort(_KEY, nulls_last=True)
        .cast(PLACES)
        .select(PLACES.names())
    )


def _cell(at: str) -> pl.Expr:
    """Cell as one integer that sorts by latitude, then longitude; null where either is."""
    return pl.col(f"{at}_cell_lat_cdeg").cast(pl.Int64) * 100_000 + pl.col(f"{at}_cell_lon_cdeg")


def told(row: tuple[object, ...]) -> list[str | None]:
    """One row as text: shares in three digits, what is not known as None."""
    return [None if cell is None else f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in row]
