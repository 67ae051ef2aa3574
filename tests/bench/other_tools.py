"""The same sums by pandas and by DuckDB's window functions, written as one would: distance, v-a heatmap, brakings.

They do a part of what `features.derive` does: no events, no times by state, no excursions but those of braking.
"""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd

PERIOD_MS = 500
BRAKING_SQL = """
with sample as (
    select trip_key, t_ms, speed_dkmh::int as v, accel_lon_cmps2::int as a,
           lead(t_ms) over trip - t_ms as dt, speed_dkmh::int + lead(speed_dkmh) over trip as speed_sum,
           coalesce(t_ms - lag(t_ms) over trip <> 500 or lag(accel_lon_cmps2) over trip > -100
                    or lag(accel_lon_cmps2) over trip is null, true) as new_run
    from read_parquet(?)
    where speed_dkmh is not null
    window trip as (partition by trip_key order by t_ms)
),
by_trip as (
    select trip_key, sum((speed_sum * dt + 36) // 72) filter (where dt <= 5000) as distance_mm from sample group by all
),
heatmap as (
    select trip_key, least(v // 100, 15) * 61 + (greatest(least(a, 600), -600) + 610) // 20 as key, count(*) * 500 as ms
    from sample where a is not null group by all
),
run as (
    select trip_key, a, sum(new_run::int) over (partition by trip_key order by t_ms) as run from sample where a <= -100
),
braking as (
    select trip_key, run from run group by all having min(a) <= -150
)
select (select sum(distance_mm) from by_trip), (select sum(ms) from heatmap), (select count(*) from heatmap),
       (select count(*) from braking)
"""
Sums = tuple[int, int, int, int]  # mm, ms in the heatmap, its bins, brakings


def by_duckdb(files: list[Path]) -> Sums:
    """Window SQL on one thread."""
    with duckdb.connect(config={"threads": 1}) as connection:
        row = connection.execute(BRAKING_SQL, [[str(file) for file in files]]).fetchone()
    assert row is not None
    return int(row[0]), int(row[1]), int(row[2]), int(row[3])


def by_pandas(files: list[Path]) -> Sums:
    """Group-bys and shifts."""
    wanted = ["trip_key", "t_ms", "speed_dkmh", "accel_lon_cmps2"]
    rows = pd.concat([pd.read_parquet(file, columns=wanted) for file in files], ignore_index=True)
    rows = rows.dropna(subset="speed_dkmh").astype({"speed_dkmh": "int64"})
    trip = rows.groupby("trip_key", sort=False)
    dt = trip["t_ms"].shift(-1) - rows["t_ms"]
    speed_sum = rows["speed_dkmh"] + trip["speed_dkmh"].shift(-1)
    distance = ((speed_sum * dt + 36) // 72).where(dt <= 5_000, 0)
    distance_mm = distance.groupby(rows["trip_key"], sort=False).sum()
    known = rows.dropna(subset="accel_lon_cmps2").astype({"accel_lon_cmps2": "int64"})
    key = (known["speed_dkmh"] // 100).clip(upper=15) * 61 + (known["accel_lon_cmps2"].clip(-600, 600) + 610) // 20
    heatmap = known.groupby([known["trip_key"], key], sort=False).size() * PERIOD_MS
    over = known[known["accel_lon_cmps2"] <= -100]
    same = (over["trip_key"] == over["trip_key"].shift()) & (over["t_ms"].diff() == PERIOD_MS)
    peaks = over.groupby((~same).cumsum(), sort=False)["accel_lon_cmps2"].min()
    return int(distance_mm.sum()), int(heatmap.sum()), len(heatmap), int((peaks <= -150).sum())
