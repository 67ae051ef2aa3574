"""A WT901 that plays a recording: its readings as frames of the sensor's protocol, on a pseudo-terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from device.contract.signals import Reading
from device.sources.wt901 import ACCELERATION, ANGULAR_VELOCITY, AXES, G_MPS2, make_frame
from replay_data.pseudo_terminal import PlayClock, PlayedSensor

IDLE_MS: Final = 100


def played_imu(readings: Iterable[Reading], clock: PlayClock | None = None) -> PlayedSensor:
    """Return the IMU of a recording, to be entered as a context; until the clock starts it lies still, z up.

    Parameters
    ----------
    readings : iterable of Reading
        By time; other signals are passed over.
    clock : PlayClock, optional
    """
    return PlayedSensor("imu", to_wt901(readings), idle=at_rest(), idle_ms=IDLE_MS, clock=clock)


def to_wt901(readings: Iterable[Reading]) -> Iterator[tuple[int, bytes]]:
    """Yield time and frames of each sample: those of its axes that are there whole."""
    known = {name for _, names in AXES.values() for name in names}
    for t_ms, group in groupby((r for r in readings if r.signal in known), key=lambda r: r.t_ms):
        told = {r.signal: r.value for r in group}
        frames = b""
        for kind, (_, names) in AXES.items():
            axes = [value for name in names if (value := told.get(name)) is not None]
            if len(axes) == len(names):
                frames += make_frame(kind, *axes)
        if frames:
            yield t_ms, frames


def at_rest() -> bytes:
    """Return a sample of a sensor that lies still."""
    return make_frame(ACCELERATION, 0, 0, G_MPS2) + make_frame(ANGULAR_VELOCITY, 0, 0, 0)
