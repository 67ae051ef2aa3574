"""Kill -9 at every statement, at any instruction inside one, and at random instants of a process."""

from __future__ import annotations

import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from device.contract import bodies, wire
from device.outbox import Outbox
from device.outbox_damage import open_outboxes
from tests.conftest import REPOSITORY
from tests.device.outbox_victim import LIMITS
from tests.device.queued import chain, decoded, motion, tombstones, verify_parts
from tests.device.test_outbox_file import write_version_1

STATEMENTS = 600  # of a victim's life, more than it has
INSTRUCTIONS = 12_000
NUMBERS = range(1, 75, 3)  # statements and renames of a migration or a rescue


def victims(kind: str, folder: Path, numbers: Iterable[int]) -> dict[int, bool]:
    """Run a life for each number; whether it was killed."""
    command = [sys.executable, "-m", "tests.device.outbox_victim", kind, str(folder), *map(str, numbers)]
    told = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True).stdout
    return {int(number): how == "killed" for number, how in map(str.split, told.splitlines())}


def check_survivor(folder: Path, *, unreadable: bool = False) -> None:
    """What the victim was told is on the disk; what it was not told is there as a whole or not at all.

    A disk that was `unreadable` is damage: the stream may be a new one that tells of it.
    """
    told = (folder / "told").read_text().split() if (folder / "told").exists() else []
    outbox, *rescued = open_outboxes(folder / "outbox", LIMITS)
    for other in rescued:
        verify_parts(row.payload for row in other.unacked(1_000))
        other.close()
    with outbox:
        payloads = [row.payload for row in outbox.unacked(1_000)]
        verify_parts(payloads)
        if told and not (unreadable and outbox.counters.get("damaged")):
            assert (int(told[0]) <= outbox.next_seq, told[1]) == (True, outbox.stream_id.hex())
        if outbox.state:
            assert json.loads(outbox.state) == {"next_seq": outbox.next_seq, "head": outbox.head.hex()}
        assert outbox.waiting() == len(payloads) == outbox.next_seq - 1 - outbox.stored - outbox.rejected
        counters = outbox.counters
        given_up = counters.get("sacrificed_motion", 0) + counters.get("sacrificed_track", 0)
        assert given_up == tombstones(payloads)  # none of them is ever released there
        assert all(outbox.payload(message.header.seq) for message in decoded(payloads))


@pytest.mark.parametrize("kind", ["statement", "instruction"])
def test_a_kill_at_any_point_of_a_life_leaves_one_commit_whole(tmp_path, kind):
    last = STATEMENTS if kind == "statement" else INSTRUCTIONS
    numbers = [*random.Random(1).sample(range(1, last // 2), 16), last]
    killed = victims(kind, tmp_path, numbers)
    assert not killed[last]
    assert sum(killed.values()) >= 12
    for number in numbers:
        check_survivor(tmp_path / str(number))


def test_a_kill_at_any_point_of_a_migration_or_a_rescue_loses_nothing_and_counts_once(tmp_path):
    payloads = write_version_1(tmp_path / "version 1")
    damaged = write_damaged(tmp_path / "damaged")
    for number in NUMBERS:
        source = tmp_path / ("version 1" if number % 2 else "damaged")
        (tmp_path / str(number)).mkdir()
        shutil.copy(source, tmp_path / str(number) / "outbox")
    victims("statement", tmp_path, NUMBERS)
    for number in NUMBERS:
        outboxes = open_outboxes(tmp_path / str(number) / "outbox", LIMITS)
        if number % 2:
            assert [row.payload for row in outboxes[0].unacked(len(payloads))] == payloads
            assert len(outboxes) == 1
        else:
            new, rescued = outboxes
            assert new.counters["damaged"] == 1
            assert rescued.waiting() + new.counters.get("damaged_messages", 0) == len(damaged)
            assert {row.payload for row in rescued.unacked(100)} < set(damaged)
        for outbox in outboxes:
            outbox.close()


def write_damaged(path: Path) -> list[bytes]:
    """An outbox with a hole of nothing in the middle of its file; the messages it had."""
    with Outbox(path) as outbox:
        made = chain(outbox, [motion(300, seed) for seed in range(20)])
        outbox.commit(1, made, b"")
    with sqlite3.connect(path) as database:
        (page,) = database.execute("SELECT max(pageno) FROM dbstat WHERE name = 'message'").fetchone()
    database.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4_096)
        file.write(b"\x5a" * 4_096)
    return [message.payload for message in made]


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_kill_at_every_statement_and_at_2000_instructions(tmp_path):
    draw = random.Random(2)
    for kind, numbers in [
        ("statement", range(1, STATEMENTS)),
        ("instruction", draw.sample(range(1, INSTRUCTIONS), 2_000)),
    ]:
        (tmp_path / kind).mkdir()
        victims(kind, tmp_path / kind, numbers)
        for number in numbers:
            check_survivor(tmp_path / kind / str(number))


WRITER = """
import json, sys
from pathlib import Path
from device.contract import bodies
from device.outbox import Outbox
from tests.device.queued import chain, health

outbox = Outbox(Path(sys.argv[1]))
while True:
    made = chain(outbox, [health(seq=n) for n in range(1 + outbox.next_seq % 3)])
    after = outbox.next_seq + len(made)
    state = json.dumps({"next_seq": after, "head": made[-1].hash.hex()}).encode()
    outbox.commit(outbox.next_seq, made, state)
    if after % 7 == 0:
        outbox.release(outbox.stream_id, rejected=[(after - 1, after - 1)])
        outbox.commit(after, [], state)
    print(after, flush=True)
"""


def kill_a_writer(path: Path, after_lines: int) -> int:
    """Start a writer, kill it with -9 right after so many commits; return the last `next_seq` it told us."""
    command = [sys.executable, "-c", WRITER, str(path)]
    told = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        assert process.stdout is not None
        for count, line in enumerate(process.stdout, 1):
            told = int(line)
            if count >= after_lines:
                break
        process.send_signal(signal.SIGKILL)
        rest = [int(line) for line in process.stdout.read().split("\n")[:-1] if line.isdigit()]
    assert process.returncode == -signal.SIGKILL
    return max([told, *rest])


def test_kill_9_at_random_instants_leaves_messages_head_and_state_of_one_commit(tmp_path):
    seed = random.randrange(2**32)
    draw = random.Random(seed)
    path, told = tmp_path / "a", 0
    for _ in range(12):
        told = max(told, kill_a_writer(path, draw.randrange(1, 60)))
        with Outbox(path) as outbox:
            state = json.loads(outbox.state)
            assert outbox.next_seq == state["next_seq"] >= told, f"seed {seed}"
            assert outbox.head.hex() == state["head"], f"seed {seed}"
            messages = decoded(row.payload for row in outbox.unacked(1_000_000))
            verify_parts(row.payload for row in outbox.unacked(1_000_000))
            assert all(isinstance(message, wire.Message) for message in messages)
            assert all(isinstance(message.body, bodies.Health) for message in messages)
            missing = set(range(1, outbox.next_seq)) - {message.header.seq for message in messages}
            assert len(missing) == outbox.rejected, f"seed {seed}"
