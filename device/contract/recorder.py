"""A recording that is being made: readable up to the last few seconds, whenever it is cut off."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import zstandard

from device.contract import wire_pb2 as pb
from device.contract.errors import RecordingError
from device.contract.frames import LENGTH, RecordingHead, head_frame, packed, to_frames
from device.contract.recording import MAGIC, PART_SUFFIX, ZSTD, sync_folder
from device.contract.signals import Reading


class RecordingWriter:
    """Writes a recording while it happens, under a name of its own until it is whole.

    Parameters
    ----------
    path : Path
        What it is called in the end.
    head : RecordingHead

    Raises
    ------
    RecordingError
        The file cannot be written, or one that was cut off lies there.
    """

    def __init__(self, path: Path, head: RecordingHead) -> None:
        self._path = path
        self._part = path.with_name(path.name + PART_SUFFIX)
        self._packer = zstandard.ZstdCompressor(compression_params=ZSTD).compressobj()
        with self._one_line_errors():
            try:
                self._file = self._part.open("xb")
            except FileExistsError:
                fix = f"'ubi replay {self._part}' plays it; move it away to record again"
                raise RecordingError(str(self._part), f"a recording that was cut off lies here; {fix}") from None
            self._file.write(MAGIC)
            self._add(head_frame(head))
        self.flush()

    def write(self, readings: Iterable[Reading]) -> None:
        """Add readings, strictly rising by `reading_order` and after all before them, in a frame of their own."""
        with self._one_line_errors():
            for frame in to_frames(readings):
                self._add(frame)

    def flush(self) -> None:
        """Let what was written survive a power cut."""
        with self._one_line_errors():
            self._file.write(self._packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """End the recording and give it its name."""
        with self._one_line_errors():
            self._file.write(self._packer.compress(LENGTH.pack(0)) + self._packer.flush())
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._path)
            sync_folder(self._path.parent)

    def _add(self, frame: pb.RecordingFrame) -> None:
        self._file.write(self._packer.compress(packed(frame)))

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RecordingError(str(self._part), f"cannot be written: {error.strerror}") from error
