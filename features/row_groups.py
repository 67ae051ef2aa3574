"""Join Parquet files of one schema without decoding them: their row groups one after the other, and one new footer.

    PAR1 | row groups of a | row groups of b | ... | footer: schema of a, row groups of all, moved | length | PAR1

What a file costs to add is what it costs to copy, and memory holds a piece of one file at a time. Footers are Thrift
structs in the compact protocol, read and written here as far as Parquet uses it.
Source: parquet-format, parquet.thrift and the "Compact protocol" of Apache Thrift.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from device.contract.errors import ContractError

MAGIC: Final = b"PAR1"
PIECE_BYTES: Final = 2**23  # copied at once
_TAIL_BYTES: Final = 8  # length of the footer, magic number
# Thrift's types in the compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12
# Field numbers of parquet.thrift.
_SCHEMA, _ROWS, _ROW_GROUPS = 2, 3, 4  # FileMetaData
_COLUMNS, _GROUP_OFFSET, _ORDINAL = 1, 5, 7  # RowGroup
_COLUMN_METADATA, _COLUMN_OFFSETS = 3, (2, 4, 6)  # ColumnChunk: itself (0 where a writer leaves it out), indexes
_PAGE_OFFSETS: Final = (9, 10, 11, 14)  # ColumnMetaData: data, index and dictionary page, bloom filter

# A struct is {field number: (type, value)}; a list is (type of its elements, elements).
Struct = dict[int, tuple[int, Any]]


def joined(empty: bytes, files: Iterable[bytes | Path]) -> Iterator[bytes]:
    """Bytes of one Parquet file with the rows of all, in pieces.

    Parameters
    ----------
    empty : bytes
        A Parquet file of the schema without rows.
    files : iterable of bytes or pathlib.Path
        Parquet files of that schema; by their path where they may be large.

    Raises
    ------
    ContractError
        If a file has another schema, or is not whole.
    """
    yield MAGIC
    _, footer = split(io.BytesIO(empty))
    rows, groups, position = 0, [], len(MAGIC)
    for content in files:
        with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as file:
            size, own = split(file)
            if own[_SCHEMA] != footer[_SCHEMA]:
                raise ContractError("Parquet files of different schemas cannot be joined")
            if not own[_ROWS][1]:
                continue
            groups += [_moved(group, position - len(MAGIC)) for group in own[_ROW_GROUPS][1][1]]
            rows += own[_ROWS][1]
            file.seek(len(MAGIC))
            for at in range(0, size, PIECE_BYTES):
                yield file.read(min(PIECE_BYTES, size - at))
            position += size
    changed = footer | {_ROWS: (_I64, rows), _ROW_GROUPS: (_LIST, (_STRUCT, groups))}
    end = bytearray()
    _write_struct(end, changed)
    yield bytes(end) + len(end).to_bytes(4, "little") + MAGIC


def split(file: BinaryIO) -> tuple[int, Struct]:
    """Length of the body of a Parquet file, between the magic number and the footer, and its footer."""
    head = file.read(len(MAGIC))
    file.seek(max(file.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
    tail = file.read()
    length = int.from_bytes(tail[: -len(MAGIC)], "little")
    start = file.tell() - _TAIL_BYTES - length
    if head != MAGIC or tail[-len(MAGIC) :] != MAGIC or start < len(MAGIC):
        raise ContractError("not a whole Parquet file")
    file.seek(start)
    footer, _ = _read_struct(file.read(length), 0)
    return start - len(MAGIC), footer


def _moved(group: Struct, by: int) -> Struct:
    """Row group that stands `by` bytes further; without its ordinal, which is optional."""
    moved = {field: value for field, value in group.items() if field != _ORDINAL}
    _move(moved, (_GROUP_OFFSET,), by)
    kind, (element, columns) = moved[_COLUMNS]
    moved[_COLUMNS] = (kind, (element, [_moved_column(column, by) for column in columns]))
    return moved


def _moved_column(column: Struct, by: int) -> Struct:
    moved = dict(column)
    _move(moved, _COLUMN_OFFSETS, by)
    kind, metadata = moved[_COLUMN_METADATA]
    metadata = dict(metadata)
    _move(metadata, _PAGE_OFFSETS, by)
    moved[_COLUMN_METADATA] = (kind, metadata)
    return moved


def _move(struct: Struct, fields: Iterable[int], by: int) -> None:
    for field in fields:
        kind, offset = struct.get(field, (_I64, 0))
        if offset:
            struct[field] = (kind, offset + by)


def _read_struct(data: bytes, at: int) -> tuple[Struct, int]:
    struct: Struct = {}
    field = 0
    while head := data[at]:
        at += 1
        kind = head & 0x0F
        if head >> 4:
            field += head >> 4
        else:
            field, at = _read_signed(data, at)
        if kind in (_TRUE, _FALSE):
            struct[field] = (_TRUE, kind == _TRUE)
        else:
            value, at = _read(data, at, kind)
            struct[field] = (kind, value)
    return struct, at + 1


def _read(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind in (_I16, _I32, _I64):
        return _read_signed(data, at)
    if kind == _STRUCT:
        return _read_struct(data, at)
    if kind == _BINARY:
        length, at = _read_varint(data, at)
        return data[at : at + length], at + length
    if kind in (_LIST, _SET):
        return _read_list(data, at)
    if kind in (_TRUE, _FALSE, _BYTE):  # a truth value in a list is a byte
        return data[at], at + 1
    if kind == _DOUBLE:
        return data[at : at + 8], at + 8
    raise ContractError(f"a Parquet footer with the Thrift type {kind}, which Parquet does not use")


def _read_list(data: bytes, at: int) -> tuple[tuple[int, list[Any]], int]:
    size, element = data[at] >> 4, data[at] & 0x0F
    at += 1
    if size == 15:
        size, at = _read_varint(data, at)
    values = []
    for _ in range(size):
        value, at = _read(data, at, element)
        values.append(value)
    return (element, values), at


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while data[at] & 0x80:
        value |= (data[at] & 0x7F) << shift
        shift += 7
        at += 1
    return value | data[at] << shift, at + 1


def _read_signed(data: bytes, at: int) -> tuple[int, int]:
    value, at = _read_varint(data, at)
    return value >> 1 ^ -(value & 1), at


def _write_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for field, (kind, value) in sorted(struct.items()):
        told = (_TRUE if value else _FALSE) if kind == _TRUE else kind
        if 0 < field - before <= 15:
            out.append(field - before << 4 | told)
        else:
            out.append(told)
            _write_signed(out, field)
        if kind != _TRUE:
            _write(out, kind, value)
        before = field
    out.append(0)


def _write(out: bytearray, kind: int, value: Any) -> None:
    if kind in (_I16, _I32, _I64):
        _write_signed(out, value)
    elif kind == _STRUCT:
        _write_struct(out, value)
    elif kind == _BINARY:
        _write_varint(out, len(value))
        out += value
    elif kind in (_LIST, _SET):
        element, values = value
        out.append(min(len(values), 15) << 4 | element)
        if len(values) >= 15:
            _write_varint(out, len(values))
        for each in values:
            _write(out, element, each)
    elif kind == _DOUBLE:
        out += value
    else:
        out.append(value)


def _write_varint(out: bytearray, value: int) -> None:
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _write_signed(out: bytearray, value: int) -> None:
    _write_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)
