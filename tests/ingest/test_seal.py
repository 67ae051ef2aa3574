from __future__ import annotations

import os
import random

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.contract import wire
from device.contract import wire_pb2 as pb
from device.contract.bodies import BOUNDS, FIELD_BOUNDS, Event, Motion, TripEnd
from device.contract.columns import pack_column, unpack_column
from device.contract.errors import TryAgainError, UbiError
from device.contract.motion import COLUMNS
from device.contract.trip import TripSummary
from ingest import seal as sealing
from ingest.contract import durable
from ingest.contract.lake import Lake, bucket_of
from ingest.contract.publish import KEEP_SUPERSEDED_MS, SealWriter, publish
from ingest.contract.tables import SEALED, trip_key
from ingest.seal import seal
from ingest.typed import unpack
from ingest.worker import Worker
from tests.ingest.drive import PERIOD_MS, START_MS, Drive, fleet

GIVE_UP_MS = 30 * 86_400_000
NOW_MS = START_MS + 1_000_000


def store(root, *segments, received_ms=START_MS):
    """A lake with these messages, a file for each list."""
    lake = Lake(root)
    for number, messages in enumerate(segments):
        worker = Worker(lake, f"w{number}", lambda topic, payload: None)
        for message in messages:
            worker.take(message.topic, message.payload, received_ms + number)
        worker.flush(received_ms + number)
    return lake


def tree(lake):
    return {p.relative_to(lake.sealed).as_posix(): p.read_bytes() for p in sorted(lake.sealed.rglob("*.parquet"))}


def table(lake, name):
    return lake.scan(name).collect()


def test_a_whole_trip_becomes_typed_rows(tmp_path):
    drive = Drive("car")
    lake = store(tmp_path, drive.trip(batches=3))
    report = seal(lake, NOW_MS)
    assert report._replace(manifest=0) == (7, 0, 0, 1, 0, 0, 1, 0, 0)
    for name, schema in SEALED.items():
        assert table(lake, name).schema == schema
    trip = table(lake, "trips").row(0, named=True)
    assert trip["trip_id"] == f"car:{drive.stream_id.hex()}:1"
    assert trip["trip_key"] == trip_key(trip["trip_id"])
    assert (trip["start_ms"], trip["device_start_ms"], trip["period_ms"]) == (START_MS, START_MS, PERIOD_MS)
    assert (trip["recording"], trip["recorded_file"], trip["vehicle"]) == ("ab" * 32, "drive.ubirec", None)
    assert (trip["odometer_start_m"], trip["odometer_end_m"], trip["end_reason"]) == (1_000, 13_345, 2)
    assert (trip["complete"], trip["chain_ok"], trip["has_motion"], trip["clock_suspect"]) == (True, True, True, False)
    assert (trip["conflicts"], trip["tombstones"], trip["represents"]) == (0, 0, 1)
    assert (trip["samples"], trip["distance_mm"]) == (30, 12_345_678)
    assert trip["distance_by_speed_mm"] == [{"key": 3, "value": 12_345_678}]
    motion = table(lake, "motion")
    assert motion["t_ms"].to_list() == [PERIOD_MS * i for i in range(30)]
    assert motion["trip_key"].unique().to_list() == [trip["trip_key"]]
    event = table(lake, "events").row(0, named=True)
    assert (event["kind"], event["onset_ms"], event["peak"], event["delta_v_dkmh"]) == (1, 1_000, 450, -80)
    health = table(lake, "health").row(0, named=True)
    assert (health["seq"], health["counter"], health["value"]) == (6, "resent", 3)


def test_sealed_motion_is_the_motion_that_was_sent(tmp_path):
    drive = Drive("car")
    lake = store(tmp_path, drive.trip(batches=4))
    seal(lake, NOW_MS)
    sent = [wire.decode(m.payload).body for m in drive.messages]
    batches = [body for body in sent if isinstance(body, Motion)]
    motion = table(lake, "motion")
    for name in COLUMNS:
        assert motion[name].to_list() == [value for batch in batches for value in batch.columns[name]]


