"""Columns of integers as the wire carries them: runs of valid and null cells, and the deltas between valid ones."""

from __future__ import annotations

from collections.abc import Sequence

from device.contract import wire_pb2 as pb
from device.contract.errors import ContractError


def pack_column(column: pb.Column, values: Sequence[int | None]) -> None:
    """Write values as deltas; a column of nulls only stays absent (empty)."""
    if all(value is None for value in values):
        return
    previous, runs, valid = 0, [0], True
    deltas = []
    for value in values:
        if (value is not None) != valid:
            valid = not valid
            runs.append(0)
        runs[-1] += 1
        if value is not None:
            deltas.append(value - previous)
            previous = value
    column.deltas.extend(deltas)
    if len(runs) > 1:
        column.runs.extend(runs)


def unpack_column(column: pb.Column, count: int, bounds: tuple[int, int]) -> list[int | None]:
    """Read `count` values; every value must lie within `bounds`."""
    deltas, runs = column.deltas, column.runs
    if not deltas:
        if runs:
            raise ContractError("a column has runs but no values")
        return [None] * count
    if sum(runs[0::2]) != len(deltas) if runs else len(deltas) != count:
        raise ContractError("a column's runs do not match its values")
    if runs and sum(runs) != count:
        raise ContractError("a column's runs do not match the batch")
    low, high = bounds
    out: list[int | None] = []
    value, position = 0, 0
    for index, length in enumerate(runs or (count,)):
        if index % 2:
            out.extend([None] * length)
            continue
        for delta in deltas[position : position + length]:
            value += delta
            if not low <= value <= high:
                raise ContractError(f"a column value of {value} is outside {low} to {high}")
            out.append(value)
        position += length
    return out
