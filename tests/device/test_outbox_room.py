"""Too little room: the budget, a disk that others fill or that takes nothing, and what is given up in which order."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.contract import bodies, packing, wire
from device.contract.errors import DiskError
from device.outbox import Outbox
from device.outbox_ranks import RANKS, Rank, give_up, rank_of
from device.outbox_room import RESERVE_BYTES, Limits, Reserve, missing_bytes
from tests.device.queued import (
    chain,
    decoded,
    event,
    health,
    impact,
    motion,
    queue,
    tombstones,
    track,
    trip_end,
    verify,
    verify_parts,
)

KB, MB = 2**10, 2**20
SMALL = Limits(max_bytes=192 * KB, keep_free_bytes=0)
NEVER_GIVEN_UP = (bodies.TripStart, bodies.Event, bodies.TripEnd, bodies.Impact, bodies.Health)


def payloads(outbox: Outbox) -> list[bytes]:
    return [row.payload for row in outbox.unacked(1_000_000)]


@pytest.mark.parametrize(
    ("used", "unused", "free", "missing"),
    [
        (0, 0, 1_000, 0),
        (100, 0, 1_000, 0),
        (130, 0, 1_000, 30),
        (50, 0, 5, 15),
        (50, 15, 5, 0),
        (50, 16, 5, 0),
        (110, 0, 0, 20),
        (150, 0, 0, 50),
    ],
)
def test_bytes_are_missing_beyond_the_budget_or_the_free_disk(used, unused, free, missing):
    assert missing_bytes(Limits(max_bytes=100, keep_free_bytes=20), used, unused, free) == missing


def test_every_kind_of_the_contract_has_a_rank():
    kinds = {packing.kind_of(body) for body in (event(), motion(1), track(1), trip_end(), health(), impact())}
    assert kinds | {1} == set(RANKS)


def test_the_oldest_motion_goes_first_then_the_oldest_track_and_nothing_else_ever(tmp_path):
    with Outbox(tmp_path / "a", limits=SMALL) as outbox:
        made: list[bytes] = []
        for trip in range(60):
            made += queue(outbox, event(trip), motion(300, trip), track(60 + trip), health(n=trip), trip_end())
            if trip == 30:
                made += queue(outbox, impact())
        kept = payloads(outbox)
        verify(kept)
        assert outbox._file.used_bytes <= SMALL.max_bytes + 8 * KB
        gone: dict[type, list[bool]] = {}
        for before, after in zip(made, kept, strict=True):
            kind = type(decoded([before])[0].body)
            gone.setdefault(kind, []).append(before != after)
            if before != after:
                assert after == wire.tombstone(before)
        assert not any(any(gone[kind]) for kind in NEVER_GIVEN_UP if kind in gone)
        assert gone[bodies.Motion] == sorted(gone[bodies.Motion], reverse=True)  # the oldest first
        assert gone[bodies.Track] == sorted(gone[bodies.Track], reverse=True)
        counters = outbox.counters
        assert counters["sacrificed_motion"] == sum(gone[bodies.Motion]) > 0
        assert counters.get("sacrificed_track", 0) == sum(gone[bodies.Track])
        assert counters["sacrificed_bytes"] == sum(map(len, made)) - sum(map(len, kept))
    with Outbox(tmp_path / "a", limits=SMALL) as outbox:
        assert outbox.counters == counters


def test_a_checkpoint_stays_where_its_body_goes(tmp_path):
    with Outbox(tmp_path / "a", limits=Limits(max_bytes=0, keep_free_bytes=0)) as outbox:
        whole = chain(outbox, [motion()], signed=True)[0]
        queue(outbox, motion(), signed=True)
        (stone,) = decoded(payloads(outbox))
        assert stone.body is None
        assert (stone.signature, stone.hash) == (bytes(64), whole.hash)


def test_a_body_no_larger_than_its_hash_is_kept(tmp_path):
    with Outbox(tmp_path / "a", limits=Limits(max_bytes=0, keep_free_bytes=0)) as outbox:
        tiny = bodies.Motion(1, 0, 1, {"quality": [0]})
        made = queue(outbox, tiny, tiny)
        assert payloads(outbox) == made
        assert outbox.counters == {}
        assert rank_of(made[0]) == RANKS[packing.kind_of(tiny)]


def test_health_is_hardly_larger_than_its_tombstone(tmp_path):
    """Why it is never given up; a batch of motion weighs 40 times its tombstone."""
    with Outbox(tmp_path / "a") as outbox:
        counters = {f"counter_{n}": 1_000 * n for n in range(10)}
        made = queue(outbox, health(**counters), motion(500))
        saved = [len(payload) - len(wire.tombstone(payload)) for payload in made]
        assert saved[0] < 150
        assert saved[1] > 3_000


steps = st.lists(
    st.tuples(st.sampled_from([event(), motion(40), motion(400), track(30), track(90), health(), impact(), trip_end()]),
              st.integers(1, 4), st.booleans()),
    max_size=40,
)  # fmt: skip


@settings(max_examples=25)
@given(steps, st.integers(0, 40))
def test_whatever_is_queued_the_chain_verifies_and_losses_are_counted(tmp_path_factory, steps, max_pages):
    limits = Limits(max_bytes=4 * KB * max_pages, keep_free_bytes=0)
    path, made = tmp_path_factory.mktemp("room") / "a", []
    for body, times, again in steps:
        with Outbox(path, limits=limits) as outbox:
            made += queue(outbox, *[body] * times)
            if again:
                made += queue(outbox, body)
    with Outbox(path, limits=limits) as outbox:
        kept = payloads(outbox)
        verify(kept)
        changed = [(before, after) for before, after in zip(made, kept, strict=True) if before != after]
        assert all(after == wire.tombstone(before) for before, after in changed)
        assert all(not isinstance(decoded([before])[0].body, NEVER_GIVEN_UP) for before, _ in changed)
        counters = outbox.counters
        assert counters.get("sacrificed_motion", 0) + counters.get("sacrificed_track", 0) == tombstones(kept)


def test_messages_that_no_disk_takes_are_given_up_in_memory_by_the_same_order(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        messages = chain(outbox, [event(), motion(300), track(60), impact(), motion(300, 1), trip_end(), health()])
        made, size = list(messages), sum(len(message.payload) for message in messages)
        assert give_up(messages, size) == {}
        saved = len(made[1].payload) - len(wire.tombstone(made[1].payload))
        assert give_up(messages, size - 1_000) == {"sacrificed_motion": 1, "sacrificed_bytes": saved}
        assert give_up(messages, 0)["sacrificed_track"] == 1
        assert [message.hash for message in messages] == [message.hash for message in made]
        outbox.commit(1, messages, b"")
        verify(payloads(outbox))
        assert [rank_of(payload) for payload in payloads(outbox)] == [1, 4, 4, 0, 4, 1, 1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> Path:
    """Another program takes every byte that is left."""
    path = disk / "somebody else's"
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4_096)):
                pass
        except OSError:
            return path
    raise AssertionError("the disk has no end")


def test_a_disk_that_others_fill_costs_motion_and_no_trip(small_disk):
    limits = Limits(keep_free_bytes=512 * KB)
    made: list[bytes] = []
    with Outbox(small_disk / "a", limits=limits) as outbox:
        assert (small_disk / "a-reserve").stat().st_size == RESERVE_BYTES
        for trip in range(100):
            made += queue(outbox, event(trip), motion(300, trip), health(n=trip), trip_end())
        assert tombstones(payloads(outbox)) == 0
        filler = fill(small_disk)
        for trip in range(100):
            made += queue(outbox, event(trip), motion(300, trip), health(n=trip), trip_end())
        assert not (small_disk / "a-reserve").exists()
        kept = payloads(outbox)
        verify(kept)
        assert len(kept) == len(made)
        assert outbox.counters["sacrificed_motion"] == tombstones(kept) > 100
        assert outbox.release(outbox.stream_id, [(1, 10)]) == (10, 0)
    with Outbox(small_disk / "a", limits=limits) as outbox:
        assert outbox.next_seq == len(made) + 1
        queue(outbox, event())
        filler.unlink()
        made += queue(outbox, motion(), motion())
        assert (small_disk / "a-reserve").exists()
        assert tombstones(payloads(outbox)[-2:]) == 0
        verify_parts(payloads(outbox))


def test_an_agent_that_starts_on_a_full_disk_goes_on_with_its_reserve(small_disk):
    limits = Limits(keep_free_bytes=512 * KB)
    with Outbox(small_disk / "a", limits=limits) as outbox:
        queue(outbox, event(), motion(300), trip_end())
    fill(small_disk)
    with Outbox(small_disk / "a", limits=limits) as outbox:
        queue(outbox, event(), trip_end())
        verify(payloads(outbox))
        assert (outbox.waiting(), outbox.next_seq) == (5, 6)


@pytest.mark.parametrize("withheld", [(), (Rank.MOTION, Rank.TRACK)])
def test_what_a_full_disk_lacks_may_be_far_more_than_the_reserve_holds(small_disk, withheld):
    """As under the limits of a car: what is given up, or withdrawn, goes in small steps."""
    limits = Limits(keep_free_bytes=3 * MB)
    with Outbox(small_disk / "a", limits=limits) as outbox:
        for trip in range(60):
            queue(outbox, event(trip), *[motion(600, trip), track()] * 20, trip_end())
    fill(small_disk)
    for start in range(3):  # the second start has no reserve any more
        with Outbox(small_disk / "a", limits=limits) as outbox:
            assert (small_disk / "a-reserve").exists() == (start == 0)
            outbox.withhold(withheld)
            for trip in range(5):
                queue(outbox, event(trip), motion(600, trip), trip_end(), state=b"%d" % (5 * start + trip))
            assert not (small_disk / "a-reserve").exists()
            kept = decoded(payloads(outbox))
            told = outbox.counters
            assert sum(message.body is None for message in kept) == sum(
                total for name, total in told.items() if name != "sacrificed_bytes"
            )
            assert (any(isinstance(m.body, bodies.Motion | bodies.Track) for m in kept)) == (not withheld)
    verify(payloads(outbox := Outbox(small_disk / "a")))
    assert (outbox.state, outbox.next_seq) == (b"14", 60 * 42 + 15 * 3 + 1)
    outbox.close()


def test_a_disk_without_a_byte_for_trips_refuses_and_takes_them_later(small_disk):
    """The agent holds on to what was refused; nothing that was taken is lost."""
    with Outbox(small_disk / "a", limits=Limits(keep_free_bytes=0)) as outbox:
        filler = fill(small_disk)
        taken = 0

        def go_on() -> None:
            nonlocal taken
            while True:
                queue(outbox, *[trip_end()] * 20, state=b"%d" % taken)
                taken += 20

        with pytest.raises(DiskError, match="full"):
            go_on()
        assert (outbox.waiting(), outbox.next_seq, outbox.state) == (taken, taken + 1, b"%d" % (taken - 20))
        assert taken > 5_000
        with pytest.raises(DiskError):
            queue(outbox, *[trip_end()] * 2_000)
        filler.unlink()
        queue(outbox, *[trip_end()] * 2_000)
        verify(payloads(outbox))


def test_a_disk_that_is_read_only_is_told_and_asked_again(small_disk):
    with Outbox(small_disk / "a", limits=Limits(keep_free_bytes=0)) as outbox:
        queue(outbox, event(), trip_end())
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(DiskError, match="check the folder, its rights and the free space"):
        Outbox(small_disk / "a")
    with pytest.raises(DiskError):
        Outbox(small_disk / "new")
    subprocess.run(["mount", "-o", "remount,rw", small_disk], check=True)
    with Outbox(small_disk / "a") as outbox:
        assert outbox.waiting() == 2


def test_a_reserve_is_made_only_where_there_is_room(tmp_path):
    reserve = Reserve(tmp_path / "a", size=1_000)
    reserve.fill(free=1_999, keep_free=1_000)
    assert not reserve.path.exists()
    reserve.fill(free=2_000, keep_free=1_000)
    assert reserve.path.stat().st_size == 1_000
    assert reserve.path.stat().st_blocks > 0
    assert reserve.spend()
    assert not reserve.spend()
    Reserve(tmp_path / "missing" / "a").fill(free=2**40, keep_free=0)