@given(st.lists(st.one_of(st.none(), st.integers(-300, 300)), min_size=1, max_size=40))
def test_columns_unpack_as_the_slow_twin_does(values):
    column = pb.Column()
    pack_column(column, values)
    fast, known = unpack(column, len(values))
    slow = unpack_column(column, len(values), (-300, 300))
    assert [int(v) if k else None for v, k in zip(fast, known, strict=True)] == slow == values


def test_an_unfinished_trip_waits_and_is_given_up_after_30_quiet_days(tmp_path):
    messages = Drive("car").trip(batches=3)
    lake = store(tmp_path, messages[:-1])
    report = seal(lake, START_MS + GIVE_UP_MS - 1)
    assert (report.trips, report.open) == (0, 1)
    report = seal(lake, START_MS + GIVE_UP_MS)
    assert (report.trips, report.incomplete, report.open) == (1, 1, 0)
    trip = table(lake, "trips").row(0, named=True)
    assert (trip["complete"], trip["chain_ok"], trip["has_motion"]) == (False, True, True)
    assert trip["distance_mm"] is None
    assert trip["start_ms"] == START_MS


def test_a_hole_in_the_run_holds_the_trip_open(tmp_path):
    messages = Drive("car").trip()
    lake = store(tmp_path, messages[:2] + messages[3:])
    assert seal(lake, NOW_MS).open == 1
    seal(lake, START_MS + GIVE_UP_MS)
    trip = table(lake, "trips").row(0, named=True)
    assert (trip["complete"], trip["has_motion"]) == (False, False)
    store(tmp_path, [], messages[2:3])
    seal(lake, START_MS + GIVE_UP_MS)
    trip = table(lake, "trips").row(0, named=True)
    assert (trip["complete"], trip["has_motion"], trip["chain_ok"]) == (True, True, True)


def test_a_trip_without_its_start_is_kept_with_what_is_known(tmp_path):
    messages = Drive("car").trip()
    lake = store(tmp_path, messages[1:])
    seal(lake, START_MS + GIVE_UP_MS)
    trip = table(lake, "trips").row(0, named=True)
    assert (trip["seq"], trip["complete"], trip["device_start_ms"], trip["period_ms"]) == (1, False, None, None)
    assert trip["start_ms"] == START_MS + 2_000  # when its first message was queued
    assert trip["distance_mm"] == 12_345_678
    assert table(lake, "events").height == 1
    assert table(lake, "motion").height == 0


def test_a_tombstone_keeps_the_run_whole_and_says_so(tmp_path):
    messages = Drive("car").trip()
    stone = messages[1]._replace(payload=wire.tombstone(messages[1].payload))
    lake = store(tmp_path, [messages[0], stone, *messages[2:]])
    seal(lake, NOW_MS)
    trip = table(lake, "trips").row(0, named=True)
    assert (trip["complete"], trip["chain_ok"], trip["tombstones"], trip["has_motion"]) == (True, True, 1, False)
    assert table(lake, "motion").height == 10
    store(tmp_path, [], [messages[1]])  # the whole message was under way all along
    seal(lake, NOW_MS)
    trip = table(lake, "trips").row(0, named=True)
    assert (trip["tombstones"], trip["has_motion"], trip["conflicts"]) == (0, True, 0)


def test_other_content_under_the_same_seq_is_flagged_and_the_first_kept(tmp_path):
    messages = Drive("car").trip()
    other = Drive("car")
    other.start(vehicle="another")
    lake = store(tmp_path, messages, [other.messages[0]])
    assert seal(lake, NOW_MS).conflicts == 1
    trip = table(lake, "trips").row(0, named=True)
    assert (trip["conflicts"], trip["vehicle"], trip["chain_ok"], trip["complete"]) == (1, None, True, True)


def test_a_changed_message_breaks_the_chain(tmp_path):
    messages, forged = Drive("car").trip(), Drive("car")
    forged.start(odometer_m=0)
    lake = store(tmp_path, [forged.messages[0], *messages[1:]])
    seal(lake, NOW_MS)
    trip = table(lake, "trips").row(0, named=True)
    assert (trip["complete"], trip["chain_ok"]) == (True, False)


