"""Frames of a recording: readings to `RecordingFrame` messages and back. Pure; recording.py has the file."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate, islice, pairwise, repeat
from operator import itemgetter, lt
from typing import Final

from device.contract import wire_pb2 as pb
from device.contract.errors import ContractError
from device.contract.signals import BY_NAME, BY_NUMBER, Reading, Signal

FORMAT_VERSION: Final = 1
MAX_FRAME_BYTES: Final = 1_048_576  # 20,000 readings at their worst take half of it
LENGTH: Final = struct.Struct("<I")
FRAME_MS: Final = 60_000  # bounds what a reader holds in memory
MAX_FRAME_READINGS: Final = 20_000  # one minute at 300 readings a second
MAX_TIME_MS: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class RecordingHead:
    """What is known of a recording beside its readings.

    Attributes
    ----------
    source : str
        Importer or recorder, such as "kit-obd2" or "simulated".
    original : str
        Base name of the file it was made from; empty if there was none.
    vehicle : str
        Make and model where known; never a registration.
    driver : str
        Label of the driver where the source tells it.
    started_at_ms : int or None
        UTC in ms since 1970 at `t_ms` = 0.
    utc_offset_min : int or None
        Local time minus UTC, minutes.
    repairs : mapping of str to int
        What the importer repaired or left out, counted.
    notes : mapping of str to str
        Labels of the source, such as the route.
    """

    source: str
    original: str = ""
    vehicle: str = ""
    driver: str = ""
    started_at_ms: int | None = None
    utc_offset_min: int | None = None
    repairs: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)


class FrameError(Exception):
    """What is wrong with the content of a frame that was read."""


def to_frames(readings: Iterable[Reading]) -> Iterator[pb.RecordingFrame]:
    """Pack readings into frames of at most FRAME_MS and MAX_FRAME_READINGS.

    Parameters
    ----------
    readings : iterable of Reading
        Strictly rising by `reading_order`; consumed as a stream.

    Raises
    ------
    ContractError
        A reading is out of order, of an unknown signal, or not plausible (outside the signal's bounds).
    """
    batch: list[Reading] = []
    before = (-1, 0)
    for reading in readings:
        order = _checked_order(reading)
        if order <= before:
            t_ms, number = before
            raise ContractError(f"{reading} comes after {t_ms} ms, signal {number}; sort by reading_order")
        before = order
        full = len(batch) == MAX_FRAME_READINGS
        if batch and (full or reading.t_ms // FRAME_MS != batch[0].t_ms // FRAME_MS):
            yield _frame(batch)
            batch = []
        batch.append(reading)
    if batch:
        yield _frame(batch)


def packed(frame: pb.RecordingFrame) -> bytes:
    """Length and bytes of a frame.

    Raises
    ------
    ContractError
        It is over MAX_FRAME_BYTES.
    """
    data = frame.SerializeToString(deterministic=True)
    if len(data) > MAX_FRAME_BYTES:
        raise ContractError(f"a frame of {len(data)} bytes is over {MAX_FRAME_BYTES}; shorten the head")
    return LENGTH.pack(len(data)) + data


def head_frame(head: RecordingHead) -> pb.RecordingFrame:
    """The frame of a head."""
    message = pb.RecordingHead(
        format_version=FORMAT_VERSION,
        vehicle=head.vehicle,
        source=head.source,
        original=head.original,
        started_at_ms=head.started_at_ms,
        utc_offset_min=head.utc_offset_min,
        driver=head.driver,
        repairs=head.repairs,
        notes=head.notes,
    )
    return pb.RecordingFrame(head=message)


def head_of(message: pb.RecordingHead) -> RecordingHead:
    """Head of its message."""
    return RecordingHead(
        source=message.source,
        original=message.original,
        vehicle=message.vehicle,
        driver=message.driver,
        started_at_ms=message.started_at_ms if message.HasField("started_at_ms") else None,
        utc_offset_min=message.utc_offset_min if message.HasField("utc_offset_min") else None,
        repairs=dict(message.repairs),
        notes=dict(message.notes),
    )


def from_frame(frame: pb.RecordingFrame) -> list[Reading]:
    """Readings of a frame by time and signal number.

    Raises
    ------
    FrameError
        The content is not what `to_frames` writes.
    """
    if frame.HasField("head"):
        raise FrameError("a second head")
    if sum(len(block.times_ms) for block in frame.blocks) > MAX_FRAME_READINGS:
        raise FrameError(f"over {MAX_FRAME_READINGS} readings")
    if not _rises([block.signal for block in frame.blocks]):
        raise FrameError("the blocks of signals do not rise")
    readings = [reading for block in frame.blocks for reading in _unpacked(block)]
    readings.sort(key=itemgetter(0))  # by time; those of one time stay by signal number
    return readings


def reading_order(reading: Reading) -> tuple[int, int]:
    """Sort key of the readings of a recording: time, then signal number."""
    return reading.t_ms, BY_NAME[reading.signal].number


def quantised(signal: Signal, value: float) -> float:
    """The value a recording keeps of `value`: the nearest step of the signal, in the signal's unit."""
    return _to_steps(signal, value) / _steps_per_unit(signal)


def _to_steps(signal: Signal, value: float) -> int:
    return round(value * _steps_per_unit(signal))


def _steps_per_unit(signal: Signal) -> int:
    return round(1 / signal.quantum)  # a divisor: 5321 / 100 is 53.21, 5321 * 0.01 is not


def _checked_order(reading: Reading) -> tuple[int, int]:
    signal = BY_NAME.get(reading.signal)
    if signal is None:
        raise ContractError(f"{reading.signal!r} is not a signal; device.contract.signals lists them")
    if not 0 <= reading.t_ms <= MAX_TIME_MS:
        raise ContractError(f"{reading.signal} at {reading.t_ms} ms: times of a recording count from 0")
    if reading.value is not None and not signal.low <= reading.value <= signal.high:
        place = f"{reading.signal} {reading.value} {signal.unit} at {reading.t_ms} ms"
        raise ContractError(f"{place} is not plausible; record a null instead")
    return reading.t_ms, signal.number


def _frame(batch: list[Reading]) -> pb.RecordingFrame:
    by_signal: dict[int, list[Reading]] = {}
    for reading in batch:
        by_signal.setdefault(BY_NAME[reading.signal].number, []).append(reading)
    return pb.RecordingFrame(blocks=[_packed(number, by_signal[number]) for number in sorted(by_signal)])


def _packed(number: int, readings: list[Reading]) -> pb.SignalBlock:
    signal = BY_NUMBER[number]
    return pb.SignalBlock(
        signal=number,
        times_ms=_deltas([r.t_ms for r in readings]),
        nulls=_deltas([position for position, r in enumerate(readings) if r.value is None]),
        values=_deltas([_to_steps(signal, r.value) for r in readings if r.value is not None]),
    )


def _unpacked(block: pb.SignalBlock) -> Iterator[Reading]:
    signal = BY_NUMBER.get(block.signal)
    if signal is None:
        raise FrameError(f"signal {block.signal} is not known to this version of ubi")
    times_ms = list(accumulate(block.times_ms))
    nulls = list(accumulate(block.nulls))
    if not _rises(nulls, below=len(times_ms)) or len(block.values) != len(times_ms) - len(nulls):
        raise FrameError(f"the values of {signal.name} do not match their times")
    if not _rises(times_ms, below=MAX_TIME_MS + 1):
        raise FrameError(f"the times of {signal.name} do not rise")
    per_unit = _steps_per_unit(signal)
    values = [steps / per_unit for steps in accumulate(block.values)]
    for value in (min(values), max(values)) if values else ():
        if not signal.low <= value <= signal.high:
            raise FrameError(f"{signal.name} {value} {signal.unit} is not plausible")
    known = iter(values)
    missing = set(nulls)
    told = (None if position in missing else next(known) for position in range(len(times_ms))) if missing else known
    return map(Reading, times_ms, repeat(signal.name), told)


def _deltas(values: list[int]) -> list[int]:
    return [after - before for before, after in pairwise([0, *values])]


def _rises(values: list[int], below: float = math.inf) -> bool:
    return all(map(lt, values, islice(values, 1, None))) and (not values or values[-1] < below)
