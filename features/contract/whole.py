"""Tables of one build: a reader that needs several of them asks first.

A build gives its four tables their names one after the other. While it does so, a file stands beside them; if the
build dies there, the file stays until the next build has put all four in place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from device.contract.errors import TryAgainError

UNFINISHED: Final = "unfinished.txt"
TOLD: Final = """\
A build is putting its tables in place here, or died while it did: they may be of two builds.
If this file stays, run 'ubi features build' again.
"""


def check_whole(folder: Path) -> None:
    """Refuse a folder whose tables may be of two builds.

    Raises
    ------
    TryAgainError
        While a build puts its tables in place, and after one died there.
    """
    if (folder / UNFINISHED).exists():
        raise TryAgainError(
            f"{folder}: its tables may be of two builds, one was putting them in place; try again in a moment, and if "
            "this stays, run 'ubi features build' again"
        )
