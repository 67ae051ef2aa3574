"""The project's recording format: what a car said, reading by reading (`.ubirec`).

    magic, then one zstd stream of frames: head | readings of up to 60 s | ... | length 0, the end mark

A frame is a length and a `RecordingFrame` (wire.proto). Reading streams: one frame in memory, sizes checked before
memory is taken. Damage gives one RecordingError, where reading meets it: a checksum and the end mark tell of any.

A recording that is being made has the name of its file and `.part`. It is written out every few seconds, and after a
kill it can be read up to there: in a file of that name, and no other, the end mark may be missing.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import zstandard
from google.protobuf.message import DecodeError

from device.contract import wire_pb2 as pb
from device.contract.errors import RecordingError
from device.contract.frames import (
    FORMAT_VERSION,
    LENGTH,
    MAX_FRAME_BYTES,
    FrameError,
    RecordingHead,
    from_frame,
    head_frame,
    head_of,
    packed,
    quantised,
    reading_order,
    to_frames,
)
from device.contract.signals import Reading

__all__ = [
    "PART_SUFFIX",
    "SUFFIX",
    "RecordingHead",
    "is_recording",
    "open_recording",
    "quantised",
    "reading_order",
    "recording_sha256",
    "write_recording",
]

log = logging.getLogger(__name__)

SUFFIX: Final = ".ubirec"
PART_SUFFIX: Final = ".part"
MAGIC: Final = b"UBIREC1\n"
# Fixed: a recording's SHA-256 is its identity, and another level would give the same drive other bytes.
ZSTD: Final = zstandard.ZstdCompressionParameters.from_level(12, window_log=20, write_checksum=1)
MAX_WINDOW_BYTES: Final = 1 << 23
CHUNK_BYTES: Final = 65_536


class CutShortError(FrameError):
    """Not wrong, but not all there."""


def open_recording(path: Path | str) -> tuple[RecordingHead, Iterator[Reading]]:
    """Read the head now and the readings as they are asked for.

    Parameters
    ----------
    path : Path or str

    Returns
    -------
    head : RecordingHead
    readings : iterator of Reading
        Strictly rising by (t_ms, signal number). It holds the file open until it ends or is dropped.

    Raises
    ------
    RecordingError
        The file is missing, not a recording, or damaged; from the iterator as well, where reading meets the damage.
    """
    frames = _frames(str(path))
    first = next(frames, None)
    if first is None or not first.HasField("head"):
        raise RecordingError(str(path), "frame 1: no head; the recording is damaged")
    version = first.head.format_version
    if version != FORMAT_VERSION:
        raise RecordingError(str(path), f"format version {version}, known is {FORMAT_VERSION}; update ubi")
    return head_of(first.head), _readings(str(path), frames)


def write_recording(path: Path | str, head: RecordingHead, readings: Iterable[Reading]) -> None:
    """Write a recording whole or not at all. The same head, readings and zstd version give the same bytes.

    Parameters
    ----------
    path : Path or str
        Replaced in one step, once the new bytes are on the disk.
    head : RecordingHead
    readings : iterable of Reading
        Strictly rising by `reading_order`; consumed as a stream. Values are kept in quanta of their signal.

    Raises
    ------
    ContractError
        A reading is out of order, of an unknown signal or not plausible, or the head is over 1 MB.
    RecordingError
        The folder cannot be written.
    """
    target = Path(path)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            _write(file, head, readings)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise RecordingError(str(path), f"cannot be written: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


def is_recording(first_bytes: bytes) -> bool:
    """Tell whether a file that starts so is of this format."""
    return first_bytes.startswith(MAGIC)


def recording_sha256(path: Path | str) -> str:
    """Hex SHA-256 of a file's bytes: the identity of a recording, whatever its format.

    Raises
    ------
    RecordingError
        The file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RecordingError(str(path), f"cannot be read: {error.strerror}") from error


