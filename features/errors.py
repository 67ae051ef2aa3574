"""What can be wrong with what `ubi features` is given."""

from __future__ import annotations

from pathlib import Path

from device.contract.errors import UbiError


class PoliciesError(UbiError):
    """A policies file that cannot be used.

    Attributes
    ----------
    path : pathlib.Path
    column : str or None
    row : int or None
        1-based, the header not counted.
    """

    def __init__(self, path: Path, message: str, column: str | None = None, row: int | None = None) -> None:
        self.path = path
        self.column = column
        self.row = row
        where = "".join((f", row {row}" if row is not None else "", f", column {column}" if column else ""))
        super().__init__(f"{path}{where}: {message}")


class RulesError(UbiError):
    """Event rules that cannot be used; the message names the file."""
