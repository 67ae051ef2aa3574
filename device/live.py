"""The agent in a running car: sensors -> agent -> uplink, step by step, until it is told to stop.

    Source.take -> Merge -> Battery, ZoneFinder, Agent -> outbox -> Uplink.step
    Battery.step -> which sources may ask, whether the uplink may send

One thread, and every step returns at once: only the MQTT client's network thread, the adapter's process and for moments
that of a time zone run beside it. `Live.step` is passed the time, so a day of driving can be played on a virtual clock.
"""

from __future__ import annotations

import logging
import select
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Final

from device.agent import Agent, AgentSettings
from device.clock import SystemClock
from device.config import DeviceConfig
from device.contract.certificate import read_certificate
from device.contract.errors import DamagedError
from device.contract.signals import Reading
from device.contract.signing import Signer
from device.downlink import Downlink
from device.merge import Merge
from device.outbox import Outbox
from device.outbox_damage import open_outboxes
from device.outbox_room import Limits
from device.power import Battery, Power, PowerSettings
from device.sensors import IMU, Sensors
from device.systemd import Systemd
from device.uplink import Uplink
from device.zone import ZoneFinder

log = logging.getLogger(__name__)

STEP_MS: Final = 100  # readings are stamped where they arise: more steps a second would only cost the battery
IDLE_MS: Final = 1_000  # parked, until something is heard
COUNT_MS: Final = 1_000
FLUSH_MS: Final = 3_000  # how long a stopped agent waits for acks; what is not acked then is sent after the next start
PATIENCE_MS: Final = 30_000  # NTP over a mobile network, or a warm GNSS receiver, has told the time by then
BYTES_PER_MB: Final = 1_000_000

Stopping = Callable[[], bool]


class Live:
    """Agent, sensors and network of one car.

    Parameters
    ----------
    agent : Agent
    sensors : Sensors
    uplink : Uplink
        Its outboxes are added already.
    outboxes : sequence of Outbox
        The first is the agent's.
    battery : Battery
    vin_hash : callable
        Of a VIN, what may leave the car.
    downlink : Downlink or None
    zones : ZoneFinder or None
    """

    def __init__(
        self,
        agent: Agent,
        sensors: Sensors,
        uplink: Uplink,
        outboxes: Sequence[Outbox],
        battery: Battery,
        vin_hash: Callable[[str], bytes],
        downlink: Downlink | None = None,
        zones: ZoneFinder | None = None,
    ) -> None:
        self.battery = battery
        self._agent = agent
        self._sensors = sensors
        self._uplink = uplink
        self._outboxes = outboxes
        self._vin_hash = vin_hash
        self._downlink = downlink
        self._zones = zones
        self._merge = Merge()
        self._told: dict[str, int] = {}
        self._count_at_ms: int | None = None
        self._config_version = 0
        self._vin: str | None = None

    def step(self, now_ms: int) -> None:
        """Do what there is to do.

        Raises
        ------
        DamagedError
            The outbox's file is damaged.
        """
        self._merge.add(self._sensors.take(now_ms))
        self._hear(self._merge.due(now_ms), now_ms)
        self._describe()
        if self._count_at_ms is None or now_ms >= self._count_at_ms:
            self._count_at_ms = now_ms + COUNT_MS
            self._count()
        self._save_power(now_ms)
        if self.battery.state.sends:
            self._uplink.step(now_ms)

    def wake_ms(self, now_ms: int) -> int:
        """Return when the next step is due, whatever the sensors say."""
        longest_ms = IDLE_MS if self.battery.state in (Power.PARKED, Power.LOW) else STEP_MS
        return min(now_ms + longest_ms, self._sensors.wake_ms(now_ms))

    def stop(self, now_ms: int) -> None:
        """Take what has been said, and store what is known."""
        self._merge.add(self._sensors.take(now_ms))
        self._hear(self._merge.flush(), now_ms)
        self._count()
        self._agent.commit()

    def status(self) -> str:
        """One line for a person."""
        waiting = sum(outbox.waiting() for outbox in self._outboxes)
        voltage = "" if self.battery.voltage_v is None else f", {self.battery.voltage_v:.1f} V"
        network = "connected" if self._uplink.is_ready else self._uplink.last_error or "not connected"
        trip = "in a trip" if self._agent.in_trip else "no trip"
        return f"{self.battery.state}{voltage}, {trip}, {waiting} messages wait, {network}"

    def _hear(self, readings: Sequence[Reading], now_ms: int) -> None:
        resting = not self.battery.state.asks_car and not self._agent.in_trip
        for reading in readings:
            self.battery.hear(reading)
            if resting and reading.signal in IMU:
                continue  # a parked box feels nothing that a trip wants to know, a hundred times a second
            self._agent.push(reading)
            if self._zones is not None:
                self._zones.hear(reading)
        self._agent.advance(self._merge.heard_until_ms(now_ms))
        zone = self._zones.take(now_ms) if self._zones is not None else None
        if zone is not None:
            self._agent.enter(zone)

    def _describe(self) -> None:
        """What the next trip tells of adapter and car; the periods that the insurer wants."""
        messages, obd = self._agent.messages, self._sensors.obd
        if obd.health.adapter is not None:
            messages.adapter = obd.health.adapter
            if obd.health.vin != self._vin:
                self._vin = obd.health.vin
                messages.vin_hash = self._vin_hash(self._vin) if self._vin else b""
        applied = self._downlink.applied if self._downlink is not None else None
        if applied is not None and applied.version != self._config_version:
            self._config_version = applied.version
            self._sensors.ask_every(applied.periods_ms)

    def _count(self) -> None:
        totals = dict(self._sensors.counters())
        totals |= {f"uplink_{name}": total for name, total in self._uplink.counters.items()}
        totals |= self.battery.counters
        totals |= self._downlink.counters if self._downlink is not None else {}
        totals |= {"zone_unknown": self._zones.failures} if self._zones is not None else {}
        for name, total in totals.items():
            if total > self._told.get(name, 0):
                self._agent.count(name, total - self._told.get(name, 0))
                self._told[name] = total
        for name, total in self._outboxes[0].counters.items():
            self._agent.count_total(f"outbox_{name}", total)

    def _save_power(self, now_ms: int) -> None:
        before = self.battery.state
        now = self.battery.step(now_ms, in_trip=self._agent.in_trip)
        if now is before:
            return
        log.info("%s: %s", now, self.status())
        if now.asks_car != before.asks_car:
            if now.asks_car:
                self._sensors.obd.resume()
            else:
                self._sensors.obd.pause()
        if before.sends and not now.sends:
            self._agent.commit()
            self._uplink.stop()


