from __future__ import annotations

import errno
import subprocess
from datetime import UTC, datetime
from unittest.mock import Mock

import polars as pl
import pytest

from device.contract import topics
from device.contract.errors import TryAgainError, UsageError
from features.build import build
from ingest.contract import durable
from ingest.contract.lake import Lake
from ingest.contract.publish import SealWriter
from ingest.forget import Places, forget
from ingest.gate import Gate
from ingest.query import gaps, status
from ingest.retain import read_retention, retain
from ingest.seal import seal
from ingest.worker import Worker
from tests.ingest.drive import Drive
from tests.ingest.test_forget_killed import Killed, dies_before

DAY_MS = 86_400_000
MONTHS = (1, 2, 3, 4)
SEALED = ("trips", "events", "motion", "health")


def at(month: int, day: int = 10) -> int:
    return int(datetime(2026, month, day, tzinfo=UTC).timestamp() * 1_000)


NOW_MS = at(5)  # 1 May 2026 is more than 31 days after March, and 9 days after April


def deliver(lake: Lake, messages, received_ms: int, name: str = "w") -> Worker:
    worker = Worker(lake, name, lambda _topic, _payload: None, gate=Gate(lake.root))
    for message in messages:
        worker.take(message.topic, message.payload, received_ms)
    worker.flush(received_ms)
    return worker


def drives_of(months=MONTHS):
    """Two cars with a trip a month."""
    for drive in (Drive("car"), Drive("bus")):
        for month in months:
            drive.start_ms = at(month) - 1_000 * len(drive.messages)
            yield month, drive, drive.trip()


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("filled") / "lake")
    for number, (month, drive, messages) in enumerate(drives_of()):
        worker = deliver(lake, messages, at(month, 11), f"w{number}")
        worker.take(topics.up(drive.device_id), b"garbage %d" % month, at(month, 11))
        worker.flush(at(month, 11) + 1)
    seal(lake, NOW_MS)
    return lake.root


@pytest.fixture
def lake(filled, tmp_path):
    subprocess.run(["cp", "-r", filled, tmp_path / "lake"], check=True)
    return Lake(tmp_path / "lake")


def tables(lake: Lake) -> dict[str, pl.DataFrame]:
    told = {name: lake.scan(name).collect() for name in SEALED}
    return {
        name: frame.sort(frame.columns) if name != "trips" else frame.sort("trip_key") for name, frame in told.items()
    }


def months_of(frame: pl.DataFrame, time: str = "start_ms") -> list[int]:
    return sorted(set(pl.Series(frame[time]).cast(pl.Datetime("ms")).dt.month()))


