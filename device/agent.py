"""The agent: readings of one source to messages in the outbox.

    reading -> Pipeline -> body -> Chain (fixed bytes) -> Outbox, in one transaction with the state after it

Syncs to the disk: one at a trip's start and end, one at each event, and one for every `commit_ms` of driving without
any (360 in an hour at the default 10 s); none while parked. A kill loses at most the readings since the last of them;
a replay plays those again and makes the same bytes.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, fields
from typing import Any, Final

from device.chain import Chain
from device.clock import Clock
from device.contract import bodies, wire
from device.contract import wire_pb2 as pb
from device.contract.motion import COLUMNS, PERIOD_MS, MotionSample
from device.contract.signals import Reading
from device.events import DetectedEvent
from device.outbox import Outbox
from device.pipeline import END_OF_RECORDING, END_REBOOT, Output, Pipeline, TripEnded, TripStarted

log = logging.getLogger(__name__)

STATE_VERSION: Final = 1
MAX_BATCH_ROWS: Final = 500
M_PER_KM: Final = 1_000
ODOMETERS: Final = {"odometer_km": "odometer_m", "distance_since_clear_km": "distance_since_clear_m"}


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What an agent writes into its messages, and how often it writes.

    `motion` false keeps motion in the car; events and summaries are the same. `batch_ms`: a motion batch is closed
    after this much driving, or `MAX_BATCH_ROWS`. `commit_ms`: see the module.
    """

    device_id: str
    motion: bool = False
    batch_ms: int = 60_000
    commit_ms: int = 10_000
    sensor_grade: int = pb.GRADE_OBD_SPEED
    vehicle: str = ""
    adapter: str = ""
    recording: str = ""
    recorded_file: str = ""


