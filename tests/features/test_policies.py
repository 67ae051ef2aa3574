"""Which trip belongs to which policy, and what a policies file may look like."""

from __future__ import annotations

from datetime import date, time, timedelta

import polars as pl
import pytest

from features.errors import PoliciesError
from features.policies import assign, read_policies
from tests.features.lakes import utc_ms

ROWS = [
    {"policy_id": "P1", "driver_id": "ann", "device_id": "box", "start": date(2025, 1, 1), "end": date(2025, 2, 15)},
    {"policy_id": "P2", "driver_id": "bob", "device_id": "box", "start": date(2025, 2, 15), "end": None},
    {"policy_id": "P3", "driver_id": "cid", "device_id": "dongle", "start": date(2025, 3, 1), "end": date(2025, 3, 1)},
]


def written(folder, rows=ROWS, name="policies.csv", **columns):
    frame = pl.DataFrame(rows).with_columns(**columns)
    path = folder / name
    frame.write_parquet(path) if name.endswith(".parquet") else frame.write_csv(path)
    return path


def trips(*starts):
    return pl.DataFrame(
        [("box", start) for start in starts], schema={"device_id": pl.String, "start_ms": pl.Int64}, orient="row"
    )


@pytest.mark.parametrize("name", ["policies.csv", "policies.parquet"])
def test_a_trip_belongs_to_the_policy_that_covers_its_start(tmp_path, name):
    policies = read_policies(written(tmp_path, name=name))
    starts = [
        utc_ms(2025, 2, 15),  # the first millisecond of P2, out of order on purpose
        utc_ms(2025, 1, 1) - 1,
        utc_ms(2025, 1, 1),
        utc_ms(2025, 2, 15) - 1,
        utc_ms(2035, 6, 1),
    ]
    found = assign(trips(*starts), policies)
    assert found["policy_id"].to_list() == ["P2", None, "P1", "P1", "P2"]
    assert found["driver_id"].to_list() == ["bob", None, "ann", "ann", "bob"]
    assert found["start_ms"].to_list() == starts


def test_a_day_between_two_policies_is_covered_by_none(tmp_path):
    rows = [ROWS[0], ROWS[1] | {"start": date(2025, 2, 17)}]
    policies = read_policies(written(tmp_path, rows))
    assert assign(trips(utc_ms(2025, 2, 16, 12)), policies)["policy_id"].to_list() == [None]


def test_without_policies_each_device_is_its_own_driver():
    found = assign(trips(utc_ms(2025, 1, 1)), None)
    assert found.select("policy_id", "driver_id").rows() == [(None, "box")]


def test_a_trip_gets_the_region_of_its_policy(tmp_path):
    rows = [ROWS[0] | {"region": " DE-BY "}, ROWS[1] | {"region": ""}]
    found = assign(trips(utc_ms(2025, 1, 1), utc_ms(2025, 3, 1)), read_policies(written(tmp_path, rows)))
    assert found["region"].to_list() == ["DE-BY", None]


def test_a_region_is_null_where_no_policies_or_none_of_them_tell_one(tmp_path):
    for policies in (read_policies(written(tmp_path)), None):
        found = assign(trips(utc_ms(2025, 1, 1)), policies)
        assert (found.schema["region"], found["region"].to_list()) == (pl.String, [None])


def test_a_row_that_ends_on_the_day_it_starts_covers_nothing(tmp_path):
    assert "dongle" not in read_policies(written(tmp_path))["device_id"]


WRONG = [
    ({"device_id": None}, "policies.csv, row 1, column device_id: is empty"),
    ({"driver_id": " "}, "policies.csv, row 1, column driver_id: is empty"),
    ({"start": None}, "policies.csv, row 1, column start: is empty"),
    ({"start": "01.02.2025"}, "policies.csv, row 1, column start: '01.02.2025' is not a date"),
    ({"region": "Bavaria"}, "policies.csv, row 1, column region: is no ISO 3166 code"),
    ({"region": "XX-BY"}, "policies.csv, row 1, column region: is of no country with a calendar of holidays"),
    ({"end": "2024-12-31"}, "policies.csv, row 1, column end: is before the start"),
    ({"cancelled_on": "soon"}, "policies.csv, row 1, column cancelled_on: 'soon' is not a date"),
    ({"end": "2025-02-16"}, "row 2, column start: device box still belongs to policy P1; end that row first"),
    ({"end": "2025-02-16", "policy_id": "P2"}, "row 2, column start: overlaps another row of the same policy, of anot"),
]


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_a_value_that_cannot_be_used_is_named_by_file_row_and_column(tmp_path, change, message):
    rows = [{name: None if value is None else str(value) for name, value in row.items()} for row in ROWS]
    rows[0] |= change
    with pytest.raises(PoliciesError, match=message) as caught:
        read_policies(written(tmp_path, rows))
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named(tmp_path):
    rows = [{name: value for name, value in row.items() if name != "device_id"} for row in ROWS]
    with pytest.raises(PoliciesError, match="column device_id: is missing; the file has policy_id, driver_id"):
        read_policies(written(tmp_path, rows))


