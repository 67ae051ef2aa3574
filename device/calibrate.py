"""`ubi device calibrate`: how the IMU is mounted as far as it is known, how it does now, and what to do next.

The agent learns the mounting by itself while driving, and keeps it; nothing here has to be run. What is learnt stands
in the state of the outbox, so a running agent has to be stopped for a look.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from device.check_sensors import Listened, imu_told, listen
from device.config import DeviceConfig
from device.contract.errors import DiskError, TryAgainError, UbiError
from device.contract.signals import BY_NAME
from device.finding import Finding
from device.mounting import Mounting
from device.outbox import Outbox
from device.sources.imu import BAUDRATE, RATE_HZ, imu_source, set_up_imu
from device.sources.serial_port import open_port

WITHIN_MS: Final = 20_000  # every speed is tried
AXES: Final = ("accel_x_mps2", "accel_y_mps2", "accel_z_mps2")
LEARN: Final = (
    "screw the box down, run the agent and drive some minutes with bends, braking and gathering speed; it learns by "
    "itself, and again when the box is moved"
)


def calibrate(config: DeviceConfig, mono_ms: Callable[[], int], *, forget: bool = False) -> Iterator[Finding]:
    """Tell what is known of the mounting, then what the IMU says now.

    Parameters
    ----------
    config : DeviceConfig
    mono_ms : callable
        Time since boot.
    forget : bool
        Begin anew: the box stands elsewhere now.

    Raises
    ------
    TryAgainError
        An agent is running.
    UbiError
        The configuration names no IMU.
    """
    if config.imu_port is None:
        raise UbiError("there is nothing to calibrate without an IMU; 'imu_port' in the configuration names its port")
    mounting = _mounting(config, forget=forget)
    known = mounting.fit is not None
    yield Finding("mounting", ok=known, told="; ".join(mounting.describe()), fix="" if known else LEARN)
    yield _imu(config, config.imu_port, mono_ms)


def set_up(config: DeviceConfig, mono_ms: Callable[[], int], pause: Callable[[float], None] = time.sleep) -> Finding:
    """Find the IMU's speed, make it as fast as motion wants it, and listen whether it is.

    Raises
    ------
    UbiError
        There is no IMU, or it does not speak.
    """
    if config.imu_port is None:
        raise UbiError("'imu_port' in the configuration has to name the IMU's port first")
    with imu_source(config.imu_port, config.imu_baudrate) as source:
        listen([Listened(source)], mono_ms, WITHIN_MS)
        baudrate = source.baudrate
        if baudrate is None:
            raise UbiError(f"{config.imu_port}: {source.last_failure or 'no frames'}; check the cable and 'imu_port'")
    try:
        port = open_port(config.imu_port, baudrate)
        try:
            set_up_imu(port, pause)
        finally:
            port.close()
    except OSError as error:
        raise UbiError(f"{config.imu_port}: {error.strerror or error}") from error
    with imu_source(config.imu_port, BAUDRATE) as source:
        heard = Listened(source)
        listen([heard], mono_ms, WITHIN_MS)
        rate_hz = imu_told(heard)[0] if heard.first_ms is not None else 0.0
    told = f"{config.imu_port}: {baudrate} baud before; now {BAUDRATE} baud, {rate_hz:.0f} Hz"
    if config.imu_baudrate not in {None, BAUDRATE}:
        told += f"; write imu_baudrate = {BAUDRATE} into the configuration"
    ok = rate_hz > RATE_HZ / 2
    return Finding("imu", ok=ok, told=told, fix="" if ok else "unplug the sensor, plug it in and try again")


def _mounting(config: DeviceConfig, *, forget: bool) -> Mounting:
    if not config.outbox.exists():  # made by the agent: by another user it would be nothing for it
        return Mounting()
    try:
        with Outbox(config.outbox) as outbox:
            state: dict[str, Any] = json.loads(outbox.state) if outbox.state else {}
            motion = state.get("pipeline", {}).get("motion", {})
            if forget and "mounting" in motion:
                del motion["mounting"]
                outbox.commit(outbox.next_seq, [], json.dumps(state, separators=(",", ":")).encode())
            return Mounting.from_state(motion["mounting"]) if "mounting" in motion else Mounting()
    except DiskError:
        raise
    except TryAgainError as error:
        raise TryAgainError(f"{config.outbox}: an agent is running and learns; stop it for a look") from error


def _imu(config: DeviceConfig, port: str, mono_ms: Callable[[], int]) -> Finding:
    with imu_source(port, config.imu_baudrate) as source:
        heard = Listened(source)
        listen([heard], mono_ms, WITHIN_MS)
        if heard.first_ms is None:
            reason = source.last_failure or "no frames"
            return Finding("imu", ok=False, told=f"{port}: {reason}", fix="check the cable, 'imu_port', 'imu_baudrate'")
        rate_hz, gravity_mps2, _ = imu_told(heard)
    means = [sum(heard.values[name]) / len(heard.values[name]) for name in AXES]
    up = max(range(len(AXES)), key=lambda axis: abs(means[axis]))
    told = f"{port}: {rate_hz:.0f} Hz; up is near {'+-'[means[up] < 0]}{'xyz'[up]} of the sensor, {gravity_mps2:.2f}"
    return Finding("imu", ok=True, told=f"{told} {BY_NAME[AXES[0]].unit}")
