"""The serial protocol of WitMotion's WT901 family: frames of 11 bytes, and the commands that set a sensor up.

    55 51 ax ay az temperature sum     acceleration, 16-bit little-endian, 16 g full scale
    55 52 gx gy gz temperature sum     angular velocity, 2000 degrees/s full scale
    55 50 and 53 to 5A                 time, angle, magnetic field, ...: known and left out

Source: WitMotion WT901 datasheet (v20-0702), sections 5.1 and 5.2. The frame of reference is the sensor's own.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Final

from device.contract.signals import Reading

HEADER: Final = 0x55
KINDS: Final = range(0x50, 0x5B)
ACCELERATION: Final = 0x51
ANGULAR_VELOCITY: Final = 0x52
FRAME: Final = struct.Struct("<BBhhhhB")
FULL_SCALE: Final = 32_768
G_MPS2: Final = 9.80665
AXES: Final[dict[int, tuple[float, tuple[str, str, str]]]] = {
    ACCELERATION: (16 * G_MPS2 / FULL_SCALE, ("accel_x_mps2", "accel_y_mps2", "accel_z_mps2")),
    ANGULAR_VELOCITY: (2_000 / FULL_SCALE, ("gyro_x_dps", "gyro_y_dps", "gyro_z_dps")),
}
# Samples that came in one piece lie evenly between the piece before and now, but never further apart than this.
MAX_PERIOD_MS: Final = 200
# A frame found in passing must be followed by another: one checksum in 256 fits by chance.
IN_A_ROW: Final = 2

UNLOCK: Final = bytes.fromhex("FF AA 69 88 B5")
SAVE: Final = bytes.fromhex("FF AA 00 00 00")
CONTENT_REGISTER, RATE_REGISTER, BAUD_REGISTER = 0x02, 0x03, 0x04
CONTENT: Final = 0b110  # acceleration and angular velocity, nothing else
RATES_HZ: Final = {10: 0x06, 20: 0x07, 50: 0x08, 100: 0x09, 200: 0x0B}
BAUDRATES: Final = {9_600: 0x02, 19_200: 0x03, 38_400: 0x04, 57_600: 0x05, 115_200: 0x06, 230_400: 0x07}

Sample = dict[int, tuple[int, int, int]]  # raw axes by kind of frame


class Wt901Parser:
    """A `device.sources.serial_source.Parser`.

    A sample, acceleration and angular velocity together, has one time: when it was whole. Samples that were waited
    for in vain, because this computer was busy, are spread over the time since the last.
    """

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.frames = 0
        self._rest = b""
        self._in_step = False
        self._sample: Sample = {}
        self._last_ms: int | None = None

    def feed(self, data: bytes, now_ms: int) -> list[Reading]:
        """Take bytes as they came until `now_ms`; return their readings, oldest first."""
        samples = self._samples(self._rest + data)
        if not samples:
            return []
        if self._last_ms is None:
            samples, self._last_ms = samples[-1:], now_ms  # the others are older, nobody knows how much
        span_ms = min(len(samples) * MAX_PERIOD_MS, max(0, now_ms - self._last_ms))
        self._last_ms = now_ms
        readings = []
        for number, sample in enumerate(samples, start=1):
            t_ms = now_ms - span_ms + span_ms * number // len(samples)
            for kind, raw in sorted(sample.items()):
                scale, names = AXES[kind]
                readings += [Reading(t_ms, name, value * scale) for name, value in zip(names, raw, strict=True)]
        return readings

    def reset(self) -> None:
        """Forget a frame begun."""
        self._rest = b""
        self._in_step = False
        self._sample = {}
        self._last_ms = None

    def _samples(self, data: bytes) -> list[Sample]:
        """Cut `data` into frames and those into whole samples; keep what is not yet a frame."""
        samples: list[Sample] = []
        at = 0
        while len(data) - at >= FRAME.size * (1 if self._in_step else IN_A_ROW):
            if _is_frame(data, at) and (self._in_step or _is_frame(data, at + FRAME.size)):
                self._in_step = True
                self._frame(data, at, samples)
                at += FRAME.size
            else:
                if self._in_step:
                    self.counters["imu_out_of_step"] += 1
                self._in_step = False
                at = _next_header(data, at + 1)
        self._rest = data[at:]
        return samples

    def _frame(self, data: bytes, at: int, samples: list[Sample]) -> None:
        self.frames += 1
        _, kind, x, y, z, _, _ = FRAME.unpack_from(data, at)
        if kind not in AXES:
            return
        if kind in self._sample or kind < max(self._sample, default=kind):
            samples.append(self._sample)  # it lacks a frame: lost, or this sensor does not send it
            self._sample = {}
        self._sample[kind] = (x, y, z)
        if len(self._sample) == len(AXES):
            samples.append(self._sample)
            self._sample = {}


def set_up(rate_hz: int, baudrate: int) -> list[bytes]:
    """Return the commands that make a sensor send acceleration and angular velocity alone, and keep it so.

    At 9600 baud a sensor gives at most 43 samples/s; 100 Hz needs 38400 or more. The last command changes the speed:
    whoever sends it listens at `baudrate` from then on and saves with `[UNLOCK, SAVE]`.

    Parameters
    ----------
    rate_hz : int
        One of `RATES_HZ`.
    baudrate : int
        One of `BAUDRATES`.
    """
    return [
        UNLOCK,
        _command(CONTENT_REGISTER, CONTENT),
        _command(RATE_REGISTER, RATES_HZ[rate_hz]),
        _command(BAUD_REGISTER, BAUDRATES[baudrate]),
    ]


def make_frame(kind: int, x: float, y: float, z: float, temperature_c: float = 25.0) -> bytes:
    """Return the frame a sensor sends for a value in m/s2 or degrees/s, held at the ends of its range."""
    scale = AXES[kind][0]
    raw = [max(-FULL_SCALE, min(FULL_SCALE - 1, round(value / scale))) for value in (x, y, z)]
    frame = FRAME.pack(HEADER, kind, *raw, round(temperature_c * 100), 0)
    return frame[:-1] + bytes([sum(frame) & 0xFF])


def _command(register: int, value: int) -> bytes:
    return bytes([0xFF, 0xAA, register, value & 0xFF, value >> 8])


def _is_frame(data: bytes, at: int) -> bool:
    frame = data[at : at + FRAME.size]
    return frame[0] == HEADER and frame[1] in KINDS and sum(frame[:-1]) & 0xFF == frame[-1]


def _next_header(data: bytes, at: int) -> int:
    found = data.find(HEADER, at)
    return len(data) if found < 0 else found