def test_a_file_that_is_not_there_or_of_another_kind_is_named(tmp_path):
    with pytest.raises(PoliciesError, match=r"none\.csv: no such file"):
        read_policies(tmp_path / "none.csv")
    (tmp_path / "policies.xlsx").write_text("x")
    with pytest.raises(PoliciesError, match=r"'\.xlsx' is not known"):
        read_policies(tmp_path / "policies.xlsx")
    (tmp_path / "policies.parquet").write_text("x")
    with pytest.raises(PoliciesError, match=r"policies\.parquet: cannot be read"):
        read_policies(tmp_path / "policies.parquet")


def test_date_times_are_taken_as_dates(tmp_path):
    as_written = read_policies(written(tmp_path, name="policies.parquet"))
    times = {name: pl.col(name).cast(pl.Datetime("ns")) for name in ("start", "end")}
    path = written(tmp_path, name="times.parquet", **times)
    assert read_policies(path).equals(as_written)


def test_a_trip_belongs_to_the_policy_of_its_own_device(tmp_path):
    rows = [ROWS[0], ROWS[2] | {"end": date(2026, 1, 1)}]
    policies = read_policies(written(tmp_path, rows))
    march = pl.DataFrame({"device_id": ["box", "dongle", "other"], "start_ms": [utc_ms(2025, 3, 2)] * 3})
    assert assign(march, policies)["policy_id"].to_list() == [None, "P3", None]


def test_the_day_a_policy_ends_is_not_covered_from_its_first_millisecond(tmp_path):
    policies = read_policies(written(tmp_path, ROWS[:1]))
    end = utc_ms(2025, 2, 15)
    assert assign(trips(end - 1, end), policies)["policy_id"].to_list() == ["P1", None]


def test_a_policy_ends_on_the_day_it_was_cancelled(tmp_path):
    rows = [ROWS[0] | {"cancelled_on": date(2025, 1, 10)}, ROWS[1] | {"cancelled_on": None}]
    policies = read_policies(written(tmp_path, rows))
    cancelled = utc_ms(2025, 1, 10)
    found = assign(trips(cancelled - 1, cancelled, utc_ms(2025, 2, 15)), policies)
    assert found["policy_id"].to_list() == ["P1", None, "P2"]


def test_a_device_is_free_for_another_policy_from_the_day_of_cancellation(tmp_path):
    rows = [ROWS[0] | {"cancelled_on": date(2025, 1, 10)}, ROWS[1] | {"start": date(2025, 1, 10), "cancelled_on": None}]
    found = assign(trips(utc_ms(2025, 1, 10)), read_policies(written(tmp_path, rows)))
    assert found["policy_id"].to_list() == ["P2"]


def test_rows_left_out_and_cut_are_counted_in_the_log(tmp_path, caplog):
    later = ROWS[1] | {"start": date(2025, 6, 1), "region": "DE"}
    rows = [row | {"region": None} for row in (*ROWS, ROWS[0])] + [later]
    with caplog.at_level("INFO", "features.policies"):
        policies = read_policies(written(tmp_path, rows))
    assert policies["region"].to_list() == [None, None, "DE"]
    assert policies["end_ms"].to_list()[:2] == [utc_ms(2025, 2, 15), utc_ms(2025, 6, 1)]
    told = [message.partition(": ")[2] for message in caplog.messages]
    assert told == [
        "1 rows stand there already: left out",
        "1 rows end on the day they start: left out",
        "1 rows are replaced by the next row of their policy: cover until that day",
    ]


def test_rows_that_differ_in_other_columns_only_are_the_same_cover(tmp_path):
    rows = [ROWS[0] | {"territory": "north"}, ROWS[0] | {"territory": "south"}]
    assert read_policies(written(tmp_path, rows)).height == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"device_id": pl.col("device_id").cast(pl.Binary)}, "column device_id: is Binary, not text"),
        ({"driver_id": pl.concat_list("driver_id")}, r"column driver_id: is List\(String\), not text"),
        ({"start": pl.lit(time(1))}, "column start: is Time, not a date"),
        ({"end": pl.lit(timedelta(days=1))}, r"column end: is Duration.*, not a date"),
    ],
)
def test_a_column_that_is_no_text_or_date_is_named(tmp_path, change, message):
    with pytest.raises(PoliciesError, match=message):
        read_policies(written(tmp_path, name="policies.parquet", **change))


def test_a_name_with_brackets_is_one_file(tmp_path):
    as_written = read_policies(written(tmp_path))
    for name in ("policies[1].csv", "policies[1].parquet"):
        assert read_policies(written(tmp_path, name=name)).equals(as_written)
