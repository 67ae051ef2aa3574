"""The sensors that a configuration names, as one: what they say, when they want to be asked, what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, Self

from device.config import DeviceConfig
from device.contract.signals import Reading
from device.sources.gnss import gnss_source
from device.sources.imu import imu_source
from device.sources.obd import ObdSource
from device.sources.schedule import PERIODS_MS
from device.sources.serial_source import SerialSource
from device.sources.source import Source

IMU: Final = frozenset(f"{kind}_{axis}_{unit}" for kind, unit in (("accel", "mps2"), ("gyro", "dps")) for axis in "xyz")
# The adapter is asked for its voltage while the car is not: a started engine is noticed after two of these.
PAUSED_VOLTAGE_MS: Final = 5_000


class Sensors:
    """Sources of readings.

    Parameters
    ----------
    obd : ObdSource
    gnss, imu : SerialSource or None
    """

    def __init__(self, obd: ObdSource, gnss: SerialSource | None = None, imu: SerialSource | None = None) -> None:
        self.obd = obd
        self.gnss = gnss
        self.imu = imu
        self._sources: tuple[Source, ...] = tuple(source for source in (obd, gnss, imu) if source is not None)

    @property
    def names(self) -> list[str]:
        """Which sensors there are."""
        return [source.name for source in self._sources]

    def why_silent(self) -> str:
        """What went wrong with each, in one line."""
        counted = (f"{name} {total}" for name, total in self.counters().items() if total)
        return "; ".join([f"obd: {self.obd.health.last_failure or 'silent'}", *counted])

    @classmethod
    def of(cls, config: DeviceConfig) -> Sensors:
        """Those that the configuration names."""
        obd = ObdSource(
            config.obd_port,
            baudrate=config.obd_baudrate,
            protocol=config.obd_protocol,
            paused_voltage_ms=PAUSED_VOLTAGE_MS,
        )
        gnss = None if config.gnss_port is None else gnss_source(config.gnss_port, config.gnss_baudrate)
        imu = None if config.imu_port is None else imu_source(config.imu_port, config.imu_baudrate)
        return cls(obd, gnss, imu)

    def __iter__(self) -> Iterator[Source]:
        """Each source."""
        return iter(self._sources)

    def take(self, now_ms: int) -> Iterator[Reading]:
        """What has come, source by source."""
        for source in self._sources:
            yield from source.take(now_ms)

    def filenos(self) -> list[int]:
        """What to wait on."""
        return [fileno for source in self._sources if (fileno := source.fileno()) is not None]

    def wake_ms(self, now_ms: int) -> int:
        """When the first of them wants to be asked."""
        return min(source.wake_ms(now_ms) for source in self._sources)

    def counters(self) -> dict[str, int]:
        """Totals of all since the start."""
        return {name: total for source in self._sources for name, total in source.counters.items()}

    def ask_every(self, periods_ms: Mapping[str, int]) -> None:
        """Ask the car for these signals at these periods, and for the others as always, from the next connection on."""
        self.obd.ask_every({**PERIODS_MS, **periods_ms})

    def close(self) -> None:
        """Let go of every port."""
        for source in self._sources:
            source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