def run(config: DeviceConfig, stopping: Stopping) -> None:
    """Run the agent until `stopping()`; then commit, give acks a moment and say goodbye.

    A damaged outbox is set aside, and the agent goes on with a new one.
    """
    systemd = Systemd()
    while not stopping():
        try:
            _run(config, stopping, systemd)
        except DamagedError as error:
            log.warning("%s; it is set aside", error)


def settings_of(config: DeviceConfig) -> AgentSettings:
    """What the agent writes into its messages."""
    return AgentSettings(
        device_id=config.device_id,
        motion=config.motion == "full",
        location=config.location,
        batch_ms=config.batch_s * 1_000,
        commit_ms=config.commit_s * 1_000,
        patience_ms=PATIENCE_MS,
        vehicle=config.vehicle,
    )


def power_of(config: DeviceConfig) -> PowerSettings:
    """How the battery is cared for."""
    return PowerSettings(config.cut_off_v, config.park_after_s * 1_000, probe_blind_ms=config.probe_s * 1_000)


def _run(config: DeviceConfig, stopping: Stopping, systemd: Systemd) -> None:
    clock, signer = SystemClock(config.zone), Signer.from_file(config.key_file)
    downlink = Downlink(config.device_id, config.insurer_key, config.consent)
    with ExitStack() as stack:
        outboxes = open_outboxes(config.outbox, Limits(config.outbox_mb * BYTES_PER_MB))
        for outbox in outboxes:
            stack.enter_context(outbox)
        now_ms = clock.mono_ms()
        agent = Agent(settings_of(config), outboxes[0], signer.sign, clock, now_ms, downlink, outboxes[1:])
        uplink = Uplink(
            config.device_id,
            config.broker,
            config.ca_file,
            client=config.client,
            on_config=agent.configure,
            on_time=agent.hear_insurer,
        )
        _tell_whose_certificate(config)
        for outbox in outboxes:
            uplink.add(outbox)
        stack.callback(uplink.stop)
        zones = ZoneFinder()
        stack.callback(zones.close)
        sensors = stack.enter_context(Sensors.of(config))
        battery = Battery(power_of(config), now_ms)
        live = Live(agent, sensors, uplink, outboxes, battery, signer.vin_hash, downlink, zones)
        told = f"motion {config.motion}, location {config.location}"
        log.info("%s: %d messages wait, %s", config.device_id, sum(box.waiting() for box in outboxes), told)
        systemd.ready()
        while not stopping():
            now_ms = clock.mono_ms()
            live.step(now_ms)
            systemd.alive(now_ms, live.status)
            _wait(live, sensors, clock)
        systemd.stopping()
        live.stop(clock.mono_ms())
        until_ms = clock.mono_ms() + FLUSH_MS
        while uplink.is_ready and any(box.waiting() for box in outboxes) and clock.mono_ms() < until_ms:
            uplink.step(clock.mono_ms(), STEP_MS / 1_000)
        log.info("%s: stopped, %d messages wait for the next start", config.device_id, _waiting(outboxes))


def _tell_whose_certificate(config: DeviceConfig) -> None:
    """A broker may connect a device by another's certificate, and drop all that it sends without a word."""
    if config.cert_file is None or not config.broker.tls:
        return
    name = read_certificate(config.cert_file).name
    if name != config.device_id:
        told = "the insurer's broker drops what this device sends; copy its own certificate here, or enrol it again"
        log.warning("%s: is the certificate of '%s', not of '%s': %s", config.cert_file, name, config.device_id, told)


def _waiting(outboxes: Sequence[Outbox]) -> int:
    return sum(outbox.waiting() for outbox in outboxes)


def _wait(live: Live, sensors: Sensors, clock: SystemClock) -> None:
    """At least `STEP_MS`, then until a sensor speaks or the next step is due."""
    began_ms = clock.mono_ms()
    until_ms = live.wake_ms(began_ms)
    select.select([], [], [], STEP_MS / 1_000)
    left_ms = until_ms - clock.mono_ms()
    if left_ms > 0:
        select.select(sensors.filenos(), [], [], left_ms / 1_000)
