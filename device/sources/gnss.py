"""A GNSS receiver on a serial port."""

from __future__ import annotations

from typing import Final

from device.sources.nmea import NmeaParser
from device.sources.serial_source import SerialSource

# The standard's 4800 is rare by now; most receivers begin at 9600, newer ones at 38400 or 115200.
BAUDRATES: Final = (9_600, 38_400, 115_200, 4_800, 57_600, 19_200, 230_400)


def gnss_source(port: str, baudrate: int | None = None) -> SerialSource:
    """Return the source "gnss": fix, position, speed, course and UTC of an NMEA 0183 receiver.

    Parameters
    ----------
    port : str
        Such as /dev/ttyACM0.
    baudrate : int, optional
        None tries the usual ones.
    """
    return SerialSource("gnss", port, (baudrate,) if baudrate else BAUDRATES, NmeaParser())
