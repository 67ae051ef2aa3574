from __future__ import annotations

import os

import pytest

from ingest import compact as compacting
from ingest.contract.lake import COMPACT, Lake
from ingest.contract.publish import KEEP_SUPERSEDED_MS
from ingest.query import connect
from ingest.seal import seal
from ingest.worker import Worker
from tests.ingest.drive import START_MS, Drive, fleet

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
COLUMNS = ["device_id", "stream_id", "seq", "hash", "payload"]


def store(lake, messages, first_ms=START_MS, each=3):
    for number, start in enumerate(range(0, len(messages), each)):
        worker = Worker(lake, f"w{number}", lambda topic, payload: None)
        for message in messages[start : start + each]:
            worker.take(message.topic, message.payload, first_ms + number)
        worker.flush(first_ms + number)
    return lake


def rows(lake):
    return lake.scan_messages().select(COLUMNS).collect().unique().sort(COLUMNS)


def test_the_segments_of_a_day_that_is_over_become_one_sorted_one(tmp_path):
    messages = fleet(3, 2)
    lake = store(Lake(tmp_path), messages + messages[:5])
    before = rows(lake)
    seal(lake, START_MS + DAY_MS + HOUR_MS - 1)
    assert len(lake.message_files()) > 10
    report = seal(lake, START_MS + DAY_MS + HOUR_MS)
    (file,) = lake.message_files()
    assert file.name.startswith(COMPACT)
    assert rows(lake).equals(before)
    joined = lake.scan_messages().collect()
    assert joined.height == len(messages)  # equal copies are dropped
    assert joined.select(COLUMNS[:3]).equals(joined.select(COLUMNS[:3]).sort(COLUMNS[:3]))
    assert report.duplicates == 5
    again = seal(lake, START_MS + DAY_MS + HOUR_MS)
    assert (again, lake.message_files()) == (report, [file])


def test_what_was_joined_stays_a_day_for_whoever_reads_it(tmp_path):
    lake = store(Lake(tmp_path), fleet(2))
    now_ms = START_MS + 2 * DAY_MS
    with connect(lake) as connection:
        seal(lake, now_ms)
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (12,)
    folder = lake.message_files()[0].parent
    assert len(list(folder.iterdir())) > 2
    seal(lake, now_ms + KEEP_SUPERSEDED_MS)
    assert len(list(folder.iterdir())) > 2
    seal(lake, now_ms + KEEP_SUPERSEDED_MS + 1)
    assert list(folder.iterdir()) == lake.message_files()
    assert seal(lake, now_ms + KEEP_SUPERSEDED_MS + 2).messages == 12


def test_a_segment_that_comes_after_its_day_was_joined_is_taken_in(tmp_path):
    messages = fleet(2, 2)
    lake = store(Lake(tmp_path), messages[:13])
    now_ms = START_MS + 2 * DAY_MS
    seal(lake, now_ms)
    store(lake, messages[13:], START_MS + 500)  # a worker that was stalled for two days
    assert seal(lake, now_ms).trips == 4
    assert len(lake.message_files()) == 1
    assert rows(lake).height == len(messages)


def test_a_busy_day_does_not_wait_for_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(compacting, "SMALL_FILES", 8)
    drive, lake = Drive("car"), Lake(tmp_path)
    for number in range(30):
        store(lake, drive.trip(), START_MS + 100 * number)
        seal(lake, START_MS + 100 * number)
    assert len(lake.message_files()) < 8 + 8
    assert rows(lake).height == len(drive.messages)


def test_no_segment_grows_beyond_what_is_held_in_memory(tmp_path, monkeypatch):
    lake = store(Lake(tmp_path), fleet(4, 3))
    size = max(path.stat().st_size for path in lake.message_files())
    monkeypatch.setattr(compacting, "FULL_BYTES", 2 * size)
    before = rows(lake)
    for _ in range(4):
        seal(lake, START_MS + 2 * DAY_MS)
    assert 1 < len(lake.message_files()) < 24
    assert max(path.stat().st_size for path in lake.message_files()) <= 2 * size
    assert rows(lake).equals(before)


def test_a_compaction_that_was_killed_has_not_happened(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def die(*arguments):
        raise Killed

    lake = store(Lake(tmp_path), fleet(2))
    seal(lake, START_MS)
    files = lake.message_files()
    with monkeypatch.context() as patch:
        patch.setattr("ingest.state.save", die)
        with pytest.raises(Killed):
            seal(lake, START_MS + 2 * DAY_MS)
    (leftover,) = set(lake.message_files()[0].parent.glob("*.parquet")) - set(files)
    assert lake.message_files() == files
    os.utime(leftover, (START_MS / 1000, START_MS / 1000))
    seal(lake, START_MS + 2 * DAY_MS)
    assert seal(lake, START_MS + 2 * DAY_MS).messages == 12
    assert len(lake.message_files()) == 1


def test_sealing_afresh_does_not_count_what_was_joined_twice(tmp_path):
    lake = store(Lake(tmp_path), fleet(2))
    first = seal(lake, START_MS + 2 * DAY_MS)
    again = seal(lake, START_MS + 2 * DAY_MS, afresh=True)
    assert (again.messages, again.duplicates, again.groups_written) == (first.messages, 0, 0)