def test_on_a_full_disk_what_needs_no_space_to_go_is_gone_first(lake, monkeypatch):
    before = set(lake.sealed.rglob("*.parquet"))
    deliver(lake, Drive("car", at(4, 20), outbox="new").trip(), at(4, 21), "late")
    seal(lake, NOW_MS)
    named = {lake.sealed / file.path for group in lake.manifest().groups for file in group.files}
    assert before - named
    monkeypatch.setattr(durable, "commit", Mock(side_effect=OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        retain(lake, {"motion": 31}, NOW_MS)
    assert set(lake.sealed.rglob("*.parquet")) == named


def test_a_month_goes_when_its_last_day_is_so_many_days_ago(lake):
    before = tables(lake)
    told = retain(lake, {"motion": 39, "health": 70}, NOW_MS)
    after = tables(lake)
    trips = after["trips"].filter(pl.col("trip_key").is_in(after["motion"]["trip_key"].implode()))
    assert months_of(trips) == [4]  # 31 March is 40 days ago
    assert months_of(after["health"], "queued_at_ms") == [3, 4]
    assert told == {"motion": before["motion"].height * 3 // 4, "health": before["health"].height // 2}
    for name in ("trips", "events"):
        assert after[name].equals(before[name])
    assert retain(lake, {"motion": 40, "health": 70}, NOW_MS) == {"motion": 0, "health": 0}
    assert lake.scan_messages().collect()["payload"].null_count() == 0


def test_files_that_went_are_off_the_disk(lake):
    retain(lake, {"motion": 1}, at(12))
    assert not list((lake.root / "sealed" / "motion").rglob("*.parquet"))
    assert len(lake.manifest_files()) == 1


def test_events_and_all_else_of_a_trip_go_with_it(lake):
    told = retain(lake, {"trips": 39}, NOW_MS)
    after = tables(lake)
    assert months_of(after["trips"]) == [4]
    for name in ("events", "motion"):
        assert set(after[name]["trip_key"]) == set(after["trips"]["trip_key"])
    assert told["trips"] == 6
    assert told["events"] == 6


def bodies_by_month(lake, scan):
    rows = scan().collect().with_columns(month=pl.from_epoch("received_at_ms", time_unit="ms").dt.month())
    kept = rows.group_by("month").agg(pl.col("payload").is_not_null().all().alias("all"), pl.col("payload").count())
    return {month: (all_, count > 0) for month, all_, count in kept.sort("month").iter_rows()}


def test_bodies_go_and_their_headers_stay(lake):
    before = lake.scan_messages().drop("payload", "file").collect()
    told = retain(lake, {"messages": 39, "rejects": 70}, NOW_MS)
    assert bodies_by_month(lake, lake.scan_messages) == {
        1: (False, False),
        2: (False, False),
        3: (False, False),
        4: (True, True),
    }
    assert bodies_by_month(lake, lake.scan_rejects) == {
        1: (False, False),
        2: (False, False),
        3: (True, True),
        4: (True, True),
    }
    assert told == {"messages": 2 * 3 * 6, "rejects": 4}
    after = lake.scan_messages().drop("payload", "file").collect()
    assert after.sort("device_id", "seq").equals(before.sort("device_id", "seq"))


@pytest.mark.parametrize("afresh", [False, True])
def test_trips_without_bodies_stay_as_they_were_sealed(lake, afresh):
    before, counts, missing = tables(lake), status(lake), gaps(lake)
    retain(lake, {"messages": 39}, NOW_MS)
    seal(lake, NOW_MS + 1, afresh=afresh)
    assert all(frame.equals(before[name]) for name, frame in tables(lake).items())
    assert (status(lake), gaps(lake)) == (counts, missing)
    seal(lake, NOW_MS + 2, afresh=True)
    assert all(frame.equals(before[name]) for name, frame in tables(lake).items())


@pytest.mark.parametrize("afresh", [False, True])
def test_old_messages_that_come_again_change_nothing_and_lose_their_bodies_again(lake, afresh):
    before = tables(lake)
    retain(lake, {"messages": 39}, NOW_MS)
    deliver(lake, [m for _, _, messages in drives_of() for m in messages], NOW_MS, "again")
    seal(lake, NOW_MS + 1, afresh=afresh)
    assert all(frame.equals(before[name]) for name, frame in tables(lake).items())
    retain(lake, {"messages": 39}, NOW_MS + 2)
    trips = lake.scan_messages().filter(pl.col("payload").is_not_null()).collect()
    assert months_of(trips, "queued_at_ms") == [4]


def test_driving_goes_on_after_it(lake):
    retain(lake, {"messages": 39, "motion": 39}, NOW_MS)
    before = tables(lake)
    *_, (_, drive, messages) = drives_of((*MONTHS, 5))
    deliver(lake, messages, NOW_MS, "new")
    report = seal(lake, NOW_MS + 1)
    after = tables(lake)
    assert after["trips"].height == before["trips"].height + 1
    assert after["trips"].filter(pl.col("seq") <= 24).equals(before["trips"])
    assert report.open == 0
    assert drive.device_id == "bus"


def test_the_tables_that_pricing_reads_do_not_depend_on_bodies_and_motion(lake, tmp_path):
    build(lake, tmp_path / "one")
    retain(lake, {"messages": 39, "motion": 9, "health": 9, "rejects": 9}, NOW_MS)
    build(lake, tmp_path / "two")
    for name in ("trips", "events", "driver_periods"):
        assert (tmp_path / "one" / f"{name}.parquet").read_bytes() == (
            tmp_path / "two" / f"{name}.parquet"
        ).read_bytes()


def test_an_open_trip_keeps_its_bodies_however_old_they_are(tmp_path):
    lake, drive = Lake(tmp_path), Drive("car", at(1))
    deliver(lake, drive.trip()[:3], at(1))
    seal(lake, at(1) + DAY_MS)
    assert retain(lake, {"messages": 31}, at(5))["messages"] == 0
    deliver(lake, drive.messages[3:], at(5), "late")
    seal(lake, at(5))
    assert lake.scan("trips").collect()["complete"].to_list() == [True]


def test_messages_that_belong_to_nothing_lose_their_bodies_by_the_day_they_came(tmp_path):
    lake, drive = Lake(tmp_path), Drive("car", at(1))
    drive._trip_seq = 99  # of a trip that is yet to begin: no device of ours says so
    messages = [drive.event(), drive.event()]
    deliver(lake, messages, at(1))
    seal(lake, at(1) + 40 * DAY_MS)
    lost = lake.scan("trips").collect().height
    told = retain(lake, {"messages": 31}, at(1) + 20 * DAY_MS)
    assert told["messages"] == 0
    assert retain(lake, {"messages": 31}, at(4))["messages"] == 2
    seal(lake, at(4))
    assert lake.scan("trips").collect().height == lost


def test_who_is_forgotten_after_it_is_forgotten_in_what_is_final_too(lake):
    retain(lake, {"messages": 39}, NOW_MS)
    forget(Places(lake), "car", NOW_MS)
    for name in ("trips", "events", "health"):
        assert set(lake.scan(name).collect()["device_id"]) == {"bus"}
    seal(lake, NOW_MS + 1, afresh=True)
    assert set(lake.scan("trips").collect()["device_id"]) == {"bus"}


def test_it_waits_for_nobody_who_seals(lake):
    with SealWriter(lake, "x"), pytest.raises(TryAgainError, match="another process is sealing"):
        retain(lake, {"motion": 1}, NOW_MS)


def test_killed_before_any_change_of_the_disk_and_run_again_it_comes_to_the_same(lake, tmp_path, monkeypatch):
    days = {"messages": 39, "motion": 39, "rejects": 39}

    def copy(name):
        subprocess.run(["cp", "-r", lake.root, tmp_path / name], check=True)
        return Lake(tmp_path / name)

    whole = copy("whole")
    with monkeypatch.context() as patch:
        steps = dies_before(patch, 0)
        retain(whole, days, NOW_MS)
    assert steps[0] > 30
    for step in range(1, steps[0] + 1, 7):
        killed = copy(f"killed-{step}")
        with monkeypatch.context() as patch:
            dies_before(patch, step)
            with pytest.raises(Killed):
                retain(killed, days, NOW_MS)
        seal(killed, NOW_MS)
        retain(killed, days, NOW_MS)
        seal(killed, NOW_MS)
        assert all(frame.equals(tables(whole)[name]) for name, frame in tables(killed).items()), step
        bodies = [one.scan_messages().drop("file").sort("device_id", "seq").collect() for one in (whole, killed)]
        assert bodies[0].equals(bodies[1]), step


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("motion = 90", "has to be one table [days]"),
        ("[days]\nmotion = 90\n[more]", "has to be one table [days]"),
        ("[days]\nmotions = 90", "'motions' is no table; they are messages, rejects, trips, motion"),
        ("[days]\nevents = 90", "'events' is no table"),
        ("[days]\nmotion = 0", "motion = 0 is not a whole number of days from 1 on"),
        ("[days]\nmotion = true", "motion = True is not a whole number"),
        ("[days]\nmessages = 30", "messages = 30 is not a whole number of days from 31 on, as open trips wait 30 days"),
        ("[days]\ntrips = 30\nmotion = 60", "motion is kept longer than trips, and goes with them; write at most 30"),
        ("[days", "not TOML"),
    ],
)
def test_a_retention_that_cannot_be_used_is_told(tmp_path, text, said):
    (tmp_path / "retention.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_retention(tmp_path / "retention.toml")
    assert str(caught.value).startswith(f"{tmp_path / 'retention.toml'}: ")
    assert said in str(caught.value)


def test_a_retention_is_days_by_table(tmp_path):
    (tmp_path / "retention.toml").write_text("[days]\nmotion = 90\ntrips = 1100\n")
    assert read_retention(tmp_path / "retention.toml") == {"motion": 90, "trips": 1100}
    with pytest.raises(UsageError, match="No such file or directory; name a file with days by table"):
        read_retention(tmp_path / "none.toml")
