"""What the pipeline found, as messages: one body after the other into the chain, in memory until the next commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from device.chain import Chain
from device.contract import bodies, wire
from device.contract.configuration import ConfigUpdate
from device.contract.motion import COLUMNS, MotionSample
from device.events import DetectedEvent
from device.impact import ImpactAlert, ImpactReport
from device.pipeline import Output, TripEnded, TripStarted
from device.places import Places
from device.privacy import Privacy, allowed
from device.state import Memory

MAX_BATCH_ROWS: Final = 600  # a minute at 10 Hz
TRACK_PERIOD_MS: Final = 1_000


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """What an agent writes into its messages, and how often it writes.

    `motion` and `location`: see `device.privacy`; events and summaries are the same in each. `batch_ms`: a batch of
    motion is closed after this much driving, or `MAX_BATCH_ROWS`. `commit_ms`: see `device.agent`. `patience_ms`: how
    long readings wait in memory after a restart of the computer; 0 for recordings, which are one boot.
    """

    device_id: str
    motion: bool = False
    location: str = "off"
    batch_ms: int = 60_000
    commit_ms: int = 10_000
    patience_ms: int = 0
    vehicle: str = ""
    adapter: str = ""
    recording: str = ""
    recorded_file: str = ""
    config_version: int = 0

    @property
    def privacy(self) -> Privacy:
        """What may leave the car."""
        return Privacy(self.location, "full" if self.motion else "off")

    def under(self, update: ConfigUpdate, privacy: Privacy) -> AgentSettings:
        """These settings with the insurer's configuration on top; `privacy` is what both of them allow."""
        return replace(
            self,
            motion=privacy.motion == "full",
            location=privacy.location,
            batch_ms=self.batch_ms if update.batch_s is None else update.batch_s * 1_000,
            commit_ms=self.commit_ms if update.commit_s is None else update.commit_s * 1_000,
            config_version=update.version,
        )


@dataclass(frozen=True, slots=True)
class Stamp:
    """Now, as the header of a message tells it."""

    mono_ms: int
    utc_ms: int
    quality: int