@dataclass(slots=True)
class Memory:
    """What the agent itself remembers over a restart; all of it JSON."""

    trip_seq: int = 0  # seq of the running trip's trip_start
    batch: list[MotionSample] = field(default_factory=list)  # motion not yet queued
    readings: int = 0
    finished: bool = False
    late_readings: int = 0  # of the pipeline's, already counted
    counters: dict[str, int] = field(default_factory=dict)  # since the last health message
    odometers: dict[str, int] = field(default_factory=dict)  # last values since the last trip's end
    totals: dict[str, int] = field(default_factory=lambda: {"trips": 0, "events": 0, "distance_mm": 0})

    def to_state(self) -> dict[str, Any]:
        """JSON form, to be written before the memory changes again."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Memory:
        """Memory of its JSON form."""
        return cls(**state | {"batch": [MotionSample(*row) for row in state["batch"]]})


class Agent:
    """Turns the readings of one source, in time order, into messages; goes on where the outbox's state was taken.

    Parameters
    ----------
    settings : AgentSettings
    outbox : Outbox
    sign : callable
        Signs a message hash.
    clock : Clock
        Its monotonic time is that of the readings.
    now_ms : int
        Monotonic time at the start.

    Attributes
    ----------
    adapter : str
        What the next trip says of its adapter.
    """

    def __init__(
        self, settings: AgentSettings, outbox: Outbox, sign: bodies.Sign, clock: Clock, now_ms: int = 0
    ) -> None:
        self.adapter = settings.adapter
        self._settings = settings
        self._outbox = outbox
        self._clock = clock
        self._now_ms = self._committed_ms = now_ms
        self._messages: list[wire.Encoded] = []
        saved = _load_state(outbox)
        rebooted = saved is not None and saved["boot_id"] != clock.boot_id.hex()
        self._pipeline = Pipeline.from_state(saved["pipeline"], self._wall_time) if saved else Pipeline(self._wall_time)
        self._memory = Memory.from_state(saved["memory"]) if saved else Memory()
        self._chain = Chain(
            device_id=settings.device_id,
            stream_id=outbox.stream_id,
            boot_id=clock.boot_id,
            next_seq=outbox.next_seq,
            head=outbox.head,
            sign=sign,
            signed_ms=saved["signed_ms"] if saved and not rebooted else now_ms,
        )
        if rebooted:
            self._take(self._pipeline.finish(END_REBOOT))
            self._pipeline = Pipeline(self._wall_time)
            self._memory.late_readings = 0

    @property
    def readings(self) -> int:
        """How many readings were taken, over all restarts: where in its recording a replay goes on."""
        return self._memory.readings

    @property
    def totals(self) -> dict[str, int]:
        """What the stream holds: `trips`, `events` and `distance_mm` of the trips that ended."""
        return dict(self._memory.totals)

    @property
    def finished(self) -> bool:
        """Whether the recording was played to its end."""
        return self._memory.finished

    def push(self, reading: Reading) -> None:
        """Take the next reading."""
        self._memory.readings += 1
        self.count("readings")
        self._now_ms = max(self._now_ms, reading.t_ms)
        if reading.value is None:
            self.count("null_readings")
        elif reading.signal in ODOMETERS:
            self._memory.odometers[ODOMETERS[reading.signal]] = round(reading.value * M_PER_KM)
        self._take(self._pipeline.push(reading))

    def advance(self, now_ms: int) -> None:
        """Time has passed without a reading."""
        self._now_ms = max(self._now_ms, now_ms)
        self._take(self._pipeline.advance(now_ms))

    def count(self, counter: str, amount: int = 1) -> None:
        """Add to a counter of the next health message."""
        counters = self._memory.counters
        counters[counter] = counters.get(counter, 0) + amount

    def finish(self) -> None:
        """The recording has ended: close the running trip and remember that nothing more comes."""
        self._take(self._pipeline.finish(END_OF_RECORDING))
        self._memory.finished = True
        self.commit()

    def commit(self) -> None:
        """Store what was made so far, and the state after it, in one transaction."""
        state = {
            "version": STATE_VERSION,
            "boot_id": self._clock.boot_id.hex(),
            "signed_ms": self._chain.signed_ms,
            "pipeline": self._pipeline.to_state(),
            "memory": self._memory.to_state(),
        }
        first_seq = self._chain.next_seq - len(self._messages)
        self._outbox.commit(first_seq, self._messages, json.dumps(state, separators=(",", ":")).encode())
        self._messages = []
        self._committed_ms = self._now_ms

    def _take(self, outputs: list[Output]) -> None:
        at_once = False
        for output in outputs:
            if isinstance(output, MotionSample):
                self._sample(output)
                continue
            at_once = True
            if isinstance(output, TripStarted):
                self._trip_started(output)
            elif isinstance(output, DetectedEvent):
                self._event(output)
            elif isinstance(output, TripEnded):
                self._trip_ended(output)
        driving = self._pipeline.in_trip
        if driving and self._chain.is_checkpoint_due(self._now_ms):
            self._queue_health()
        if at_once or (driving and self._now_ms - self._committed_ms >= self._settings.commit_ms):
            self.commit()

    def _trip_started(self, trip: TripStarted) -> None:
        self._memory.trip_seq = self._chain.next_seq
        settings = self._settings
        self._queue(
            bodies.TripStart(
                period_ms=PERIOD_MS,
                started_at_ms=trip.started_at_ms,
                utc_offset_min=trip.utc_offset_min,
                rules_version=self._pipeline.rules.version,
                sensor_grade=settings.sensor_grade,
                recording=settings.recording,
                vehicle=settings.vehicle,
                adapter=self.adapter[: bodies.MAX_TEXT],
                start_mono_ms=trip.start_mono_ms,
                recorded_file=settings.recorded_file,
                odometer_m=self._memory.odometers.get("odometer_m"),
                distance_since_clear_m=self._memory.odometers.get("distance_since_clear_m"),
            )
        )

    def _sample(self, sample: MotionSample) -> None:
        if not self._settings.motion:
            return
        batch = self._memory.batch
        if batch and sample.t_ms != batch[-1].t_ms + PERIOD_MS:
            self._queue_batch()
        batch.append(sample)
        if len(batch) >= MAX_BATCH_ROWS or len(batch) * PERIOD_MS >= self._settings.batch_ms:
            self._queue_batch()

    def _event(self, event: DetectedEvent) -> None:
        self._memory.totals["events"] += 1
        self._queue(
            bodies.Event(
                trip_seq=self._memory.trip_seq,
                rules_version=self._pipeline.rules.version,
                sensor_grade=self._settings.sensor_grade,
                **event._asdict(),
            )
        )

    def _trip_ended(self, trip: TripEnded) -> None:
        self._memory.totals["trips"] += 1
        self._memory.totals["distance_mm"] += trip.summary.distance_mm
        if self._memory.batch:
            self._queue_batch()
        self._queue_health()
        odometers = self._memory.odometers
        self._queue(
            bodies.TripEnd(
                self._memory.trip_seq,
                trip.reason,
                trip.summary,
                odometer_m=odometers.get("odometer_m"),
                distance_since_clear_m=odometers.get("distance_since_clear_m"),
            )
        )
        odometers.clear()  # a car may be driven without us: the next trip wants fresh readings

    def _queue_batch(self) -> None:
        batch = self._memory.batch
        columns = {name: [getattr(row, name) for row in batch] for name in COLUMNS}
        self._queue(bodies.Motion(self._memory.trip_seq, batch[0].t_ms, len(batch), columns))
        batch.clear()

    def _queue_health(self) -> None:
        memory, late_readings = self._memory, self._pipeline.late_readings
        if late_readings > memory.late_readings:
            self.count("late_readings", late_readings - memory.late_readings)
            memory.late_readings = late_readings
        self._queue(bodies.Health(dict(memory.counters)))
        memory.counters.clear()

    def _queue(self, body: bodies.Body) -> None:
        message = self._chain.add(
            body,
            mono_ms=self._now_ms,
            utc_ms=self._clock.utc_ms(self._now_ms),
            quality=self._clock.quality,
            next_within_ms=self._settings.batch_ms if self._settings.motion else 0,
        )
        self._messages.append(message)

    def _wall_time(self, mono_ms: int) -> tuple[int, int | None]:
        utc_ms = self._clock.utc_ms(mono_ms)
        return utc_ms, self._clock.utc_offset_min(utc_ms)


def _load_state(outbox: Outbox) -> dict[str, Any] | None:
    """State of an earlier run; None for a new outbox, or one that another release wrote."""
    state: dict[str, Any] = json.loads(outbox.state) if outbox.state else {}
    if state.get("version") == STATE_VERSION:
        return state
    if state:
        log.warning("%s: state of version %s is dropped; a trip it held has no end", outbox.path, state["version"])
    return None
