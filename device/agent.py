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
from collections.abc import Sequence
from typing import Final
from zoneinfo import ZoneInfo

from device.chain import Chain
from device.clock import CarClock, Clock, offset_min
from device.contract import bodies
from device.contract import wire_pb2 as pb
from device.contract.errors import DiskError
from device.contract.rules import CURRENT_VERSION, load_rules
from device.contract.signals import Reading
from device.downlink import Downlink
from device.driven import Driven
from device.messages import AgentSettings, Messages, Stamp
from device.outbox import Outbox
from device.outbox_ranks import give_up, withheld_under
from device.pipeline import END_OF_RECORDING, END_REBOOT, Output, Pipeline, TripStarted
from device.places import Places
from device.resume import Moment, Resume
from device.state import Boot, Memory, Saved, load_state

log = logging.getLogger(__name__)

__all__ = ["Agent", "AgentSettings"]

# Readings off the grid that trip_start and trip_end tell: signal -> (field, steps of the field in the signal's unit).
SEEN: Final = {
    "odometer_km": ("odometer_m", 1_000),
    "distance_since_clear_km": ("distance_since_clear_m", 1_000),
    "dtc_count": ("dtc_count", 1),
}
POSITION: Final = frozenset({"latitude_deg", "longitude_deg"})
MAX_MEMORY_BYTES: Final = 4 * 2**20  # of messages that no disk takes: more than a day of motion at 10 Hz


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
    downlink : Downlink or None
        What the insurer configures; None = nothing.
    rescued : sequence of Outbox
        Outboxes of earlier streams, which are only sent: what the settings no longer let leave is withdrawn there too.

    Attributes
    ----------
    messages : Messages
        Its `adapter` and `vin_hash` are what the next trip tells of them.
    """

    def __init__(
        self,
        settings: AgentSettings,
        outbox: Outbox,
        sign: bodies.Sign,
        clock: Clock,
        now_ms: int = 0,
        downlink: Downlink | None = None,
        rescued: Sequence[Outbox] = (),
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._clock = clock
        self._downlink = downlink
        self._rescued = rescued
        self._utc = CarClock(clock)
        self._driven = Driven()
        self._places = Places()
        self._now_ms = self._committed_ms = now_ms
        self._pipeline = Pipeline(self._wall_time)
        self._boot, self._memory = Boot(clock.boot_id.hex(), now_ms), Memory()
        self._resume: Resume | None = None
        self._refused = False  # the last commit, by the disk
        saved = load_state(outbox)
        if saved is not None:
            self._restore(saved)
        self._rules_version = self._pipeline.rules.version  # of the running trip
        self._chain = Chain(
            device_id=settings.device_id,
            stream_id=outbox.stream_id,
            boot_id=clock.boot_id,
            next_seq=outbox.next_seq,
            head=outbox.head,
            sign=sign,
            signed_ms=self._boot.signed_ms,
        )
        self._configure()
        self.messages = Messages(self._wanted, self._chain, self._memory, self._stamp, self._places)
        for box in (outbox, *rescued):
            box.withdraw()
        self._land()

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

    @property
    def utc_ms(self) -> int | None:
        """Now, None where UTC is not known."""
        return self._utc.utc_ms(self._now_ms) if self._utc.is_known(self._now_ms) else None

    def push(self, reading: Reading) -> None:
        """Take the next reading."""
        self._now_ms = max(self._now_ms, reading.t_ms)
        if reading.signal == "gnss_utc_s":
            self._utc.hear(reading)
        if self._resume is None:
            self._push(reading)
        else:
            self._resume.hear(reading)
            self._land()

    def advance(self, now_ms: int) -> None:
        """Time has passed without a reading."""
        self._now_ms = max(self._now_ms, now_ms)
        self._land()
        if self._resume is None:
            if outputs := self._pipeline.advance(now_ms + self._boot.offset_ms):
                self._take(outputs)
            self._commit_in_time()
        if self._downlink is not None and self._downlink.advance(self.utc_ms) is not None:
            self._reconfigure()

    def enter(self, zone: ZoneInfo) -> None:
        """The car is in this time zone: local time of the next trips is its."""
        self._memory.zone = zone.key

    def configure(self, payload: bytes) -> None:
        """Take what came on the configuration topic.

        It holds from the next trip on; what it does not let leave any more does not from now on.
        """
        if self._downlink is not None and self._downlink.take(payload, self.utc_ms) is not None:
            self._reconfigure()

    def hear_insurer(self, utc_ms: int, before_ms: int, after_ms: int) -> None:
        """Take the insurer's time, see `CarClock.hear_insurer`. It moves no time; it may make the clock doubtful."""
        before = self._utc.quality(after_ms)
        self._utc.hear_insurer(utc_ms, before_ms, after_ms)
        if self._utc.quality(after_ms) == pb.CLOCK_CONTRADICTED != before:
            off_s = (self._clock.utc_ms(after_ms) - utc_ms) / 1_000
            log.warning("the computer's clock claims to be right, and is %.0f s off by the insurer's", off_s)
            self.count("clock_contradicted")
            if self._resume is None and not self.in_trip:  # the insurer shall know it of the trip that has just ended
                self.messages.health()
                self.commit()

    def count(self, counter: str, amount: int = 1) -> None:
        """Add to a counter of the next health message."""
        counters = self._memory.counters
        counters[counter] = counters.get(counter, 0) + amount

    def count_total(self, counter: str, total: int) -> None:
        """Bring a counter up to a total that outlives restarts."""
        new = total - self._memory.told.get(counter, 0)
        if new > 0:
            self._memory.told[counter] = total
            self.count(counter, new)

    def finish(self) -> None:
        """The recording has ended: close the running trip and remember that nothing more comes."""
        self._take(self._pipeline.finish(END_OF_RECORDING))
        self._memory.finished = True
        self.commit()

    def commit(self) -> None:
        """Store what was made so far, and the state after it, in one transaction.

        While it is open where this boot lies nothing is stored: the next start finds the last boot as it was. What a
        disk refuses now waits in memory for the next commit; beyond `MAX_MEMORY_BYTES` motion is given up.
        """
        if self._resume is not None:
            return
        boot, memory = self._boot, self._memory
        boot.signed_ms = self._chain.signed_ms
        boot.clock, boot.driven, boot.places = self._utc.to_state(), self._driven.to_state(), self._places.to_state()
        boot.moment = Moment(self._now_ms + boot.offset_ms, self.utc_ms, memory.run_time_s, memory.run_time_ms)
        downlink = self._downlink.to_state() if self._downlink else {}
        state = Saved(boot, memory, self._pipeline.to_state(), downlink).dump()
        queued = self.messages.queued
        self._committed_ms = self._now_ms
        try:
            self._outbox.commit(self._chain.next_seq - len(queued), queued, state)
        except DiskError as error:
            log.warning("%s; %d messages wait in memory", error, len(queued))
            self.count("commits_refused")
            for counter, number in give_up(queued, MAX_MEMORY_BYTES).items():
                self.count(f"outbox_{counter}", number)
        else:
            queued.clear()

    def _restore(self, saved: Saved) -> None:
        self._memory = saved.memory
        self._pipeline = Pipeline.from_state(saved.pipeline, self._wall_time)
        if self._downlink is not None and saved.downlink:
            self._downlink.restore(saved.downlink)
        if saved.boot.boot_id == self._boot.boot_id:
            self._boot = saved.boot
            self._boot.restore(self._utc, self._driven, self._places)
            return
        patience_ms, in_trip = self._settings.patience_ms, self._pipeline.in_trip
        self._resume = Resume(saved.boot.moment, in_trip=in_trip, started_ms=self._now_ms, patience_ms=patience_ms)

    def _land(self) -> None:
        """Go on with the last boot's trip or end it, as soon as that is decided."""
        landing = self._resume.decide(self._now_ms, self.utc_ms) if self._resume else None
        if self._resume is None or landing is None:
            return
        if landing.resumed:
            self.count("trips_resumed")
        elif landing.resumed is False:
            self.count("trips_cut_by_reboot")
            self._take(self._pipeline.finish(END_REBOOT))
            self._pipeline = self._pipeline.restarted()
            self._memory.late_readings = self._pipeline.late_readings
        waited, self._resume = self._resume.waiting, None
        self._boot.offset_ms = landing.offset_ms
        self.commit()
        for reading in waited:
            self._push(reading)

    def _push(self, reading: Reading) -> None:
        memory, offset_ms = self._memory, self._boot.offset_ms
        memory.readings += 1
        self.count("readings")
        if offset_ms:
            reading = reading._replace(t_ms=reading.t_ms + offset_ms)
        if reading.value is None:
            self.count("null_readings")
        elif reading.signal in SEEN:
            field, steps = SEEN[reading.signal]
            memory.seen[field] = round(reading.value * steps)
        elif reading.signal == "run_time_s":
            memory.run_time_s, memory.run_time_ms = round(reading.value), reading.t_ms
        elif reading.signal in POSITION and self._wanted.location != "off":
            self._places.hear(reading)
        if not self._driven.admits(reading):
            self.count("not_driven")
        elif outputs := self._pipeline.push(reading):
            self._take(outputs)
        self._commit_in_time()

    def _take(self, outputs: list[Output]) -> None:
        """Make messages. When they are made depends on readings alone, so that a replay makes the same ones."""
        self._count_late()
        at_once = False
        for output in outputs:
            if isinstance(output, TripStarted):
                self.messages.settings, self._rules_version = self._wanted, output.rules_version
            at_once |= self.messages.take(output, self._rules_version, self._boot.offset_ms)
        if self._pipeline.in_trip and self._chain.is_checkpoint_due(self._now_ms):
            self.messages.health()
        if at_once:
            self.commit()

    def _commit_in_time(self) -> None:
        is_open = self._pipeline.in_trip or self.messages.queued
        if is_open and self._now_ms - self._committed_ms >= self._wanted.commit_ms:
            self.commit()

    def _configure(self) -> None:
        """Settings of the next trip: the device's own, and what the insurer's configuration says on top."""
        applied = self._downlink.applied if self._downlink else None
        self._wanted = self._settings
        if self._downlink is not None and applied is not None:
            self._wanted = self._settings.under(applied, self._downlink.privacy)
        asked = None if applied is None else applied.rules_version
        self._pipeline.use_rules(load_rules(CURRENT_VERSION if asked is None else asked))
        if self._wanted.location == "off":
            self._places.clear()
        if self._wanted.location != "full":  # not yet in a message
            self._memory.track.clear()
        if not self._wanted.motion:
            self._memory.batch.clear()
        for outbox in (self._outbox, *self._rescued):
            outbox.withhold(withheld_under(self._wanted.privacy))

    def _reconfigure(self) -> None:
        self._configure()
        self.messages.tighten(self._wanted.privacy)
        self.commit()
        for outbox in self._rescued:
            outbox.withdraw()

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
        if not self._utc.is_known(mono_ms):
            return utc_ms, None
        zone = self._memory.zone
        return utc_ms, offset_min(ZoneInfo(zone), utc_ms) if zone else self._clock.utc_offset_min(utc_ms)
