"""What becomes of bodies in the sealed tables, beyond the trips of test_seal."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from device.contract import bodies, wire
from device.contract import wire_pb2 as pb
from device.contract.bodies import FIELD_BOUNDS
from device.contract.motion import COLUMNS
from device.contract.trip import TripSummary
from ingest.contract.lake import Lake
from ingest.contract.tables import SEALED, trip_key
from ingest.ledger import GIVE_UP_MS
from ingest.query import connect
from ingest.seal import seal
from ingest.typed import Rows, Stored
from ingest.worker import Worker
from tests.device.any_body import FIRST, any_body
from tests.ingest.drive import PERIOD_MS, START_MS, Drive

NOW_MS = START_MS + 1_000_000
TOP = {name: high for name, (_, high) in FIELD_BOUNDS.items()}


def sealed(root, messages, now_ms=NOW_MS):
    lake, worker = Lake(root), Worker(Lake(root), f"w{len(messages)}", lambda topic, payload: None)
    for message in messages:
        worker.take(message.topic, message.payload, START_MS)
    worker.flush(START_MS)
    seal(lake, now_ms)
    return lake


def rows(lake, name):
    return lake.scan(name).collect().rows(named=True)


def around(trip_seq, count=3):
    columns = {name: [None] * count for name in COLUMNS} | {"speed_dkmh": [500, 400, 0], "quality": [0] * count}
    return bodies.Motion(trip_seq, 500, count, columns)


def test_an_impact_is_sealed_before_its_trip_ends(tmp_path):
    drive = Drive("car")
    drive.start()
    drive.put(bodies.Impact(1, 1_040, 2_900, 512, complete=False, period_ms=PERIOD_MS))
    drive.put(bodies.Impact(1, 1_040, 3_100, 512, True, PERIOD_MS, around(1), bodies.Cell(3_123, -12_147)))
    lake = sealed(tmp_path, drive.messages)
    alert, report = rows(lake, "impacts")
    name = f"car:{drive.stream_id.hex()}:1"
    assert (alert["trip_id"], alert["trip_key"], alert["seq"], alert["complete"]) == (name, trip_key(name), 2, False)
    assert (alert["queued_at_ms"], alert["t_ms"], alert["peak_cmps2"]) == (START_MS + 2_000, 1_040, 2_900)
    assert (alert["speed_dkmh"], alert["around"], alert["cell_lat_cdeg"]) == (512, None, None)
    assert (report["cell_lat_cdeg"], report["cell_lon_cdeg"], report["complete"]) == (3_123, -12_147, True)
    assert [(row["t_ms"], row["speed_dkmh"], row["engine"]) for row in report["around"]] == [
        (500, 500, None),
        (1_000, 400, None),
        (1_500, 0, None),
    ]
    assert rows(lake, "trips") == []


def test_impacts_are_the_same_when_the_trip_has_ended(tmp_path):
    drive = Drive("car")
    drive.start()
    drive.put(bodies.Impact(1, 0, 2_900, None, complete=False, period_ms=PERIOD_MS))
    before = rows(sealed(tmp_path, drive.messages), "impacts")
    drive.end()
    lake = sealed(tmp_path, drive.messages)
    assert rows(lake, "impacts") == before
    assert rows(lake, "trips")[0]["complete"]


def test_an_impact_of_a_parked_car_has_no_trip(tmp_path):
    drive = Drive("car")
    drive.put(bodies.Impact(0, 500, 2_900, None, complete=True, period_ms=PERIOD_MS, around=around(0)))
    lake = sealed(tmp_path, drive.messages)
    impact = rows(lake, "impacts")[0]
    assert (impact["trip_id"], impact["trip_key"], impact["t_ms"], len(impact["around"])) == (None, None, 500, 3)


def test_a_trip_known_by_its_impact_alone_is_given_up_with_a_row(tmp_path):
    drive = Drive("car")
    drive.start()
    drive.put(bodies.Impact(1, 0, 2_900, None, complete=False, period_ms=PERIOD_MS))
    lake = sealed(tmp_path, drive.messages[1:], START_MS + GIVE_UP_MS)
    assert [(row["complete"], row["seq"]) for row in rows(lake, "trips")] == [(False, 1)]
    assert len(rows(lake, "impacts")) == 1


def test_a_track_has_a_row_for_each_point_with_a_fix(tmp_path):
    drive = Drive("car")
    drive.start()
    drive.put(bodies.Track(1, 2_000, 1_000, [4_899_999, None, 4_900_007], [-800_001, None, -800_003]))
    drive.put(bodies.Track(1, 5_000, 1_000, [None], [None]))
    drive.end()
    lake = sealed(tmp_path, drive.messages)
    trip = rows(lake, "trips")[0]
    assert [tuple(row.values()) for row in rows(lake, "track")] == [
        (trip["trip_key"], 2_000, 4_899_999, -800_001),
        (trip["trip_key"], 4_000, 4_900_007, -800_003),
    ]


def test_a_trip_knows_what_its_end_says_better(tmp_path):
    drive = Drive("car")
    drive.start(
        sensor_grade=pb.GRADE_OBD_SPEED,
        speed_rate_dhz=50,
        dtc_count=0,
        adapter="early",
        distance_since_clear_m=7_000,
        start_cell=bodies.Cell(1, 2),
        config_version=3,
    )
    drive.put(
        bodies.TripEnd(
            1, 1, TripSummary(), None, 9_000, pb.GRADE_IMU, 48, 2, "late", bodies.Cell(0, -4), bytes(range(32))
        )
    )
    drive.start(sensor_grade=pb.GRADE_GNSS, speed_rate_dhz=50, dtc_count=1, adapter="early", vin_hash=b"\x07")
    drive.end()
    first, second = rows(sealed(tmp_path, drive.messages), "trips")
    if first["seq"] > second["seq"]:
        first, second = second, first
    assert (first["sensor_grade"], first["speed_rate_dhz"], first["dtc_count"]) == (pb.GRADE_IMU, 48, 2)
    assert (first["adapter"], first["vin_hash"]) == ("late", bytes(range(32)).hex())
    assert (first["distance_since_clear_start_m"], first["distance_since_clear_end_m"]) == (7_000, 9_000)
    assert (first["start_cell_lat_cdeg"], first["start_cell_lon_cdeg"]) == (1, 2)
    assert (first["end_cell_lat_cdeg"], first["end_cell_lon_cdeg"], first["config_version"]) == (0, -4, 3)
    assert (second["sensor_grade"], second["speed_rate_dhz"], second["dtc_count"]) == (pb.GRADE_GNSS, 50, 1)
    assert (second["adapter"], second["vin_hash"], second["config_version"]) == ("early", "07", None)
    assert (second["start_cell_lat_cdeg"], second["end_cell_lon_cdeg"]) == (None, None)


def test_an_event_keeps_its_cell_and_one_without_has_none(tmp_path):
    drive = Drive("car")
    drive.start()
    drive.event()
    drive.put(bodies.Event(1, 1, 1, 9_000, 9_000, 9_000, 500, 320, 500, -9, 1, 1, bodies.Cell(-3_387, -7_065)))
    drive.end()
    cells = [(row["cell_lat_cdeg"], row["cell_lon_cdeg"]) for row in rows(sealed(tmp_path, drive.messages), "events")]
    assert cells == [(None, None), (-3_387, -7_065)]


def test_the_largest_values_of_track_and_impact_fit_the_tables(tmp_path):
    drive = Drive("car")
    drive.start(speed_rate_dhz=TOP["speed_rate_dhz"], dtc_count=TOP["dtc_count"], config_version=2**53)
    full = [TOP["lat_e5deg"]] * TOP["count"], [TOP["lon_e5deg"]] * TOP["count"]
    drive.put(bodies.Track(1, TOP["first_t_ms"], TOP["period_ms"], *full))
    cell = bodies.Cell(TOP["lat_cdeg"], TOP["lon_cdeg"])
    columns = {name: [bodies.BOUNDS[name][1]] * TOP["count"] for name in COLUMNS}
    batch = bodies.Motion(1, TOP["first_t_ms"], TOP["count"], columns)
    drive.put(bodies.Impact(1, TOP["t_ms"], TOP["peak_cmps2"], TOP["speed_dkmh"], True, TOP["period_ms"], batch, cell))
    drive.end()
    lake = sealed(tmp_path, drive.messages)
    last_ms = TOP["first_t_ms"] + TOP["period_ms"] * (TOP["count"] - 1)
    assert lake.scan("track").collect()["t_ms"].max() == last_ms
    assert rows(lake, "impacts")[0]["around"][-1]["t_ms"] == last_ms
    assert rows(lake, "trips")[0]["config_version"] == 2**53


def test_the_motion_around_an_impact_reads_as_rows_in_sql(tmp_path):
    empty = Lake(tmp_path / "empty")
    with connect(empty) as connection:
        assert connection.execute("SELECT unnest(around, recursive := true) FROM impacts").fetchall() == []
    drive = Drive("car")
    drive.put(bodies.Impact(0, 500, 2_900, None, complete=True, period_ms=PERIOD_MS, around=around(0)))
    lake = sealed(tmp_path / "lake", drive.messages)
    with connect(lake) as connection:
        told = connection.execute(
            "SELECT t_ms, speed_dkmh FROM (SELECT unnest(around, recursive := true) FROM impacts)"
        )
        assert told.fetchall() == [(500, 500), (1_000, 400), (1_500, 0)]


@settings(max_examples=100)
@given(st.lists(any_body, max_size=6))
def test_whatever_the_wire_takes_has_rows_that_fit(sent):
    stored = []
    for seq, body in enumerate(sent, start=1):
        payload = wire.encode(FIRST, body).payload
        message = wire.decode(payload)
        assert isinstance(message, wire.Message)
        stored.append(Stored(seq, message.header.body_kind, payload))
    ledger = {"device_id": "car", "stream_id": "00" * 16, "trip_seq": 1, "clock_wrong": False}
    table = Rows()
    table.add_trip(ledger, stored)
    for one in stored:
        table.add_loose("car", "00" * 16, START_MS, one)
    frames = table.frames()
    assert {name: frame.schema for name, frame in frames.items()} == dict(SEALED)
    assert frames["impacts"].height == sum(isinstance(body, bodies.Impact) for body in sent)
    assert frames["track"].equals(frames["track"].drop_nulls())
