"""Damage of every kind: set aside, counted, what is whole still sent, and the agent goes on."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from device import outbox_damage
from device.contract.errors import DamagedError, DiskError, TryAgainError, UbiError
from device.outbox import Outbox
from device.outbox_damage import open_outboxes
from device.outbox_file import crc, suspect_mark
from tests.device.queued import chain, decoded, event, health, motion, queue, track, trip_end

PAGE = 4_096
MESSAGES = 120


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Path, list[bytes]]:
    """A folder with an outbox, as a kill left it: half of its messages are only in its log; and the messages."""
    folder = tmp_path_factory.mktemp("whole")
    made: list[bytes] = []
    with Outbox(folder / "a", bytes(range(16))) as outbox:
        for trip in range(MESSAGES // 10):
            made += queue(outbox, event(trip), motion(300, trip), track(60 + trip), health(n=trip), trip_end())
    with Outbox(folder / "a") as outbox:
        for trip in range(MESSAGES // 10):
            made += queue(outbox, event(trip), motion(200, trip), track(70 + trip), health(n=trip), trip_end())
        (folder / "killed").mkdir()
        for file in folder.glob("a*"):
            shutil.copy(file, folder / "killed")
    return folder / "killed", made


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole[0], tmp_path / "car")


def spoil(path: Path, offset: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


def reopened(path: Path) -> tuple[dict[str, int], list[bytes], list[bytes]]:
    """Counters, messages of the outbox to write to, messages that were rescued; it goes on and can be closed."""
    first, *others = open_outboxes(path)
    waiting = [row.payload for row in first.unacked(1_000)]
    rescued = [row.payload for other in others for row in other.unacked(1_000)]
    queue(first, event(), motion(), state=b"goes on")
    counters = first.counters
    for outbox in [first, *others]:
        outbox.close()
    return counters, waiting, rescued


def test_a_whole_outbox_is_opened_as_it_is(folder, whole):
    assert reopened(folder / "a") == ({}, whole[1], [])
    assert sorted(file.name for file in folder.iterdir()) == ["a"]


def test_a_page_of_nothing_costs_only_what_was_on_it(folder, whole):
    Outbox(folder / "a").close()  # the log is in the file now
    spoil(folder / "a", 20 * PAGE, b"\x5a" * PAGE)
    with pytest.raises(DamagedError, match=r"a: damaged: .*; set the file aside"):
        Outbox(folder / "a")
    counters, waiting, rescued = reopened(folder / "a")
    assert waiting == []
    assert set(rescued) < set(whole[1])
    assert len(rescued) > MESSAGES * 0.7
    assert counters == {
        "damaged": 1,
        "rescued_messages": len(rescued),
        "damaged_messages": MESSAGES - len(rescued),
    }
    assert (folder / "a-set-aside").exists()
    assert not (folder / "a-damaged").exists()


def test_what_was_rescued_is_an_outbox_of_the_old_stream_until_it_is_delivered(folder):
    Outbox(folder / "a").close()
    spoil(folder / "a", 20 * PAGE, b"\x5a" * PAGE)
    first, rescued = open_outboxes(folder / "a")
    with first, rescued:
        assert (rescued.stream_id, rescued.next_seq) == (bytes(range(16)), MESSAGES + 1)
        assert first.stream_id != rescued.stream_id
        rescued.release(rescued.stream_id, [(1, 50)])
        left = rescued.waiting()
    first, rescued = open_outboxes(folder / "a")
    with first, rescued:
        assert (rescued.waiting(), first.counters["damaged"]) == (left, 1)
        rescued.release(rescued.stream_id, [(1, MESSAGES)])
    (first,) = open_outboxes(folder / "a")
    first.close()
    assert sorted(file.name for file in folder.iterdir()) == ["a", "a-set-aside"]


@pytest.mark.parametrize("content", [b"", b"hello" * 2_000, bytes(PAGE * 4), b"SQLite format 3\0" + bytes(9_000)])
def test_a_file_of_something_else_is_set_aside_and_the_loss_told_as_uncounted(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    counters, waiting, rescued = reopened(tmp_path / "a")
    assert (waiting, rescued) == ([], [])
    assert counters == ({"damaged": 1, "damaged_uncounted": 1} if content else {})
    if content:
        assert (tmp_path / "a-set-aside").read_bytes() == content


def test_damage_met_while_running_is_set_aside_at_the_next_start(folder, whole):
    """Also where the next start's look would miss it, as here: there is none."""
    with Outbox(folder / "a") as outbox, pytest.raises(DamagedError):
        outbox._file.run("INSERT INTO missing VALUES (1)")
    assert (folder / "a-suspect").exists()
    counters, waiting, rescued = reopened(folder / "a")
    assert (waiting, rescued) == ([], whole[1])
    assert counters == {"damaged": 1, "rescued_messages": MESSAGES}
    assert sorted(file.name for file in folder.iterdir()) == ["a", f"a-rescued-{bytes(range(16)).hex()}", "a-set-aside"]


