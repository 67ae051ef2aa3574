"""The agent: readings to messages in the outbox.

    reading -> Driven -> Pipeline -> Messages, Chain (fixed bytes) -> Outbox, in one transaction with the state after it

Syncs to the disk: one at a trip's start and end, one at each event, and one for every `commit_ms` of driving without
any (360 in an hour at the default 10 s); none while parked. A kill loses at most the readings since the last of them;
a replay plays those again and makes the same bytes.

Time: readings come in monotonic time of this boot. The pipeline sees them on an axis that goes on over restarts of the
computer, so that a trip is one trip (`device.resume`). UTC is only told.
"""

from __future__ import annotations

import logging
from typing import Final

from device.chain import Chain
from device.clock import CarClock, Clock
from device.contract import bodies
from device.contract.errors import TryAgainError
from device.contract.signals import Reading
from device.driven import Driven
from device.messages import AgentSettings, Messages, Stamp
from device.outbox import Outbox
from device.pipeline import END_OF_RECORDING, END_REBOOT, Output, Pipeline, TripStarted
from device.resume import Moment, axis_by_run_time, axis_by_utc
from device.state import Boot, Memory, dump_state, load_state
from device.trips import TRIP_GAP_MS

log = logging.getLogger(__name__)

__all__ = ["Agent", "AgentSettings"]

# Readings off the grid that trip_start and trip_end tell: signal -> (field, steps of the field in the signal's unit).
SEEN: Final = {
    "odometer_km": ("odometer_m", 1_000),
    "distance_since_clear_km": ("distance_since_clear_m", 1_000),
    "dtc_count": ("dtc_count", 1),
}


