"""What can be wrong with pricing's inputs. Each is one line that names the file, the row or key, and the fix.

UbiError
+-- PortfolioError   a policies, claims or previous-factors file
+-- PlanError        the plan (exit 2)
+-- ModelError       a model folder, or a training that cannot succeed
+-- BalanceError     no base factor balances the book; carries the shortfall
"""

from __future__ import annotations

from typing import ClassVar

from device.contract.errors import UbiError


class PortfolioError(UbiError):
    """A table that cannot be used.

    Attributes
    ----------
    path : str
        File as the user named it.
    row : int or None
        1-based data row (a CSV's header is not counted).
    column : str or None
        Column of the wrong value.
    """

    def __init__(self, path: object, message: str, row: int | None = None, column: str | None = None) -> None:
        self.path = str(path)
        self.row = row
        self.column = column
        where = [self.path]
        if row is not None:
            where.append(f"row {row}")
        if column is not None:
            where.append(f"column {column}")
        super().__init__(f"{', '.join(where)}: {message}")


class PlanError(UbiError):
    """A key of the plan is unknown or has a value that means nothing."""

    exit_code: ClassVar[int] = 2


class ModelError(UbiError):
    """A model that cannot be read, or cannot be trained on what was given."""


class BalanceError(UbiError):
    """No base factor gives the book its total back.

    Attributes
    ----------
    shortfall : float
        Relative: what is missing (negative) or too much (positive) at the nearest end.
    """

    def __init__(self, message: str, shortfall: float) -> None:
        self.shortfall = shortfall
        super().__init__(message)