def _write(file: BinaryIO, head: RecordingHead, readings: Iterable[Reading]) -> None:
    file.write(MAGIC)
    packer = zstandard.ZstdCompressor(compression_params=ZSTD).compressobj()
    file.write(packer.compress(packed(head_frame(head))))
    file.writelines(packer.compress(packed(frame)) for frame in to_frames(readings))
    file.write(packer.compress(LENGTH.pack(0)) + packer.flush())


def _frames(path: str) -> Iterator[pb.RecordingFrame]:
    """Frames up to the end mark; whatever is wrong with the bytes is a RecordingError."""
    number, offset = 1, 0
    try:
        with Path(path).open("rb") as file:
            for data in _unpacked(file):
                yield pb.RecordingFrame.FromString(data)
                number, offset = number + 1, offset + LENGTH.size + len(data)
    except OSError as error:
        raise RecordingError(path, f"cannot be read: {error.strerror}") from error
    except CutShortError as error:
        if not path.endswith(PART_SUFFIX):
            raise _damaged(path, f"frame {number}, unpacked byte {offset}", error) from error
        log.warning("%s: cut off after %d frames; what was recorded before is read", path, number - 1)
    except (FrameError, DecodeError, zstandard.ZstdError) as error:
        raise _damaged(path, f"frame {number}, unpacked byte {offset}", error) from error


def _unpacked(file: BinaryIO) -> Iterator[bytes]:
    if not is_recording(file.read(len(MAGIC))):
        fault = "does not begin with UBIREC1; 'ubi replay import' makes recordings of other formats"
        raise RecordingError(str(file.name), fault)
    unpacker = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    is_part = str(file.name).endswith(PART_SUFFIX)
    stream: _Stream = _Whole(unpacker, file) if is_part else unpacker.stream_reader(file, read_across_frames=True)
    while size := LENGTH.unpack(_exactly(stream, LENGTH.size))[0]:
        if size > MAX_FRAME_BYTES:
            raise FrameError(f"{size} bytes long, at most {MAX_FRAME_BYTES}")
        yield _exactly(stream, size)
    if stream.read(1):
        raise FrameError("data after the end mark")


class _Stream(Protocol):
    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end."""


class _Whole:
    """Unpacks zstd frames that are whole and whose checksum fits; the first other one is the end."""

    def __init__(self, unpacker: zstandard.ZstdDecompressor, file: BinaryIO) -> None:
        self._unpacker, self._file = unpacker, file
        self._packed = self._unpacked = b""

    def read(self, size: int) -> bytes:
        while len(self._unpacked) < size and (frame := self._frame()):
            self._unpacked += frame
        data, self._unpacked = self._unpacked[:size], self._unpacked[size:]
        return data

    def _frame(self) -> bytes:
        frame, out = self._unpacker.decompressobj(), []
        try:
            while not frame.eof:
                chunk = self._packed or self._file.read(CHUNK_BYTES)
                if not chunk:
                    return b""
                out.append(frame.decompress(chunk))
                self._packed = frame.unused_data
        except zstandard.ZstdError:
            return b""
        return b"".join(out)


def _exactly(stream: _Stream, size: int) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise CutShortError("the file ends before its end mark")
    return data


def _readings(path: str, frames: Iterator[pb.RecordingFrame]) -> Iterator[Reading]:
    before = (-1, 0)
    for number, frame in enumerate(frames, start=2):
        try:
            batch = from_frame(frame)
        except FrameError as error:
            raise _damaged(path, f"frame {number}", error) from error
        if batch and reading_order(batch[0]) <= before:
            raise _damaged(path, f"frame {number}", "readings out of order")
        yield from batch
        before = reading_order(batch[-1]) if batch else before


def _damaged(path: str, where: str, fault: object) -> RecordingError:
    return RecordingError(path, f"{where}: {fault}; the recording is damaged, copy or import it again")


def sync_folder(folder: Path) -> None:
    """Let a new name in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
