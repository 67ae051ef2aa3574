"""Proves motion bodies sound, a whole segment at once: the fast twin of `wire.decode` for what cars send most.

It only ever says yes. A body laid out as our own encoder does it, with every value within its bounds, is proven; of all
others nothing is said, and `wire.decode` has the word. So no refusal is decided here, and none can differ.

    bodies joined to one array of bytes -> field by field, all bodies in step -> ranges of delta bytes
    -> running sums over all bytes -> least and largest of each range
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from device.contract import wire_pb2 as pb
from device.contract.bodies import BOUNDS, FIELD_BOUNDS
from device.contract.motion import COLUMNS

_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]
_Sums = npt.NDArray[np.signedinteger[Any]]

_VARINT, _BYTES = 0, 2  # wire types
_NUMBERS: Final = ("trip_seq", "first_t_ms", "count")
_FIELDS: Final = pb.Motion.DESCRIPTOR.fields_by_name
_PARTS: Final = pb.Column.DESCRIPTOR.fields_by_name
_LOW: Final = np.array([BOUNDS[name][0] for name in COLUMNS])
_HIGH: Final = np.array([BOUNDS[name][1] for name in COLUMNS])
_NEVER_NULL: Final = COLUMNS.index("quality")
_PADDING: Final = 16  # a number that runs over the end of the last body stays in the array
_GROUPS: Final = 8  # of seven bits in a number: 56 bits hold every bound

# A delta's zigzag form is cut into groups of seven bits, least first. The first group gives half of it and the sign;
# each further group adds to the size. So every byte has an addend of its own, and between two whole deltas the running
# sum lies between theirs: the least and largest of all bytes are those of the values.
_FIRST_GROUP: Final = np.array([(b & 127) >> 1 ^ -(b & 1) for b in range(256)], dtype=np.int32)


class Proof(NamedTuple):
    """Of each body: whether it is proven sound, and its trip_seq where it is. Shapes (bodies,)."""

    sound: _Bools
    trip_seq: _Ints


class Samples(NamedTuple):
    """What sound bodies hold. `first_t_ms` and `counts` have shape (bodies,); `columns` has values and validity by
    name, all bodies behind one another, shape (samples,) each.
    """

    first_t_ms: _Ints
    counts: _Ints
    columns: dict[str, tuple[npt.NDArray[np.int32], _Bools]]


def prove_motion(bodies: Sequence[bytes]) -> Proof:
    """Prove what can be proven of motion bodies (decompressed, protobuf).

    Parameters
    ----------
    bodies : sequence of bytes
    """
    read = _read(bodies)
    return Proof(read.sound, read.numbers["trip_seq"])


def unpack_motion(bodies: Sequence[bytes]) -> tuple[_Bools, Samples]:
    """Read motion bodies; whether each could be proven, shape (bodies,), and the samples of those that could."""
    read = _read(bodies)
    chosen = np.flatnonzero(read.sound)
    count = read.numbers["count"][chosen]
    place = np.full(read.sound.size, -1)
    place[chosen] = np.arange(chosen.size)
    columns = {name: _values(read, number, place, count) for number, name in enumerate(COLUMNS)}
    return read.sound, Samples(read.numbers["first_t_ms"][chosen], count, columns)


class _Read(NamedTuple):
    """Bodies read: numbers and soundness by body; and of each column with values its body, its number, where its runs
    and deltas lie, how many deltas it has, and the running sums over all bytes.
    """

    content: bytes
    sound: _Bools
    numbers: dict[str, _Ints]
    body: _Ints
    column: _Ints
    runs: _Ints
    deltas: _Ints
    number: _Ints
    sums: _Sums


def _read(bodies: Sequence[bytes]) -> _Read:
    reader = _Reader(bodies)
    numbers = {}
    for name in _NUMBERS:
        numbers[name] = reader.number(_FIELDS[name].number)
        low, high = FIELD_BOUNDS[name]
        reader.sound &= (low <= numbers[name]) & (numbers[name] <= high)
    spans = [reader.column(_FIELDS[name].number) for name in COLUMNS]
    reader.sound &= reader.at == reader.ends
    runs, deltas = (np.stack([span[part] for span in spans], axis=1) for part in (0, 1))
    with_runs, with_deltas = runs[..., 0] < runs[..., 1], deltas[..., 0] < deltas[..., 1]
    sound = with_deltas | ~with_runs
    sound[:, _NEVER_NULL] = with_deltas[:, _NEVER_NULL]
    body, column = np.nonzero(with_deltas)
    runs, deltas = runs[body, column], deltas[body, column]
    sums, number, fits = _summed(reader.bytes, deltas, column)
    cut = runs[:, 0] < runs[:, 1]
    fits &= cut | (number == numbers["count"][body])
    for index in np.flatnonzero(cut & fits):
        valid, null = (sum(part) for part in _runs(reader.content, runs[index]))
        fits[index] = valid == number[index] and valid + null == numbers["count"][body[index]]
        fits[index] &= column[index] != _NEVER_NULL
    sound[body, column] = fits
    return _Read(reader.content, reader.sound & sound.all(axis=1), numbers, body, column, runs, deltas, number, sums)


def _values(read: _Read, column: int, place: _Ints, count: _Ints) -> tuple[npt.NDArray[np.int32], _Bools]:
    """Values and validity of a column of all sound bodies; `place` is the number of each among these, or -1."""
    mine = np.flatnonzero((read.column == column) & (place[read.body] >= 0))
    body, number, first = place[read.body[mine]], read.number[mine], read.deltas[mine, 0]
    length = read.deltas[mine, 1] - first
    at = np.arange(length.sum()) + np.repeat(first - np.cumsum(length) + length, length)
    if at.size > number.sum():
        at = at[np.frombuffer(read.content, np.uint8)[at] <= 127]  # the last byte of each delta
    values = (read.sums[at] - np.repeat(read.sums[first - 1], number)).astype(np.int32)
    present = np.zeros(count.size, dtype=np.bool_)
    present[body] = True
    valid = np.repeat(present, count)
    start = np.cumsum(count) - count
    for index in np.flatnonzero(number < count[body]):
        span, of = mine[index], body[index]
        runs = np.ravel(list(zip_longest(*_runs(read.content, read.runs[span]), fillvalue=0)))
        valid[start[of] : start[of] + count[of]] = np.repeat(np.arange(runs.size) % 2 == 0, runs)
    if values.size == valid.size:
        return values, valid
    spread = np.zeros(valid.size, dtype=np.int32)
    spread[valid] = values
    return spread, valid


class _Reader:
    """All bodies, each at the same field. Where one is not as expected, `sound` falls and it is read on as it comes."""

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self.content = b"".join([*bodies, bytes(_PADDING)])
        self.bytes = np.frombuffer(self.content, dtype=np.uint8)
        self.ends: _Ints = np.cumsum(np.fromiter(map(len, bodies), np.int64, len(bodies)))
        self.at: _Ints = np.concatenate([np.zeros(1, np.int64), self.ends[:-1]]) if bodies else self.ends
        self.sound: _Bools = np.ones(len(bodies), dtype=np.bool_)

    def number(self, field: int) -> _Ints:
        """Value of a varint field, 0 where it is absent."""
        here = self._tag(field, _VARINT, self.ends)
        return self._varint(here)

    def column(self, field: int) -> tuple[_Ints, _Ints]:
        """Where a column's runs and deltas lie, shape (bodies, 2) each: first byte and the one after the last."""
        end = self._inside(self._tag(field, _BYTES, self.ends), self.ends)
        spans = []
        for part in ("runs", "deltas"):
            first_end = self._inside(self._tag(_PARTS[part].number, _BYTES, end), end)
            spans.append(np.stack([self.at, first_end], axis=1))
            self.at = first_end
        self.sound &= self.at == end
        return spans[0], spans[1]

    def _tag(self, field: int, kind: int, limit: _Ints) -> _Bools:
        here: _Bools = (self.at < limit) & (self.bytes[self.at] == field << 3 | kind)
        self.at = self.at + here
        return here

    def _inside(self, here: _Bools, limit: _Ints) -> _Ints:
        """End of a part that has its length in front; a length beyond the limit is cut, and not sound."""
        length = self._varint(here)
        self.at = np.minimum(self.at, limit)
        end = self.at + length
        self.sound &= end <= limit
        return np.asarray(np.minimum(end, limit))

    def _varint(self, here: _Bools) -> _Ints:
        value = np.zeros(self.at.size, dtype=np.int64)
        more = here
        for group in range(_GROUPS):
            byte = self.bytes[np.minimum(self.at, self.bytes.size - 1)].astype(np.int64)
            value += np.where(more, (byte & 127) << 7 * group, 0)
            self.at = self.at + more
            more = more & (byte > 127)
            if not more.any():
                return value
        self.sound &= ~more
        return value


