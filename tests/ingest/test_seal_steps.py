"""Sealing step by step ends where sealing everything at once does, whatever came when, twice, late or changed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from device.contract import wire
from ingest import compact as compacting
from ingest import parts
from ingest import seal as sealing
from ingest.contract import durable
from ingest.contract.lake import Lake
from ingest.ledger import GIVE_UP_MS
from ingest.seal import seal
from ingest.worker import Worker
from tests.ingest.drive import START_MS, Drive, Sent

DAY_MS = 86_400_000


@dataclass
class Road:
    """Messages of some cars in an order that no car would choose, cut into segments, each with its time."""

    rng: random.Random
    sent: list[Sent] = field(default_factory=list)

    def drive(self, cars: int, trips: int) -> None:
        for number in range(cars):
            drive = Drive(f"car-{number}", START_MS + number * 40 * DAY_MS)
            other = Drive(f"car-{number}", START_MS + number * 40 * DAY_MS)
            for _ in range(trips):
                for _ in range(self.rng.randrange(3)):
                    drive.health(resent=self.rng.randrange(9))
                drive.trip(batches=self.rng.randrange(1, 4))
            self.sent += drive.messages
            while len(other.messages) < len(drive.messages):
                other.health(forged=len(other.messages)) if self.rng.random() < 0.7 else other.start(vehicle="other")
            self.sent += [m for m in other.messages if self.rng.random() < 0.05]

    def spoil(self) -> None:
        rng = self.rng
        tombs = [m for m in self.sent if rng.random() < 0.1]
        self.sent = [m for m in self.sent if rng.random() < 0.93]
        self.sent += [m._replace(payload=wire.tombstone(m.payload)) for m in tombs]
        self.sent += rng.choices(self.sent, k=len(self.sent) // 6)
        for _ in range(len(self.sent) // 3):  # mostly in order, as cars send
            a = rng.randrange(len(self.sent))
            b = min(len(self.sent) - 1, a + rng.randrange(6))
            self.sent[a], self.sent[b] = self.sent[b], self.sent[a]
        if rng.random() < 0.3:
            rng.shuffle(self.sent)

    def segments(self, count: int) -> list[tuple[int, list[Sent]]]:
        cuts = sorted(self.rng.randrange(len(self.sent)) for _ in range(count - 1))
        now_ms, found = START_MS, []
        for first, end in zip([0, *cuts], [*cuts, len(self.sent)], strict=True):
            now_ms += self.rng.choice((1, 1_000, DAY_MS, 12 * DAY_MS, 31 * DAY_MS))
            found.append((now_ms, self.sent[first:end]))
        return found


def store(lake, number, received_ms, messages):
    worker = Worker(lake, f"w{number}", lambda topic, payload: None)
    for message in messages:
        worker.take(message.topic, message.payload, received_ms)
    worker.flush(received_ms)


def sealed(lake):
    named = {file.path for group in lake.manifest().groups for file in group.files}
    return {path: (lake.sealed / path).read_bytes() for path in named}


@settings(max_examples=10, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.integers(0, 2**32), st.integers(2, 9), st.integers(1, 3), st.booleans(), st.booleans())
def test_sealing_step_by_step_is_sealing_at_once(tmp_path_factory, seed, count, cars, small, compacted):
    rng = random.Random(seed)
    road = Road(rng)
    road.drive(cars, 3)
    road.spoil()
    segments = road.segments(count)
    steps, once = (Lake(tmp_path_factory.mktemp(name)) for name in ("steps", "once"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_ROWS", 30 if small else 10**6)
        patch.setattr(compacting, "SMALL_FILES", 2 if compacted else 64)
        for number, (now_ms, messages) in enumerate(segments):
            store(steps, number, now_ms, messages)
            if rng.random() < 0.8:
                seal(steps, now_ms + rng.choice((0, 5 * DAY_MS)))
        end_ms = segments[-1][0] + rng.choice((5 * DAY_MS, GIVE_UP_MS))
        done = seal(steps, end_ms)
        for number, (now_ms, messages) in enumerate(segments):
            store(once, number, now_ms, messages)
        at_once = seal(once, end_ms)
        assert done._replace(groups_written=0, groups_kept=0, manifest=0) == at_once._replace(
            groups_written=0, groups_kept=0, manifest=0
        )
        assert steps.manifest().groups == once.manifest().groups
        assert sealed(steps) == sealed(once)
        assert seal(steps, end_ms).groups_written == 0
        assert seal(steps, end_ms, afresh=True)._replace(duplicates=0).groups_written == 0
    columns = ["device_id", "stream_id", "seq", "hash", "tombstone"]
    stored = [lake.scan_messages().select(columns).collect().unique().sort(columns) for lake in (steps, once)]
    assert stored[0].equals(stored[1])


def test_a_backlog_is_taken_in_steps(tmp_path, monkeypatch):
    road = Road(random.Random(2))
    road.drive(3, 3)
    steps, once = Lake(tmp_path / "steps"), Lake(tmp_path / "once")
    for lake in (steps, once):
        for number in range(0, len(road.sent), 8):
            store(lake, number, START_MS + number, road.sent[number : number + 8])
    at_once = seal(once, START_MS + GIVE_UP_MS * 3)
    monkeypatch.setattr(sealing, "STEP_BYTES", 1)
    report = seal(steps, START_MS + GIVE_UP_MS * 3)
    assert report.manifest > 6
    assert report._replace(manifest=1) == at_once
    assert sealed(steps) == sealed(once)
    again = seal(steps, START_MS + GIVE_UP_MS * 3, afresh=True)
    assert again._replace(manifest=0) == at_once._replace(
        manifest=0, groups_written=0, groups_kept=at_once.groups_written
    )
    assert again.manifest <= report.manifest + 1  # what was sealed counts until all is there again


def test_a_sealing_reads_what_is_new_and_not_what_was_sealed(tmp_path, monkeypatch):
    lake, drive, read = Lake(tmp_path), Drive("car"), []
    real = Lake.scan_messages
    monkeypatch.setattr(Lake, "scan_messages", lambda self, files=None: (read.extend(files), real(self, files))[1])
    for number in range(5):
        store(lake, number, START_MS + number, drive.trip())
        seal(lake, START_MS + 1_000)
        assert [path.name for path in read] == [f"{START_MS + number:013d}-w{number}-000000.parquet"]
        read.clear()
    seal(lake, START_MS + 1_000)
    assert read == []


def test_a_small_group_is_one_file_a_table_and_a_large_one_is_cut_by_days(tmp_path, monkeypatch):
    monkeypatch.setattr(parts, "PART_ROWS", 60)
    lake = Lake(tmp_path)
    for day in range(6):
        messages = Drive("car", START_MS + day * DAY_MS, outbox=str(day)).trip()
        store(lake, day, START_MS + day * DAY_MS, messages)
        seal(lake, START_MS + day * DAY_MS + 1)
        files = [file for group in lake.manifest().groups for file in group.files if file.table == "motion"]
        assert [file.day for file in files] == ([0] if day < 2 else list(range(1, day + 2)))
    before = set(lake.sealed_files("motion"))
    store(lake, 9, START_MS + 7 * DAY_MS, Drive("car", START_MS + 2 * DAY_MS, outbox="late").trip())
    seal(lake, START_MS + 7 * DAY_MS)
    assert lake.scan("motion").collect().height == 140
    assert len(before & set(lake.sealed_files("motion"))) == 5


def test_a_later_sealing_may_be_killed_at_any_sync_rename_or_deletion(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def before(target, name, left):
        real = getattr(target, name)

        def step(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return real(*arguments, **options)

        return step

    road = Road(random.Random(7))
    road.drive(1, 3)
    road.spoil()
    half = len(road.sent) // 2
    once = Lake(tmp_path / "once")
    killed = Lake(tmp_path / "killed")
    for lake in (once, killed):
        store(lake, 0, START_MS, road.sent[: half // 2])
        store(lake, 1, START_MS + 1, road.sent[half // 2 : half])
        seal(lake, START_MS + 2)
        store(lake, 2, START_MS + 3, road.sent[half:])
    end_ms = START_MS + 3 * DAY_MS  # the day is over: its segments are joined
    seal(once, end_ms)
    deaths = 0
    for allowed in range(0, 200, 2):
        with monkeypatch.context() as patch:
            left = [allowed]
            for target, name in ((durable.os, "fsync"), (durable.Path, "replace"), (durable, "delete")):
                patch.setattr(target, name, before(target, name, left))
            try:
                report = seal(killed, end_ms)
            except Killed:
                deaths += 1
                assert killed.manifest().number in (1, 2)
                continue
        break
    assert deaths > 8
    assert seal(killed, end_ms)._replace(groups_written=0, groups_kept=0) == report._replace(
        groups_written=0, groups_kept=0
    )
    assert sealed(killed) == sealed(once)
    assert killed.scan_messages().drop("file").collect().equals(once.scan_messages().drop("file").collect())
