"""Files that are no recording of a known format, and what to do about them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from replay_data.importers.table import header_keys


def _begins(*magics: bytes) -> Callable[[bytes], bool]:
    return lambda first_bytes: first_bytes.startswith(magics)


def _has_columns(*keys: str) -> Callable[[bytes], bool]:
    return lambda first_bytes: set(keys) <= set(header_keys(first_bytes))


# How it is known, what it is and what to do; the first that fits is told.
FOREIGN: Final[tuple[tuple[Callable[[bytes], bool], str], ...]] = (
    (_begins(b"\xff\xfe", b"\xfe\xff"), "is UTF-16 text; save it as UTF-8"),
    (_begins(b"PK\x03\x04"), "is a ZIP archive or a spreadsheet; unpack it, or save the sheet as CSV"),
    (_begins(b"\x1f\x8b"), "is compressed; unpack it with gunzip"),
    (_begins(b"\x28\xb5\x2f\xfd"), "is compressed; unpack it with unzstd"),
    (_begins(b"SQLite format 3"), "is an app's database; export the drive as CSV in the app"),
    (_begins(b"\x10CARSCANNERRECORD"), "is Car Scanner's own recording; export it as CSV in the app"),
    (_begins(b"\x93NUMPY"), "is one array of a recording in NumPy files; write its times and speeds as CSV"),
    (_begins(b"\x89HDF"), "is HDF5 or MATLAB; write its times and speeds as CSV"),
    (_begins(b"MDF ", b"UnFinMF"), "is an MDF log of a bus; export its frames as a candump log"),
    (_begins(b"\x0e\x10", b"\x0e\x20"), "is Garmin FIT; export the activity as GPX"),
    (lambda first: b"<TrainingCenterDatabase" in first, "is Garmin TCX; export the activity as GPX"),
    (lambda first: b"<kml" in first, "is KML, a drawing without times; export the track as GPX"),
    (
        _has_columns("evento", "inicio", "fim"),
        "holds labels, no readings; name acelerometro_terra.csv beside it",
    ),
    (lambda first: first.lstrip()[:1] in (b"{", b"["), "is JSON; export the drive as CSV or GPX"),
    (lambda first: b"<html" in first[:1_000].lower(), "is a web page; the download failed, fetch the file again"),
)
BINARY: Final = re.compile(rb"\x00")


def reason(first_bytes: bytes) -> str | None:
    """Why a file that begins so is no recording, and what to do; None where that is not known."""
    for fits, told in FOREIGN:
        if fits(first_bytes):
            return told
    return (
        "is binary and of no known format; export it as CSV or GPX where it was recorded"
        if BINARY.search(first_bytes)
        else None
    )