class Agent:
    """Turns readings, in time order, into messages; goes on where the outbox's state was taken.

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
    messages : Messages
        Its `adapter` and `vin_hash` are what the next trip tells of them.
    """

    def __init__(
        self, settings: AgentSettings, outbox: Outbox, sign: bodies.Sign, clock: Clock, now_ms: int = 0
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._clock = clock
        self._utc = CarClock(clock)
        self._driven = Driven()
        self._now_ms = self._committed_ms = self._started_ms = now_ms
        saved = load_state(outbox)
        boot_id = clock.boot_id.hex()
        self._boot, self._memory, state = saved or (Boot(boot_id, now_ms), Memory(), None)
        self._pipeline = Pipeline.from_state(state, self._wall_time) if state else Pipeline(self._wall_time)
        self._held: list[Reading] | None = None  # readings that wait until it is known where this boot lies
        if self._boot.boot_id == boot_id:
            self._boot.restore(self._utc, self._driven)
        else:
            self._before, self._boot = self._boot.moment, Boot(boot_id, now_ms)
            self._held = []
        self._chain = Chain(
            device_id=settings.device_id,
            stream_id=outbox.stream_id,
            boot_id=clock.boot_id,
            next_seq=outbox.next_seq,
            head=outbox.head,
            sign=sign,
            signed_ms=self._boot.signed_ms,
        )
        self.messages = Messages(settings, self._chain, self._memory, self._stamp)
        if self._held is not None:
            self._find_axis()

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

    @property
    def in_trip(self) -> bool:
        """Whether a trip is running."""
        return self._pipeline.in_trip

    def push(self, reading: Reading) -> None:
        """Take the next reading."""
        self._now_ms = max(self._now_ms, reading.t_ms)
        if reading.signal == "gnss_utc_s":
            self._utc.hear(reading)
        if self._held is None:
            self._push(reading)
        else:
            self._held.append(reading)
            self._find_axis(reading)

    def advance(self, now_ms: int) -> None:
        """Time has passed without a reading."""
        self._now_ms = max(self._now_ms, now_ms)
        if self._held is not None:
            self._find_axis()
        if self._held is None:
            if outputs := self._pipeline.advance(now_ms + self._boot.offset_ms):
                self._take(outputs)
            self._commit_in_time()

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
        """Store what was made so far, and the state after it, in one transaction.

        While it is open where this boot lies nothing is stored: the next start finds the last boot as it was. What a
        disk refuses now is kept in memory and stored with the next commit.
        """
        if self._held is not None:
            return
        boot, memory = self._boot, self._memory
        boot.signed_ms = self._chain.signed_ms
        boot.clock, boot.driven = self._utc.to_state(), self._driven.to_state()
        known = self._utc.is_known(self._now_ms)
        boot.moment = Moment(
            mono_ms=self._now_ms + boot.offset_ms,
            utc_ms=self._utc.utc_ms(self._now_ms) if known else None,
            run_time_s=memory.run_time_s,
            run_time_ms=memory.run_time_ms,
        )
        queued = self.messages.queued
        state = dump_state(boot, memory, self._pipeline.to_state())
        self._committed_ms = self._now_ms
        try:
            self._outbox.commit(self._chain.next_seq - len(queued), queued, state)
        except TryAgainError as error:
            log.warning("%s; %d messages wait in memory", error, len(queued))
            self.count("commits_refused")
        else:
            queued.clear()

    def _push(self, reading: Reading) -> None:
        memory = self._memory
        memory.readings += 1
        self.count("readings")
        if reading.value is None:
            self.count("null_readings")
        elif reading.signal in SEEN:
            field, steps = SEEN[reading.signal]
            memory.seen[field] = round(reading.value * steps)
        moved = reading._replace(t_ms=reading.t_ms + self._boot.offset_ms) if self._boot.offset_ms else reading
        if reading.signal == "run_time_s" and reading.value is not None:
            memory.run_time_s, memory.run_time_ms = round(reading.value), moved.t_ms
        if not self._driven.admits(reading):
            self.count("not_driven")
        elif outputs := self._pipeline.push(moved):
            self._take(outputs)
        self._commit_in_time()

    def _find_axis(self, reading: Reading | None = None) -> None:
        """Go on with the last boot's trip if it is known that it was a short while ago, else end it.

        With a trip running both UTC and run time may tell, and readings wait for either for up to `patience_ms`.
        Without one they wait for the clock, because a trip is started with the UTC that is known by then.
        """
        before, held, now_ms = self._before, self._held or [], self._now_ms
        known, in_trip = self._utc.is_known(now_ms), self._pipeline.in_trip
        offset_ms = axis_by_utc(before, now_ms, self._utc.utc_ms(now_ms)) if known else None
        if offset_ms is None and reading is not None and reading.signal == "run_time_s":
            offset_ms = axis_by_run_time(before, reading)
        is_decided = offset_ms is not None if in_trip else known
        if not is_decided and now_ms - self._started_ms < self._settings.patience_ms:
            return
        first_ms = held[0].t_ms if held else now_ms
        if in_trip:
            if offset_ms is not None and first_ms + offset_ms - before.mono_ms <= TRIP_GAP_MS:
                self.count("trips_resumed")
            else:
                self.count("trips_cut_by_reboot")
                self._take(self._pipeline.finish(END_REBOOT))
                offset_ms = None
        if offset_ms is None:
            self._pipeline = self._pipeline.restarted()
            self._memory.late_readings = self._pipeline.late_readings
        # Where the time away is not known, or no trip needs it, the axis goes on after a gap that ends any trip.
        self._boot.offset_ms = before.mono_ms + 2 * TRIP_GAP_MS - first_ms if offset_ms is None else offset_ms
        self._held = None
        self.commit()
        for waited in held:
            self._push(waited)

    def _take(self, outputs: list[Output]) -> None:
        """Make messages. When they are made depends on readings alone, so that a replay makes the same ones."""
        self._count_late()
        at_once = False
        for output in outputs:
            at_once |= self.messages.take(self._by_this_boot(output), self._pipeline.rules.version)
        if self._pipeline.in_trip and self._chain.is_checkpoint_due(self._now_ms):
            self.messages.health()
        if at_once:
            self.commit()

    def _by_this_boot(self, output: Output) -> Output:
        if not isinstance(output, TripStarted):
            return output
        return output._replace(start_mono_ms=max(0, output.start_mono_ms - self._boot.offset_ms))

    def _commit_in_time(self) -> None:
        is_open = self._pipeline.in_trip or self.messages.queued
        if is_open and self._now_ms - self._committed_ms >= self._settings.commit_ms:
            self.commit()

    def _count_late(self) -> None:
        memory, late_readings = self._memory, self._pipeline.late_readings
        if late_readings > memory.late_readings:
            self.count("late_readings", late_readings - memory.late_readings)
            memory.late_readings = late_readings

    def _stamp(self) -> Stamp:
        now_ms = self._now_ms
        return Stamp(now_ms, self._utc.utc_ms(now_ms), self._utc.quality(now_ms))

    def _wall_time(self, axis_ms: int) -> tuple[int, int | None]:
        mono_ms = axis_ms - self._boot.offset_ms
        utc_ms = self._utc.utc_ms(mono_ms)
        return utc_ms, self._clock.utc_offset_min(utc_ms) if self._utc.is_known(mono_ms) else None
