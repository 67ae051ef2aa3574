"""A recording that is being made: readable up to the last few seconds, whenever it is cut off.

What is written out together is a zstd frame of its own with its own checksum, so that a power cut in the middle of a
write is told from data.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import zstandard

from device.contract.errors import RecordingError
from device.contract.frames import LENGTH, RecordingHead, head_frame, packed, to_frames
from device.contract.recording import MAGIC, PART_SUFFIX, ZSTD, sync_folder
from device.contract.signals import Reading


class RecordingWriter:
    """Writes a recording while it happens, under a name of its own until it is whole: when `with` ends without error.

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
        self._packer = zstandard.ZstdCompressor(compression_params=ZSTD)
        with self._one_line_errors():
            try:
                self._file = self._part.open("xb")
            except FileExistsError:
                fix = f"'ubi replay {self._part}' plays it; move it away to record again"
                raise RecordingError(str(self._part), f"a recording that was cut off lies here; {fix}") from None
            self._file.write(MAGIC)
            self._write_out(packed(head_frame(head)))

    def write(self, readings: Iterable[Reading]) -> None:
        """Add readings, strictly rising by `reading_order` and after all before them; they survive a power cut."""
        frames = b"".join(packed(frame) for frame in to_frames(readings))
        if frames:
            with self._one_line_errors():
                self._write_out(frames)

    def close(self) -> None:
        """End the recording and give it its name."""
        with self._one_line_errors():
            self._write_out(LENGTH.pack(0))
            self._file.close()
            self._part.replace(self._path)
            sync_folder(self._path.parent)

    def abandon(self) -> None:
        """Let go of the file as it is; it keeps the name of one that was cut off."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        if failure is None:
            self.close()
        else:
            self.abandon()

    def _write_out(self, data: bytes) -> None:
        self._file.write(self._packer.compress(data))
        self._file.flush()
        os.fsync(self._file.fileno())

    @contextmanager
    def _one_line_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RecordingError(str(self._part), f"cannot be written: {error.strerror}") from error
