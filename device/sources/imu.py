"""An IMU on a serial port.

A sensor on another bus (I2C, SPI) joins as one more `device.sources.source.Source` with the name "imu": nothing to wait
on, a `wake_ms` at its rate, and the same six signals. Nothing else knows which sensor it is.
"""

from __future__ import annotations

from typing import Final

from device.sources.serial_source import SerialSource
from device.sources.wt901 import Wt901Parser

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