@pytest.mark.parametrize(("recording", "suspect"), [("", True), ("ab" * 32, False)])
def test_a_clock_far_off_is_flagged_unless_it_is_a_recording_s(tmp_path, recording, suspect):
    drive = Drive("car", start_ms=START_MS + 3 * 86_400_000, recording=recording)
    lake = store(tmp_path, drive.trip())
    seal(lake, NOW_MS)
    trip = table(lake, "trips").row(0, named=True)
    assert trip["clock_suspect"] is suspect
    assert trip["start_ms"] == drive.start_ms


def test_the_largest_values_the_wire_takes_fit_the_tables(tmp_path):
    top = {name: high for name, (_, high) in FIELD_BOUNDS.items()}
    drive = Drive("car", start_ms=2**52)
    drive.start(rules_version=top["rules_version"], sensor_grade=255, utc_offset_min=960, period_ms=60_000)
    last = {name: [BOUNDS[name][1]] * top["count"] for name in COLUMNS}
    drive.put(Motion(1, top["first_t_ms"], top["count"], last))
    drive.put(Event(1, **{f: top[f] for f in Event.__dataclass_fields__ if f in top and f != "trip_seq"}))
    summary = TripSummary(distance_mm=2**53, excursions={2**31 - 1: 2**53})
    drive.put(TripEnd(1, 255, summary, 2**53, 2**53))
    lake = store(tmp_path, drive.messages, Drive("bus", start_ms=-(2**52)).trip())
    assert seal(lake, NOW_MS).trips == 2
    trip = table(lake, "trips").filter(device_id="car").row(0, named=True)
    assert (trip["device_start_ms"], trip["start_ms"]) == (2**52, 2**42)
    assert trip["excursions"] == [{"key": 2**31 - 1, "value": 2**53}]
    motion = table(lake, "motion").filter(trip_key=trip["trip_key"])
    assert motion["t_ms"].max() == top["first_t_ms"] + 60_000 * (top["count"] - 1)
    assert motion.null_count().sum_horizontal().item() == 0
    assert table(lake, "events")["peak"].to_list().count(top["peak"]) == 1


def test_sealing_twice_changes_nothing(tmp_path):
    lake = store(tmp_path, fleet(3, 2))
    first = seal(lake, NOW_MS)
    before = tree(lake), lake.manifest()
    again = seal(lake, NOW_MS + 5)
    assert (tree(lake), lake.manifest()) == before
    assert (again.groups_written, again.groups_kept, again.manifest) == (0, first.groups_written, first.manifest)


def test_a_sealed_file_that_is_gone_is_made_again(tmp_path):
    lake = store(tmp_path, fleet(3))
    seal(lake, NOW_MS)
    before = tree(lake)
    lake.sealed_files("motion")[0].unlink()
    assert (seal(lake, NOW_MS).groups_written, tree(lake)) == (1, before)


@pytest.mark.parametrize("content", [b"", b"garbage", "other columns"])
def test_a_damaged_segment_is_named_and_nothing_is_lost(tmp_path, content):
    lake = store(tmp_path, Drive("car").trip())
    seal(lake, NOW_MS)
    before = tree(lake)
    store(tmp_path, [], Drive("bus").trip())
    segment = lake.message_files()[1]
    whole = segment.read_bytes()
    if isinstance(content, bytes):
        segment.write_bytes(content)
    else:
        pl.DataFrame({"device_id": [1]}).write_parquet(segment)
    with pytest.raises(UbiError, match=f"{segment.name}: cannot be read; restore"):
        seal(lake, NOW_MS)
    assert tree(lake) == before
    segment.write_bytes(whole)
    assert (seal(lake, NOW_MS).groups_written, len(tree(lake))) == (1, 2 * len(before))


def test_late_data_rewrites_only_the_files_it_touches(tmp_path):
    drives = [Drive(name, START_MS) for name in ("car", "bus", "van")]
    assert len({bucket_of(drive.device_id) for drive in drives}) == 3
    lake = store(tmp_path, *[drive.trip() for drive in drives])
    seal(lake, NOW_MS)
    before = set(lake.sealed_files("trips") + lake.sealed_files("motion"))
    store(tmp_path, [], [], [], drives[0].trip())
    report = seal(lake, NOW_MS)
    assert (report.groups_written, report.groups_kept) == (1, 2)
    after = set(lake.sealed_files("trips") + lake.sealed_files("motion"))
    assert len(after - before) == 2
    assert {path.parent.name for path in after - before} == {f"bucket={bucket_of('car'):02d}"}
    assert all(path.exists() for path in before)  # a reader may still have the old list