class Messages:
    """Makes the messages of one stream.

    Parameters
    ----------
    settings : AgentSettings
        May be replaced between trips.
    chain : Chain
    memory : Memory
        Shared with the agent, which stores it.
    stamp : callable
        Asked for each message.
    places : Places

    Attributes
    ----------
    queued : list of wire.Encoded
        Made and not stored yet.
    adapter : str
        What the next trip says of its adapter.
    vin_hash : bytes
        What it says of the car; empty = not known.
    """

    def __init__(
        self, settings: AgentSettings, chain: Chain, memory: Memory, stamp: Callable[[], Stamp], places: Places
    ) -> None:
        self.settings = settings
        self.queued: list[wire.Encoded] = []
        self.adapter = settings.adapter
        self.vin_hash = b""
        self._chain = chain
        self._memory = memory
        self._stamp = stamp
        self._places = places

    def take(self, output: Output, rules_version: int, offset_ms: int) -> bool:
        """Turn an output into messages; whether they are to be stored at once.

        Parameters
        ----------
        output : Output
        rules_version : int
            Of the running trip.
        offset_ms : int
            Time axis of the output minus monotonic time of this boot.
        """
        if isinstance(output, MotionSample):
            self._sample(output)
            return False
        if isinstance(output, TripStarted):
            self._trip_started(output, rules_version, offset_ms)
        elif isinstance(output, DetectedEvent):
            self._event(output, rules_version)
        elif isinstance(output, TripEnded):
            self._trip_ended(output)
        else:
            self._impact(output)
        return True

    def tighten(self, privacy: Privacy) -> None:
        """Let from now on, in the running trip too, no more leave than this."""
        within = self.settings.privacy.stricter(privacy)
        self.settings = replace(self.settings, location=within.location, motion=within.motion == "full")

    def health(self) -> None:
        """Tell what was counted since the last time."""
        self._queue(bodies.Health(dict(self._memory.counters)))
        self._memory.counters.clear()

    def _trip_started(self, trip: TripStarted, rules_version: int, offset_ms: int) -> None:
        memory, settings = self._memory, self.settings
        memory.trip_seq, memory.start_ms, memory.last_ms = self._chain.next_seq, trip.start_mono_ms, 0
        memory.period_ms, memory.sensor_grade = trip.period_ms, trip.sensor_grade
        memory.adapter, memory.vin_hash = self.adapter, self.vin_hash.hex()
        self._queue(
            bodies.TripStart(
                period_ms=trip.period_ms,
                started_at_ms=trip.started_at_ms,
                utc_offset_min=trip.utc_offset_min,
                rules_version=rules_version,
                sensor_grade=trip.sensor_grade,
                recording=settings.recording,
                vehicle=settings.vehicle,
                adapter=self.adapter[: bodies.MAX_TEXT],
                vin_hash=self.vin_hash,
                start_mono_ms=max(0, trip.start_mono_ms - offset_ms),
                recorded_file=settings.recorded_file,
                speed_rate_dhz=trip.speed_rate_dhz,
                config_version=settings.config_version,
                odometer_m=memory.seen.get("odometer_m"),
                distance_since_clear_m=memory.seen.get("distance_since_clear_m"),
                dtc_count=memory.seen.get("dtc_count"),
                start_cell=self._places.cell(trip.start_mono_ms),
            )
        )

    def _sample(self, sample: MotionSample) -> None:
        memory, settings = self._memory, self.settings
        memory.last_ms = sample.t_ms
        if settings.motion:
            batch, period_ms = memory.batch, memory.period_ms
            if batch and sample.t_ms != batch[-1].t_ms + period_ms:
                self._queue_batch()
            batch.append(sample)
            if len(batch) >= MAX_BATCH_ROWS or len(batch) * period_ms >= settings.batch_ms:
                self._queue_batch()
        if settings.location == "full" and sample.t_ms % TRACK_PERIOD_MS == 0:
            self._point(sample.t_ms)

    def _point(self, t_ms: int) -> None:
        track = self._memory.track
        if track and t_ms != track[-1][0] + TRACK_PERIOD_MS:
            self._queue_track()
        track.append((t_ms, *(self._places.point(self._memory.start_ms + t_ms) or (None, None))))
        if len(track) * TRACK_PERIOD_MS >= self.settings.batch_ms:
            self._queue_track()

    def _event(self, event: DetectedEvent, rules_version: int) -> None:
        self._memory.totals["events"] += 1
        self._queue(
            bodies.Event(
                trip_seq=self._memory.trip_seq,
                rules_version=rules_version,
                sensor_grade=self._memory.sensor_grade,
                cell=self._places.cell(self._memory.start_ms + event.peak_ms),
                **event._asdict(),
            )
        )

    def _impact(self, impact: ImpactAlert | ImpactReport) -> None:
        """The accident message: it leaves the car with motion off, too."""
        memory = self._memory
        before = [sample.speed_dkmh for sample in impact.samples if sample.t_ms <= impact.t_ms]
        self._queue(
            bodies.Impact(
                trip_seq=memory.trip_seq,
                t_ms=impact.t_ms,
                peak_cmps2=impact.peak_cmps2,
                speed_dkmh=next((speed for speed in reversed(before) if speed is not None), None),
                complete=isinstance(impact, ImpactReport),
                period_ms=memory.period_ms,
                around=_motion(memory.trip_seq, impact.samples) if impact.samples else None,
                cell=self._places.cell(memory.start_ms + impact.t_ms),
            )
        )

    def _trip_ended(self, trip: TripEnded) -> None:
        memory, seen = self._memory, trip.seen
        memory.totals["trips"] += 1
        memory.totals["distance_mm"] += trip.summary.distance_mm
        if memory.batch:
            self._queue_batch()
        if memory.track:
            self._queue_track()
        self.health()
        self._queue(
            bodies.TripEnd(
                memory.trip_seq,
                trip.reason,
                trip.summary,
                odometer_m=memory.seen.get("odometer_m"),
                distance_since_clear_m=memory.seen.get("distance_since_clear_m"),
                sensor_grade=trip.sensor_grade,
                speed_rate_dhz=trip.speed_rate_dhz,
                dtc_count=memory.seen.get("dtc_count"),
                end_cell=self._places.cell(memory.start_ms + memory.last_ms),
                adapter="" if self.adapter == memory.adapter else self.adapter[: bodies.MAX_TEXT],
                vin_hash=b"" if self.vin_hash.hex() == memory.vin_hash else self.vin_hash,
                speed_readings=None if seen is None else seen.readings,
                speed_missed=None if seen is None else seen.missed,
                speed_step_dkmh=None if seen is None else seen.step_dkmh,
                speed_frozen=None if seen is None else seen.frozen,
            )
        )
        memory.seen.clear()  # a car may be driven without us: the next trip wants fresh readings

    def _queue_batch(self) -> None:
        self._queue(_motion(self._memory.trip_seq, self._memory.batch))
        self._memory.batch.clear()

    def _queue_track(self) -> None:
        memory = self._memory
        first_ms, latitudes, longitudes = memory.track[0][0], *list(zip(*memory.track, strict=True))[1:]
        if any(latitude is not None for latitude in latitudes):
            self._queue(bodies.Track(memory.trip_seq, first_ms, TRACK_PERIOD_MS, latitudes, longitudes))
        memory.track.clear()

    def _queue(self, told: bodies.Body) -> None:
        now, body = self._stamp(), allowed(told, self.settings.privacy)
        if body is None:
            return
        message = self._chain.add(
            body,
            mono_ms=now.mono_ms,
            utc_ms=now.utc_ms,
            quality=now.quality,
            next_within_ms=self.settings.batch_ms if self.settings.motion else 0,
        )
        self.queued.append(message)


def _motion(trip_seq: int, samples: Sequence[MotionSample]) -> bodies.Motion:
    columns = {name: [getattr(sample, name) for sample in samples] for name in COLUMNS}
    return bodies.Motion(trip_seq, samples[0].t_ms, len(samples), columns)
