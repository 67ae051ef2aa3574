from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from device.contract.bodies import BOUNDS
from device.contract.errors import UsageError
from device.contract.motion import COLUMNS, PERIOD_MS, QUALITY_COARSE
from ingest.contract import tables
from replay_data.portfolio import motion_chunk, motion_chunks, simulate_book
from replay_data.portfolio.terms import DAYS_PER_YEAR

HEADS = {
    name: tables.TRIPS[name]
    for name in (
        "trip_key",
        "trip_id",
        "device_id",
        "start_ms",
        "utc_offset_min",
        "period_ms",
        "rules_version",
        "sensor_grade",
        "represents",
    )
}


@pytest.fixture(scope="module")
def sample(small_book):
    return motion_chunk(small_book, 0, 60)


@pytest.fixture(scope="module")
def by_trip(sample):
    """Rows of each trip with its head."""
    heads, motion = sample
    return motion.join(heads, on="trip_key", maintain_order="left")


def test_frames_have_the_schema_of_the_lake(sample):
    heads, motion = sample
    assert motion.schema == tables.MOTION
    assert dict(heads.schema) == HEADS
    assert heads["trip_key"].to_list() == [tables.trip_key(name) for name in heads["trip_id"]]
    assert heads.height == 60 * 6
    assert heads["trip_key"].n_unique() == heads.height


def test_every_value_may_travel_on_the_wire(sample):
    _, motion = sample
    for column in COLUMNS:
        low, high = BOUNDS[column]
        assert motion[column].drop_nulls().is_between(low, high).all()


def test_rows_are_sorted_and_on_the_grid(sample):
    heads, motion = sample
    assert heads["trip_key"].is_sorted()
    assert motion["trip_key"].unique(maintain_order=True).to_list() == heads["trip_key"].to_list()
    step = motion.select(pl.col("t_ms").diff().over("trip_key"))["t_ms"].drop_nulls()
    assert set(step) == {PERIOD_MS}
    assert motion.group_by("trip_key").agg(pl.col("t_ms").first())["t_ms"].max() == 0


@pytest.mark.parametrize("size", [1, 7, 25])
def test_any_chunking_gives_the_same_frames(small_book, sample, size):
    chunks = list(motion_chunks(small_book, drivers_per_chunk=size))
    heads = pl.concat(heads for heads, _ in chunks).sort("trip_key")
    motion = pl.concat(motion for _, motion in chunks).sort("trip_key", "t_ms")
    assert_frame_equal(heads, sample[0], check_exact=True)
    assert_frame_equal(motion, sample[1], check_exact=True)


def test_trips_begin_and_end_at_rest(sample):
    _, motion = sample
    ends = motion.group_by("trip_key").agg(
        pl.col("speed_dkmh").first().alias("first"), pl.col("speed_dkmh").last().alias("last")
    )
    assert ends["first"].max() == 0
    assert ends["last"].max() == 0


def test_acceleration_is_the_central_difference_of_the_speed_over_two_seconds(sample):
    _, motion = sample
    speed = pl.col("speed_dkmh").cast(pl.Int32)
    rise = (speed.shift(-2) - speed.shift(2)).over("trip_key")
    rows = motion.with_columns((rise * 100 / 72 + 0.5).floor().alias("slope"))
    known = rows.filter(pl.col("accel_lon_cmps2").is_not_null())
    assert (known["accel_lon_cmps2"] == known["slope"]).all()
    unknown = rows.filter(pl.col("accel_lon_cmps2").is_null())
    assert unknown["slope"].is_null().all()
    assert unknown.select((pl.col("quality") == QUALITY_COARSE) == pl.col("speed_dkmh").is_not_null()).to_series().all()
    assert known["quality"].max() == 0


