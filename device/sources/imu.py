"""An IMU on a serial port.

A sensor on another bus (I2C, SPI) joins as one more `device.sources.source.Source` with the name "imu": nothing to wait
on, a `wake_ms` at its rate, and the same six signals. Nothing else knows which sensor it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from device.sources.serial_port import Port
from device.sources.serial_source import SerialSource
from device.sources.wt901 import SAVE, UNLOCK, Wt901Parser, set_up

# What a set-up sensor sends: 22 bytes a sample, 100 times a second, a fifth of what the wire carries.
RATE_HZ: Final = 100
BAUDRATE: Final = 115_200
COMMAND_S: Final = 0.1  # the sensor takes so long over a command
# 9600 is how a WT901 leaves the factory; 115200 is what 100 Hz wants, and is set by `ubi device calibrate`.
BAUDRATES: Final = (115_200, 9_600, 230_400, 38_400, 57_600, 19_200)


def imu_source(port: str, baudrate: int | None = None) -> SerialSource:
    """Return the source "imu": acceleration and angular velocity of a WitMotion WT901, in its own frame.

    Parameters
    ----------
    port : str
        Such as /dev/ttyUSB1.
    baudrate : int, optional
        None tries the usual ones.
    """
    return SerialSource("imu", port, (baudrate,) if baudrate else BAUDRATES, Wt901Parser())


def set_up_imu(port: Port, pause: Callable[[float], None]) -> None:
    """Make a WT901 send acceleration and angular velocity alone, `RATE_HZ` times a second at `BAUDRATE`, and keep it.

    Parameters
    ----------
    port : Port
        Open at the speed that the sensor speaks now.
    pause : callable
        Waits so many seconds.

    Raises
    ------
    OSError
        The port has gone.
    """
    for command in set_up(RATE_HZ, BAUDRATE):
        port.write(command)
        pause(COMMAND_S)
    port.set_baudrate(BAUDRATE)
    for command in (UNLOCK, SAVE):
        port.write(command)
        pause(COMMAND_S)
