"""The sensors' part of `ubi device check`: all ports listened to at once, then judged by what came."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from math import sqrt
from statistics import fmean
from typing import Final

from device.config import DeviceConfig
from device.contract.signals import Reading
from device.finding import Finding
from device.sensors import Sensors
from device.sources.j1979 import PIDS
from device.sources.obd import ObdSource
from device.sources.rates import Rates
from device.sources.schedule import FASTEST
from device.sources.serial_source import SerialSource
from device.sources.source import Source

WITHIN_MS: Final = 40_000  # a slow search for the bus, and one more attempt
LISTEN_MS: Final = 6_000  # from a source's first value on: rates of what comes once a second
STEP_MS: Final = 200
WANTED: Final = ("speed_kmh", "rpm", "odometer_km")  # whose absence a person should know of
MIN_SPEED_HZ: Final = 2.0  # one reading for each cell of the coarse motion grid
MIN_IMU_HZ: Final = 20.0  # two samples for each cell of the fine one
G_RANGE_MPS2: Final = (9.3, 10.3)  # length of gravity on a sensor that needs no repair
GNSS_FIX: Final = {0: "no fix", 1: "GPS", 2: "DGPS", 3: "PPS", 4: "RTK", 5: "float RTK", 6: "estimated"}


class Listened:
    """What one source gave."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.rates = Rates()
        self.values: dict[str, list[float]] = {}
        self.first_ms: int | None = None

    def take(self, now_ms: int) -> None:
        """Take what has come."""
        for reading in self.source.take(now_ms):
            if reading.value is not None:
                self._keep(reading, reading.value)
                self.first_ms = self.first_ms or now_ms

    def is_done(self, now_ms: int) -> bool:
        """Whether it was heard long enough, or has failed."""
        if self.first_ms is not None:
            return now_ms - self.first_ms >= LISTEN_MS
        bad = ("failed", "silent", "garbled", "no_data")
        return any(self.source.counters.get(f"{self.source.name}_{name}") for name in bad)

    def last(self, signal: str) -> float | None:
        """Return the latest value of a signal."""
        return self.values[signal][-1] if signal in self.values else None

    def _keep(self, reading: Reading, value: float) -> None:
        self.values.setdefault(reading.signal, []).append(value)
        self.rates.saw(reading.signal, reading.t_ms)


def check_sensors(config: DeviceConfig, mono_ms: Callable[[], int]) -> Iterator[Finding]:
    """Listen to every port of the configuration at once and tell what came."""
    with Sensors.of(config) as sensors:
        obd, gnss, imu = sensors.obd, sensors.gnss, sensors.imu
        heard = {source.name: Listened(source) for source in sensors}
        listen(list(heard.values()), mono_ms, WITHIN_MS)
        yield from _obd(config, obd, heard["obd"])
        yield _gnss(config, gnss, heard["gnss"]) if gnss else _absent("gnss", "gnss_port")
        yield _imu(config, imu, heard["imu"]) if imu else _absent("imu", "imu_port")


def listen(sources: list[Listened], mono_ms: Callable[[], int], within_ms: int) -> None:
    """Take from all of them until each is done or time is up."""
    now_ms = mono_ms()
    until_ms = now_ms + within_ms
    while now_ms < until_ms and not all(one.is_done(now_ms) for one in sources):
        for one in sources:
            one.take(now_ms)
        files = [fileno for one in sources if (fileno := one.source.fileno()) is not None]
        wake_ms = min([now_ms + STEP_MS, *(one.source.wake_ms(now_ms) for one in sources)])
        select.select(files, [], [], max(0.0, (wake_ms - now_ms) / 1_000))
        now_ms = mono_ms()


def _absent(part: str, key: str) -> Finding:
    return Finding(part, ok=True, told=f"none; '{key}' in the configuration names one")


