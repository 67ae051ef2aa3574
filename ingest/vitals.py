"""What a worker says of itself while it runs: counters, how much is held, how long commits take, whether it is well.

The worker's own thread writes, any thread reads. Nothing in here names a device or a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

STALLED_S: Final = 30.0  # a turn lasts 0.1 s, a commit on a slow disk some seconds
DISCONNECTED_S: Final = 60.0  # twice the longest wait between two attempts
OVERDUE_S: Final = 30.0  # a message that is held so long was due 29 s ago


# What each counter of a worker means; docs/operations.md says what to do about it.
COUNTERS: Final = {
    "received": "payloads that reached the worker",
    "stored": "messages written to segments",
    "duplicates": "messages that had come before; acknowledged again",
    "rejected": "payloads that could not be taken, by reason",
    "segments": "files written",
    "acks": "application acks handed to the connection",
    "acks_dropped": "acks that found the queue to the broker full",
    "acks_refused": "acks that the broker answered with an error",
    "connects": "connections to the broker",
    "registry_errors": "times a changed registry could not be used; the one before stays in force",
}
REJECTED: Final = "rejected_"  # prefix of a counter by reason


@dataclass
class Vitals:
    """State of one worker.

    Attributes
    ----------
    sources : list of mapping
        Counters of the worker and its parts, read when asked.
    started_s, turned_s : float
        Monotonic time of the start and of the last turn of the worker's loop.
    connected_s : float
        When the broker could last be heard.
    connected : bool
    held, held_s : int, float
        Messages that are not on disk yet, and for how long the first of them has been held, at the last turn.
    commits, commit_s : int, float
        Segments committed, and how long that took in all.
    clock_disagreement : float
        Share of the devices heard last whose clock disagrees with this computer's.
    """

    sources: list[Mapping[str, int]]
    started_s: float
    turned_s: float = 0.0
    connected_s: float = 0.0
    connected: bool = True
    held: int = 0
    held_s: float = 0.0
    commits: int = 0
    commit_s: float = 0.0
    clock_disagreement: float = 0.0

    def __post_init__(self) -> None:
        self.turned_s = self.connected_s = self.started_s

    def turn(self, now_s: float, *, connected: bool, held: int, held_s: float) -> None:
        """Note the end of a turn of the worker's loop."""
        self.turned_s, self.connected, self.held, self.held_s = now_s, connected, held, held_s
        if connected:
            self.connected_s = now_s

    @contextmanager
    def commit(self, clock_s: Callable[[], float]) -> Iterator[None]:
        """Time what happens inside: a segment is judged, written, synced and acknowledged."""
        began_s = clock_s()
        yield
        self.commits += 1
        self.commit_s += clock_s() - began_s

    def trouble(self, now_s: float) -> list[str]:
        """What is not well, in words; empty when all is."""
        idle_s, away_s = now_s - self.turned_s, now_s - self.connected_s
        checks = (
            (idle_s > STALLED_S, f"the worker has not turned for {idle_s:.0f} s: is its disk stuck?"),
            (away_s > DISCONNECTED_S, f"no broker for {away_s:.0f} s"),
            (self.held_s > OVERDUE_S, f"a message has not been written for {self.held_s:.0f} s"),
        )
        return [told for failed, told in checks if failed]

    def counters(self) -> dict[str, int]:
        """All counters; those that never counted are 0."""
        found = dict.fromkeys(COUNTERS, 0)
        for source in self.sources:
            found.update(source.copy() if isinstance(source, dict) else source)  # one step, while others count
        return found

    def health(self, now_s: float) -> dict[str, Any]:
        """State in words, JSON."""
        trouble = self.trouble(now_s)
        return {
            "status": "trouble" if trouble else "ok",
            "trouble": trouble,
            "connected": self.connected,
            "held_messages": self.held,
            "clock_disagreement": round(self.clock_disagreement, 2),
            "uptime_s": round(now_s - self.started_s, 1),
        }