def _summed(content: npt.NDArray[np.uint8], deltas: _Ints, column: _Ints) -> tuple[_Sums, _Ints, _Bools]:
    """Running sums over all bytes; of each range of delta bytes their number, and whether they are within bounds."""
    open_bytes = np.flatnonzero(content > 127)  # a further group follows
    addends = _FIRST_GROUP.take(content, out=_WORK.room(content.size), mode="clip")
    continues = content[open_bytes - 1] > 127  # of the first byte of all it may be wrong: a tag, in no range
    second = open_bytes[~continues]
    deep = open_bytes[continues]
    third = content[deep - 2] <= 127
    for at, start, shift in ((second, second, 6), (deep, deep - 1, 13)):
        sign = np.where(content[start] & 1, -1, 1)
        addends[at + 1] = sign * ((content[at + 1] & 127).astype(np.int32) << shift)
    small = 64 * content.size + (127 << 13) * open_bytes.size < 2**31  # whatever the bytes
    sums: _Sums = np.cumsum(addends, out=addends) if small else np.cumsum(addends, dtype=np.int64)
    if not column.size:
        return sums, column, np.ones(0, dtype=np.bool_)
    first, end = deltas.T
    base, edges = sums[first - 1], deltas.ravel()
    fits = (_LOW[column] <= np.minimum.reduceat(sums, edges)[::2] - base) & (content[end - 1] <= 127)
    fits &= np.maximum.reduceat(sums, edges)[::2] - base <= _HIGH[column]
    too_deep = deep[~third]  # the fourth group and on: larger than any bound allows
    at = np.searchsorted(first, too_deep, side="right") - 1
    inside = (at >= 0) & (too_deep < end[at])
    fits[at[inside]] = False
    number = end - first - (np.searchsorted(open_bytes, end) - np.searchsorted(open_bytes, first))
    return sums, number, fits


class _Work(threading.local):
    """Memory for the running sums, kept: asking the system for it each time takes longer than the sums."""

    def __init__(self) -> None:
        self._array = np.empty(0, dtype=np.int32)

    def room(self, size: int) -> npt.NDArray[np.int32]:
        if self._array.size < size:
            self._array = np.empty(size, dtype=np.int32)
        return self._array[:size]


_WORK: Final = _Work()


def _runs(content: bytes, span: _Ints) -> tuple[list[int], list[int]]:
    """Lengths of the runs of valid and of null cells; one valid of -1 where they cannot be read."""
    lengths: list[int] = []
    value = shift = 0
    for byte in content[span[0] : span[1]]:
        value |= (byte & 127) << shift
        if byte > 127:
            shift += 7
            if shift > 21:
                return [-1], []
            continue
        lengths.append(value)
        value = shift = 0
    return (lengths[::2], lengths[1::2]) if not shift else ([-1], [])
