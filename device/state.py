"""What an agent remembers over a restart: JSON in the outbox, in one transaction with the messages it belongs to.

    version 1   the first release: one boot, no GNSS time
    version 2   the moment of the commit for a reboot in mid-trip; clock, the car's last word, what was last read of it

A state of version 1 is migrated. One of a later version, or with event rules of a later release, is from a release that
was taken back: it is dropped.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Final

from device.clock import CarClock
from device.contract.errors import ContractError
from device.contract.motion import GRADE_OBD_SPEED, PERIOD_MS, MotionSample
from device.contract.rules import load_rules
from device.driven import Driven
from device.kept_motion import packed, unpacked
from device.outbox import Outbox
from device.places import Places
from device.resume import Moment

log = logging.getLogger(__name__)

STATE_VERSION: Final = 2

State = dict[str, Any]


@dataclass(slots=True)
class Memory:
    """What the agent itself remembers; all of it JSON."""

    trip_seq: int = 0  # seq of the running trip's trip_start
    start_ms: int = 0  # of the running trip on the time axis
    last_ms: int = 0  # of its last sample, since its start
    period_ms: int = PERIOD_MS
    sensor_grade: int = 0
    adapter: str = ""  # as its trip_start told it; so is `vin_hash`, in hex
    vin_hash: str = ""
    batch: list[MotionSample] = field(default_factory=list)  # motion not yet queued
    track: list[tuple[int, int | None, int | None]] = field(default_factory=list)  # points not yet queued
    readings: int = 0
    finished: bool = False
    late_readings: int = 0  # of the pipeline's, already counted
    counters: dict[str, int] = field(default_factory=dict)  # since the last health message
    told: dict[str, int] = field(default_factory=dict)  # totals of the outbox that are in them already
    seen: dict[str, int] = field(default_factory=dict)  # last values off the grid since the last trip's end
    zone: str = ""  # IANA zone that GNSS last found the car in; empty = never
    run_time_s: int | None = None  # of the engine, as read at `run_time_ms` on the time axis
    run_time_ms: int = 0
    totals: dict[str, int] = field(default_factory=lambda: {"trips": 0, "events": 0, "distance_mm": 0})

    def to_state(self) -> State:
        """JSON form, to be written before the memory changes again."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)} | {"batch": packed(self.batch)}

    @classmethod
    def from_state(cls, state: State) -> Memory:
        """Memory of its JSON form; what a later release dropped is left out."""
        known = {entry.name: state[entry.name] for entry in fields(cls) if entry.name in state}
        known |= {"batch": unpacked(state["batch"])}
        return cls(**known | {"track": [tuple(row) for row in state.get("track", ())]})


@dataclass(slots=True)
class Boot:
    """What holds for one boot of the computer, and the moment that the next one may have to go on from.

    `offset_ms` is added to the boot's monotonic time to get the time axis, which never goes back as long as the
    outbox lives.
    """

    boot_id: str
    signed_ms: int
    offset_ms: int = 0
    moment: Moment = field(default_factory=lambda: Moment(0))
    clock: list[Any] | None = None
    driven: list[Any] | None = None
    places: list[Any] | None = None

    def to_state(self) -> State:
        """JSON form."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)} | {"moment": self.moment.to_state()}

    @classmethod
    def from_state(cls, state: State) -> Boot:
        """Boot of its JSON form."""
        return cls(**state | {"moment": Moment(**state["moment"])})

    def restore(self, clock: CarClock, driven: Driven, places: Places) -> None:
        """Give clock, last word and places what they knew."""
        if self.clock is not None:
            clock.restore(self.clock)
        if self.driven is not None:
            driven.restore(self.driven)
        if self.places is not None:
            places.restore(self.places)


@dataclass(slots=True)
class Saved:
    """All of it."""

    boot: Boot
    memory: Memory
    pipeline: State
    downlink: State

    def dump(self) -> bytes:
        """Bytes to be stored with the messages."""
        state = {
            "version": STATE_VERSION,
            "boot": self.boot.to_state(),
            "memory": self.memory.to_state(),
            "pipeline": self.pipeline,
            "downlink": self.downlink,
        }
        return json.dumps(state, separators=(",", ":")).encode()


def load_state(outbox: Outbox) -> Saved | None:
    """State of an earlier run; None for a new outbox, or one that a later release wrote."""
    state: State = json.loads(outbox.state) if outbox.state else {}
    while state.get("version") in MIGRATIONS:
        state = MIGRATIONS[state["version"]](state)
    if not state:
        return None
    if state["version"] != STATE_VERSION:
        later = f"state of version {state['version']}"
    elif not _knows_rules(rules_version := state["pipeline"]["rules_version"]):
        later = f"state of event rules version {rules_version}"
    else:
        boot, memory = Boot.from_state(state["boot"]), Memory.from_state(state["memory"])
        return Saved(boot, memory, state["pipeline"], state["downlink"])
    log.warning("%s: %s is dropped; a trip it held has no end", outbox.path, later)
    return None


def _knows_rules(version: int) -> bool:
    try:
        load_rules(version)
    except ContractError:
        return False
    return True


def _from_version_1(state: State) -> State:
    memory = dict(state["memory"])
    memory |= {"seen": memory.pop("odometers"), "sensor_grade": GRADE_OBD_SPEED}
    memory["start_ms"] = state["pipeline"]["tracker"][0] or 0
    boot = Boot(state["boot_id"], state["signed_ms"], moment=Moment(state["pipeline"]["motion"]["last"]))
    return {"version": 2, "boot": boot.to_state(), "memory": memory, "pipeline": state["pipeline"], "downlink": {}}


MIGRATIONS: Final[dict[int, Callable[[State], State]]] = {1: _from_version_1}