def test_the_newest_of_several_damaged_files_is_kept(folder):
    Outbox(folder / "a").close()
    for count in range(3):
        spoil(folder / "a", 0, b"\xff" * 100)
        counters, *_ = reopened(folder / "a")
        assert counters["damaged"] == 1
        assert len(list(folder.glob("a-set-aside"))) == 1, count


def test_an_outbox_in_use_is_not_set_aside(folder):
    with Outbox(folder / "a"), pytest.raises(TryAgainError, match="in use by another process"):
        open_outboxes(folder / "a")
    assert not list(folder.glob("*-set-aside"))


def test_a_folder_that_is_missing_is_told_in_one_line(tmp_path):
    with pytest.raises(UbiError, match="check the folder"):
        open_outboxes(tmp_path / "missing" / "a")


def damaged_at_random(folder: Path, draw: random.Random) -> None:
    """Flip bits, write nothing or noise over a piece, cut the end off; in the file or in its log."""
    file = folder / draw.choice(["a", "a", "a-wal"])
    size = file.stat().st_size
    for _ in range(draw.randrange(1, 5)):
        offset, length = draw.randrange(size), draw.choice([1, 1, 16, 512, PAGE])
        offset -= offset % length
        match draw.choice(["flip", "zero", "noise", "cut"]):
            case "flip":
                spoil(file, offset, bytes([file.read_bytes()[offset : offset + 1][0] ^ 1 << draw.randrange(8)]))
            case "zero":
                spoil(file, offset, bytes(length))
            case "noise":
                spoil(file, offset, draw.randbytes(length))
            case "cut":
                os.truncate(file, max(offset, 1))
                size = max(offset, 1)


def survive(whole: tuple[Path, list[bytes]], folder: Path, seed: int) -> str:
    """Damage a copy and open it: never an exception, never a message that was not queued; what became of it."""
    shutil.copytree(whole[0], folder)
    damaged_at_random(folder, random.Random(seed))
    counters, waiting, rescued = reopened(folder / "a")
    known = {message.header.seq: payload for payload, message in zip(whole[1], decoded(whole[1]), strict=True)}
    assert set(rescued) <= set(known.values()), f"seed {seed}"
    if "damaged" in counters:
        assert waiting == []
        assert "damaged_uncounted" in counters or counters["damaged"] == 1, f"seed {seed}"
        return "rescued" if rescued else "set aside"
    with Outbox(folder / "a") as outbox:
        sent = [outbox.payload(seq) for seq in range(1, outbox.next_seq - 2)]
    assert {payload for payload in sent if payload} <= set(known.values()), f"seed {seed}"
    return "whole" if all(sent) else "bytes lost"


def test_no_damage_at_random_stops_the_agent_or_sends_what_was_not_queued(whole, tmp_path):
    outcomes = [survive(whole, tmp_path / str(seed), seed) for seed in range(60)]
    assert len(set(outcomes)) >= 3


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_no_damage_at_random_in_5000_trials(whole, tmp_path):
    for seed in range(1_000, 6_000):
        survive(whole, tmp_path / "car", seed)
        shutil.rmtree(tmp_path / "car")


def test_a_message_of_another_stream_or_seq_is_not_rescued(tmp_path):
    with Outbox(tmp_path / "a") as outbox:
        queue(outbox, event(), event(), event())
        with Outbox(tmp_path / "b") as other:
            foreign = chain(other, [event()])[0].payload
        row = outbox._file.rows("SELECT crc, payload FROM message WHERE seq = 1")[0]
        outbox._file.run("UPDATE message SET crc = ?, payload = ? WHERE seq = 2", row)
        outbox._file.run("UPDATE message SET crc = ?, payload = ? WHERE seq = 1", (crc(foreign), foreign))
    suspect_mark(tmp_path / "a").touch()
    counters, _, rescued = reopened(tmp_path / "a")
    assert [message.header.seq for message in decoded(rescued)] == [3]
    assert counters["damaged_messages"] == 2


def test_a_disk_that_damages_the_new_file_too_is_no_endless_loop(folder, monkeypatch):
    spoil(folder / "a", 0, b"\xff" * 100)
    (folder / "a-wal").unlink()
    with monkeypatch.context() as broken:
        broken.setattr(outbox_damage, "Outbox", lambda path, **_: (_ for _ in ()).throw(DamagedError(f"{path}: again")))
        with pytest.raises(DiskError, match="replace the card"):
            open_outboxes(folder / "a")
    counters, waiting, _ = reopened(folder / "a")
    assert (waiting, counters["damaged"]) == ([], 1)