def _obd(config: DeviceConfig, source: ObdSource, heard: Listened) -> Iterator[Finding]:
    health = source.health
    if heard.first_ms is None or not health.adapter:
        reason = health.last_failure or "no value from the car"
        yield Finding(
            "adapter",
            ok=False,
            told=f"{config.obd_port}: {reason}",
            fix="check the plug, the ignition and 'obd_port'; `dmesg` names the port of a USB adapter",
        )
        return
    voltage = heard.last("adapter_voltage_v")
    power = "" if voltage is None else f", {voltage:.1f} V"
    yield Finding("adapter", ok=True, told=f"{config.obd_port}: {health.adapter}, {health.protocol}{power}")
    rates = heard.rates.hz()
    told = [f"{name} {rate:.1f} Hz" if rate else name for name, rate in rates.items() if name in PIDS]
    lacking = [name for name in WANTED if PIDS[name] not in health.pids]
    words = f"{len(health.pids)} known to the car; {', '.join(told)}"
    speed_hz = rates.get(FASTEST) or 0.0
    fix = "" if speed_hz >= MIN_SPEED_HZ else "another adapter or a wired one: motion needs speed twice a second"
    without = f"; it does not tell {', '.join(lacking)}" if lacking else ""
    yield Finding("pids", ok=not fix, told=words + without, fix=fix)


def _gnss(config: DeviceConfig, source: SerialSource, heard: Listened) -> Finding:
    if heard.first_ms is None:
        return _unheard("gnss", config.gnss_port, source, "'gnss_port' and 'gnss_baudrate'")
    rate_hz = heard.rates.hz().get("gnss_fix")
    fix_kind = int(heard.last("gnss_fix") or 0)
    told = f"{config.gnss_port}: {source.baudrate} baud, {GNSS_FIX.get(fix_kind, 'other')}"
    told += f", {rate_hz:.1f} Hz" if rate_hz else ""
    satellites, hdop = heard.last("gnss_satellites"), heard.last("gnss_hdop")
    told += f", {satellites:.0f} satellites" if satellites is not None else ""
    told += f", HDOP {hdop:.1f}" if hdop is not None else ""
    fix = "" if fix_kind else "take the antenna under open sky and wait a minute"
    return Finding("gnss", ok=not fix, told=told, fix=fix)


def _imu(config: DeviceConfig, source: SerialSource, heard: Listened) -> Finding:
    if heard.first_ms is None:
        return _unheard("imu", config.imu_port, source, "'imu_port' and 'imu_baudrate'")
    rate_hz, gravity_mps2, rests = imu_told(heard)
    told = f"{config.imu_port}: {source.baudrate} baud, {rate_hz:.0f} Hz, gravity {gravity_mps2:.2f} m/s2"
    fix = ""
    if rate_hz < MIN_IMU_HZ:
        fix = "`ubi device calibrate --set-up-imu` makes it faster"
    elif "gyro_x_dps" not in heard.values:
        fix = "`ubi device calibrate --set-up-imu` switches its gyroscope on"
    elif rests:
        fix = "its last bits never move: the sensor is dead, another one"
    elif not G_RANGE_MPS2[0] <= gravity_mps2 <= G_RANGE_MPS2[1]:
        fix = "check again with the car at rest; if it stays, another sensor"
    return Finding("imu", ok=not fix, told=told, fix=fix)


def imu_told(heard: Listened) -> tuple[float, float, bool]:
    """Return rate in Hz, length of the mean acceleration in m/s2, and whether every sample was the same."""
    axes = [values for name, values in heard.values.items() if name.startswith("accel")]
    gravity_mps2 = sqrt(sum(fmean(values) ** 2 for values in axes))
    return heard.rates.hz().get("accel_x_mps2") or 0.0, gravity_mps2, all(len(set(values)) == 1 for values in axes)


def _unheard(part: str, port: str | None, source: SerialSource, keys: str) -> Finding:
    told = f"{port}: {source.last_failure or 'nothing that it should say'}"
    return Finding(part, ok=False, told=told, fix=f"check the cable, {keys}")