def test_what_a_device_cannot_know_is_null():
    heads, motion = motion_chunk(simulate_book(4, 600, date(2026, 1, 1)), 0, 600)
    per_device = (
        motion.join(heads, on="trip_key")
        .group_by("device_id")
        .agg(pl.col("accel_lat_cmps2").null_count().alias("missing"), pl.len().alias("rows"))
    )
    assert per_device.filter((pl.col("missing") > 0) & (pl.col("missing") < pl.col("rows"))).height == 0
    assert (per_device["missing"] > 0).mean() == pytest.approx(0.15, abs=0.05)
    assert 0.0 < heads["utc_offset_min"].null_count() / heads.height < 0.03
    assert motion["yaw_rate_ddps"].is_null().all()
    assert motion["limit_kmh"].null_count() / motion.height == pytest.approx(0.4, abs=0.03)
    assert 0.0 < motion["speed_dkmh"].null_count() / motion.height < 0.01


def test_trips_stand_for_the_kilometres_of_the_term(small_book, by_trip):
    speed = pl.col("speed_dkmh").fill_null(strategy="forward").cast(pl.Float64)
    km = (speed * pl.col("represents")).sum() * PERIOD_MS / 1000 / 36_000
    driven = by_trip.group_by("device_id").agg(km.alias("km")).sort("device_id")["km"].to_numpy()
    true_km = small_book.habits.annual_km * small_book.days_before / DAYS_PER_YEAR
    assert np.abs(driven / true_km - 1).max() < 0.05


def test_trips_lie_in_the_term_before_the_rating_date_from_its_first_week_on(small_book, sample):
    heads, motion = sample
    lasted = motion.group_by("trip_key").agg(pl.col("t_ms").max())
    trips = heads.join(lasted, on="trip_key").sort("device_id", "start_ms")
    rated = datetime.combine(small_book.rating_date, datetime.min.time(), UTC)
    starts = [rated - timedelta(days=int(days)) for days in small_book.days_before]
    first = trips.group_by("device_id", maintain_order=True).agg(pl.col("start_ms").min())["start_ms"]
    for begin, start_ms in zip(starts, first, strict=True):
        assert begin <= datetime.fromtimestamp(start_ms / 1000, UTC) < begin + timedelta(days=8)
    assert (trips["start_ms"] + trips["t_ms"]).max() < rated.timestamp() * 1000
    gap = trips.select((pl.col("start_ms") - (pl.col("start_ms") + pl.col("t_ms")).shift(1)).over("device_id"))
    assert gap.to_series().drop_nulls().min() > 180_000


def test_hours_follow_the_habits(small_book, sample):
    heads, motion = sample
    km = motion.group_by("trip_key").agg(pl.col("speed_dkmh").sum().cast(pl.Float64).alias("metres"))
    local_hour = (pl.col("start_ms") // 60_000 - 300) // 60 % 24
    weight = pl.col("metres") * pl.col("represents")
    night = (local_hour >= 22) | (local_hour < 4)
    share = (
        heads.join(km, on="trip_key")
        .group_by("device_id")
        .agg((weight.filter(night).sum() / weight.sum()).alias("night"))
        .sort("device_id")["night"]
        .to_numpy()
    )
    assert np.corrcoef(share, small_book.habits.night_share)[0, 1] > 0.95
    assert share.mean() == pytest.approx(small_book.habits.night_share.mean(), rel=0.15)


def test_habits_show_in_the_motion_and_only_roughly():
    book = simulate_book(9, 1_500, date(2026, 1, 1))
    heads, motion = motion_chunk(book, 0, 1_500)
    lon = pl.col("accel_lon_cmps2")
    seen = (
        motion.join(heads.select("trip_key", "device_id"), on="trip_key")
        .group_by("device_id")
        .agg(lon.filter(lon < -60).mean().alias("braking"), lon.filter(lon > 60).mean().alias("speeding_up"))
        .sort("device_id")
    )
    margin = np.corrcoef(seen["braking"], book.habits.margin_s)[0, 1]
    harsh = np.corrcoef(seen["speeding_up"], book.habits.harshness)[0, 1]
    late = np.corrcoef(seen["braking"], book.habits.inattention)[0, 1]
    assert 0.4 < margin < 0.9
    assert 0.6 < harsh < 0.95
    assert abs(late) < 0.3


def test_too_few_trips_for_a_week_are_refused(small_book):
    with pytest.raises(UsageError, match="at least 6"):
        motion_chunk(small_book, 0, 1, trips_per_driver=5)