def test_published_tables_of_another_source_survive_sealing(tmp_path):
    lake = store(tmp_path, Drive("car").trip())
    trips = pl.DataFrame({"trip_id": ["s"], "trip_key": [1], "device_id": ["sim"], "start_ms": [START_MS]})
    publish(lake, "simulated", [{"trips": trips}])
    seal(lake, NOW_MS)
    assert sorted(table(lake, "trips")["device_id"]) == ["car", "sim"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(st.randoms(use_true_random=False), st.integers(1, 5), st.integers(0, 2**20), st.integers(0, 40))
def test_order_duplication_and_cuts_change_no_byte(tmp_path_factory, straight, rng, files, late_ms, copies):
    shuffled = straight.messages + rng.choices(straight.messages, k=copies)
    rng.shuffle(shuffled)
    cuts = sorted(rng.randrange(len(shuffled)) for _ in range(files - 1))
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    lake = store(tmp_path_factory.mktemp("shuffled"), *parts, received_ms=START_MS + late_ms)
    seal(lake, NOW_MS)
    assert tree(lake) == straight.tree
    assert lake.manifest() == straight.manifest


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Messages of a fleet, and what they become when they come once and in order."""
    messages = fleet(3, 2)
    lake = store(tmp_path_factory.mktemp("straight"), messages)
    seal(lake, NOW_MS)
    result = type("Straight", (), {})()
    result.messages, result.tree, result.manifest = messages, tree(lake), lake.manifest()
    return result


def test_sealing_in_many_steps_ends_where_one_step_does(tmp_path, straight):
    lake = Lake(tmp_path)
    shuffled = random.Random(3).sample(straight.messages, len(straight.messages))
    for step in range(0, len(shuffled), 7):
        store(tmp_path, *[[]] * step, shuffled[step : step + 7])
        seal(lake, NOW_MS)
    named = {file.path for group in lake.manifest().groups for file in group.files}
    assert {path: content for path, content in tree(lake).items() if path in named} == straight.tree
    assert lake.manifest().groups == straight.manifest.groups


def test_sealing_may_be_killed_at_any_step(tmp_path, straight, monkeypatch):
    class Killed(BaseException):
        pass

    lake = store(tmp_path, straight.messages)
    real = durable.os.fsync
    survived, allowed = False, 0
    while not survived:
        left = allowed

        def fsync(descriptor):
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed
            real(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(durable.os, "fsync", fsync)
            try:
                seal(lake, NOW_MS)
                survived = True
            except Killed:
                pass
        assert lake.manifest().number == int(survived) or lake.manifest() == straight.manifest
        allowed += 1
    assert allowed > 10
    seal(lake, NOW_MS)
    assert tree(lake) == straight.tree
    assert not list(lake.sealed.rglob("*.tmp"))
    assert lake.manifest() == straight.manifest


def test_many_groups_are_decoded_in_batches(tmp_path, straight, monkeypatch):
    monkeypatch.setattr(sealing, "BATCH_MESSAGES", 1)
    lake = store(tmp_path, straight.messages)
    seal(lake, NOW_MS)
    assert tree(lake) == straight.tree


def test_half_written_segments_are_ignored_and_removed_after_a_day(tmp_path):
    lake = store(tmp_path, Drive("car").trip())
    half = durable.temporary(lake.message_files()[0].with_name("half.parquet"))
    half.write_bytes(b"PAR1")
    os.utime(half, (NOW_MS / 1000, NOW_MS / 1000))
    assert seal(lake, NOW_MS).messages == 6
    assert half.exists()
    seal(lake, NOW_MS + KEEP_SUPERSEDED_MS + 1)
    assert not half.exists()
    assert len(lake.message_files()) == 1


def test_two_sealings_at_once_take_turns(tmp_path):
    lake = store(tmp_path, Drive("car").trip())
    with SealWriter(lake, "other"), pytest.raises(TryAgainError, match="run again when it is done"):
        seal(lake, NOW_MS)
    assert seal(lake, NOW_MS).trips == 1
