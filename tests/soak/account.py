"""The account of a soak run: every drive that was driven against what came of it at the insurer.

A drive is `whole` (one trip, its distance told), `gaps` (one trip; some of its time was not seen), `split` (several
trips), or `lost`. What is missing has to be told, within a trip as unobserved time; before its first and after its last
sample the agent tells in its counters that the adapter failed, no more. `untold` counts the drives of one trip that
miss more distance than a car can drive in that time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, NamedTuple

from device.contract import bodies, wire

WHOLE_SHARE: Final = 0.98
SPEED_OF_DOUBT_KMH: Final = 130.0  # what an unseen car may have driven at most


class Driven(NamedTuple):
    """A drive of the ground truth; times of the run's own clock."""

    name: str
    start_ms: int
    end_ms: int
    distance_m: float


@dataclass
class Came:
    """A trip as it came: when its first sample was, of the run's own clock, and what its end told."""

    start_ms: int
    end: bodies.TripEnd | None = None

    @property
    def distance_m(self) -> float:
        """Told distance."""
        return 0.0 if self.end is None else self.end.summary.distance_mm / 1_000

    @property
    def end_ms(self) -> int:
        """When its last sample was."""
        return self.start_ms + (0 if self.end is None else self.end.summary.duration_ms)

    @property
    def unseen_ms(self) -> int:
        """Told time within the trip in which nothing was seen."""
        return 0 if self.end is None else self.end.summary.unobserved_ms


class Settled(NamedTuple):
    """What came of a drive: how many trips, the distance driven and told, and the unseen time that was told."""

    name: str
    outcome: str
    trips: int
    driven_m: float
    told_m: float
    unseen_s: float


@dataclass
class Account:
    """What came of all; `counters` are those of the health messages."""

    drives: list[Settled] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    tombstones: int = 0
    holes: int = 0
    endless: int = 0  # trips without an end
    strangers: int = 0  # trips that no drive made
    untold: int = 0

    @property
    def outcomes(self) -> Counter[str]:
        """How many drives came to what."""
        return Counter(drive.outcome for drive in self.drives)

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)} | {"counters": dict(self.counters)}

    @property
    def faults(self) -> dict[str, int]:
        """What must be zero and is not."""
        found = {name: getattr(self, name) for name in ("holes", "endless", "strangers", "untold")}
        return {name: count for name, count in found.items() if count}


def decode(payloads: Mapping[int, bytes]) -> tuple[dict[int, wire.Message], int]:
    """Messages of one stream by seq, and how many seqs are missing."""
    messages = {}
    for seq, payload in payloads.items():
        message = wire.decode(payload)
        assert isinstance(message, wire.Message), message
        messages[seq] = message
    return messages, max(messages, default=0) - len(messages)


def settle(
    drives: Sequence[Driven],
    streams: Iterable[Mapping[int, bytes]],
    starts_ms: Mapping[tuple[int, int], int],
) -> Account:
    """Make the account.

    Parameters
    ----------
    drives : sequence of Driven
    streams : iterable of mapping of int to bytes
        Payloads that the insurer holds, by seq, one mapping a stream.
    starts_ms : mapping
        When the trip of (stream's number, seq of its trip_start) began, of the run's own clock.
    """
    account = Account()
    came: list[Came] = []
    for number, stream in enumerate(streams):
        messages, holes = decode(stream)
        account.holes += holes
        trips: dict[int, Came] = {}
        for seq, message in sorted(messages.items()):
            body = message.body
            if body is None:
                account.tombstones += 1
            elif isinstance(body, bodies.TripStart):
                trips[seq] = Came(starts_ms[number, seq])
            elif isinstance(body, bodies.TripEnd) and body.trip_seq in trips:
                trips[body.trip_seq].end = body
            elif isinstance(body, bodies.Health):
                account.counters.update(body.counters)
        came += trips.values()
    account.endless = sum(trip.end is None for trip in came)
    for drive in drives:
        of = [trip for trip in came if drive.start_ms - 60_000 <= trip.start_ms < drive.end_ms + 60_000]
        account.drives.append(_judged(drive, of))
        told_m = sum(trip.distance_m for trip in of)
        first_ms = min((trip.start_ms for trip in of), default=drive.end_ms)
        last_ms = max((trip.end_ms for trip in of), default=drive.start_ms)
        ends_ms = max(0, first_ms - drive.start_ms) + max(0, drive.end_ms - last_ms)
        unseen_ms = sum(trip.unseen_ms for trip in of) + ends_ms
        if (
            len(of) == 1
            and drive.distance_m - told_m > 0.02 * drive.distance_m + unseen_ms / 3_600 * SPEED_OF_DOUBT_KMH
        ):
            account.untold += 1
        came = [trip for trip in came if trip not in of]
    account.strangers = len(came)
    return account


def _judged(drive: Driven, of: list[Came]) -> Settled:
    told_m = sum(trip.distance_m for trip in of)
    outcome = "lost" if not of else "split" if len(of) > 1 else "gaps"
    if outcome == "gaps" and told_m >= WHOLE_SHARE * drive.distance_m:
        outcome = "whole"
    return Settled(drive.name, outcome, len(of), drive.distance_m, told_m, sum(t.unseen_ms for t in of) / 1_000)


def table(account: Account, struck: Mapping[str, tuple[int, str]]) -> str:
    """Fault x times x outcome, the drives, and what the agent itself counted."""
    lines = [f"{'fault':<18} {'times':>6}  drives it struck"]
    lines += [f"{fault:<18} {times:>6}  {outcome}" for fault, (times, outcome) in struck.items()]
    lines += ["", f"{'drive':<34} {'outcome':<8} {'trips':>5} {'driven km':>10} {'told km':>10} {'unseen s':>9}"]
    lines += [
        f"{name:<34} {outcome:<8} {trips:>5} {driven_m / 1_000:>10.2f} {told_m / 1_000:>10.2f} {unseen_s:>9.1f}"
        for name, outcome, trips, driven_m, told_m, unseen_s in account.drives
    ]
    driven_m, told_m = sum(d.driven_m for d in account.drives), sum(d.told_m for d in account.drives)
    lines.append(
        f"{len(account.drives)} drives: {dict(account.outcomes)}; {told_m / driven_m:.2%} of the distance told"
    )
    lines.append(f"holes {account.holes}, trips without an end {account.endless}, tombstones {account.tombstones}, ")
    lines[-1] += f"trips of no drive {account.strangers}, drives with untold losses {account.untold}"
    lines.append("counted by the agent: " + ", ".join(f"{k} {v}" for k, v in sorted(account.counters.items())))
    return "\n".join(lines)
