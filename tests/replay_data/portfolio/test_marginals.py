from datetime import date

import numpy as np
import polars as pl
import pytest

from replay_data.portfolio import motion_chunks, simulate_book
from replay_data.portfolio.marginals import book_values, compare, distance_elasticity, load_targets, motion_values


@pytest.mark.timeout(300)
def test_marginals_agree_with_the_published_statistics(big_book):
    driven = simulate_book(1, 500, date(2026, 1, 1))
    table = compare(big_book, motion_chunks(driven, drivers_per_chunk=10, trips_per_driver=300))
    judged = table.filter(pl.col("within").is_not_null())
    assert judged.height >= 28
    assert judged.filter(~pl.col("within")).to_dicts() == []


def test_counts_agree_with_a_loop_over_the_rows():
    book = simulate_book(2, 3, date(2026, 1, 1))
    (heads, motion), *_ = motion_chunks(book, trips_per_driver=40)
    threshold = 6 * 1609.344 / 3600 * 100
    expected = []
    for device in sorted(heads["device_id"].unique()):
        count = km = 0.0
        for head in heads.filter(pl.col("device_id") == device).iter_rows(named=True):
            trip = motion.filter(pl.col("trip_key") == head["trip_key"])
            km += head["represents"] * sum(v or 0 for v in trip["speed_dkmh"]) * 0.5 / 36_000
            peak = 0
            for accel in [*trip["accel_lon_cmps2"], None]:
                brake = -(accel or 0)
                if brake >= 150:
                    peak = max(peak, brake)
                else:
                    count += head["represents"] * (peak >= threshold)
                    peak = 0
        expected.append(count / km * 1609.344)
    values = motion_values([(heads, motion)])
    assert values["brake_over_06_mph_per_s"] == pytest.approx(expected)


def test_distance_elasticity_finds_a_known_power():
    km = np.geomspace(1_000, 50_000, 500)
    assert distance_elasticity(3e-4 * km**0.48, km) == pytest.approx(0.48, abs=1e-6)


def test_every_target_has_a_source_and_a_value(small_book):
    targets = load_targets()
    values = book_values(small_book) | motion_values(motion_chunks(small_book))
    assert {target.name for target in targets} <= set(values)
    assert all(target.source.split()[0] in {"marginals", "glm", "norauto"} for target in targets)
    assert len({(target.name, target.statistic) for target in targets}) == len(targets)
