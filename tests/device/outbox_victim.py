"""An outbox's life in a process that kills itself, as a power cut would, at its Nth statement, instruction or rename.

    python -m tests.device.outbox_victim statement|instruction FOLDER N...
    python -m tests.device.outbox_victim patient FOLDER

One child for each N, in FOLDER/N, where a file `outbox` may wait already: an older release's, or a damaged one. What a
child was told is on the disk stands in FOLDER/N/told. Prints for each N whether the child was killed: when N is beyond
the end of the life, it was not. The patient one lives once, in FOLDER, and asks a disk that refuses again, three times.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from device.contract import bodies
from device.contract.errors import DiskError, UbiError
from device.outbox import Outbox
from device.outbox_damage import open_outboxes
from device.outbox_room import Limits
from tests.device.queued import chain, event, health, impact, motion, track

LIMITS = Limits(max_bytes=64 * 2**10, keep_free_bytes=0)
STEPS = 12
ATTEMPTS = 3

T = TypeVar("T")


def live(folder: Path) -> None:
    """Commit, give up, release, shrink, close and open again."""
    told = folder / "told"
    for _ in range(2):
        outboxes = attempt(partial(open_outboxes, folder / "outbox", LIMITS))
        outbox = outboxes[0]
        for step in range(STEPS):
            every: list[bodies.Body] = [
                event(step),
                motion(300, step),
                track(60 + step),
                health(step=step),
                impact(step),
            ]
            messages = chain(outbox, every[step % 3 :], signed=step == 5)
            after = outbox.next_seq + len(messages)
            state = json.dumps({"next_seq": after, "head": messages[-1].hash.hex()}).encode()
            attempt(partial(outbox.commit, outbox.next_seq, messages, state))
            told.write_text(f"{after} {outbox.stream_id.hex()}")
            if step % 4 == 3:
                attempt(partial(release_health, outbox))
        for opened in outboxes:
            opened.close()


def attempt(do: Callable[[], T]) -> T:
    """A disk may refuse for a moment; the last refusal counts."""
    for _ in range(ATTEMPTS - 1):
        with suppress(DiskError):
            return do()
    return do()


def told_of(folder: Path) -> int:
    """The `next_seq` that the last life in a folder was told is on the disk, 0 for none."""
    file = folder / "told"
    return int(file.read_text().split()[0]) if file.exists() else 0


def release_health(outbox: Outbox) -> None:
    """The insurer takes the last message if it is a health message, and refuses the same of the step before."""
    outbox.release(outbox.stream_id, [(outbox.next_seq - 2, outbox.next_seq - 2)], [(1, 1)])


def main() -> int:
    if sys.argv[1] == "patient":
        try:
            live(Path(sys.argv[2]))
        except UbiError as error:
            sys.stderr.write(f"{error}\n")
            return error.exit_code
        return 0
    kind, folder, numbers = sys.argv[1], Path(sys.argv[2]), [int(word) for word in sys.argv[3:]]
    for number in numbers:
        (folder / str(number)).mkdir(exist_ok=True)
        child = os.fork()
        if not child:
            arm(kind, number)
            live(folder / str(number))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not killed and status:
            return 1
        sys.stdout.write(f"{number} {'killed' if killed else 'lived'}\n")
        sys.stdout.flush()
    return 0


def arm(kind: str, number: int) -> None:
    """Die at the Nth step of any connection, and at what is done to files between."""
    left = number

    def step(*_: object) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def before(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            step()
            return function(*arguments, **options)

        return wrapped

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        database: sqlite3.Connection = real_connect(*arguments, **options)
        if kind == "statement":
            database.set_trace_callback(step)
        else:
            database.set_progress_handler(step, 1)
        return database

    real_connect = sqlite3.connect
    sqlite3.connect = connect  # type: ignore[assignment]
    for name in ("replace", "unlink", "touch"):
        setattr(Path, name, before(getattr(Path, name)))


if __name__ == "__main__":
    sys.exit(main())
