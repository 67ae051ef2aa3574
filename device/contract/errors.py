"""The exception tree of ubi. Every error is one clear line: what is wrong, where, and what to do next.

    UbiError                 exit 1   a domain error: the input was understood and cannot be used
    +-- UsageError           exit 2   the command or a setting is wrong
    +-- TryAgainError        exit 75  nothing is wrong with the input: the same call may work later
    |   +-- DiskError                 the disk takes nothing now: full, read-only, failing
    +-- DamagedError         exit 1   a file that this program wrote is not what it wrote any more
    +-- RecordingError       exit 1   a recording cannot be read
    +-- ContractError        exit 1   bytes or values outside the contract (a bug or a foreign writer)

Bytes from the network never raise: `device.contract.wire.decode` answers with a `Reject`.
"""

from __future__ import annotations

from typing import ClassVar


class UbiError(Exception):
    """Base of all errors that a command reports in one line; `exit_code` is the process's exit status."""

    exit_code: ClassVar[int] = 1


class UsageError(UbiError):
    """The command line, a configuration key or an environment variable is wrong."""

    exit_code: ClassVar[int] = 2


class TryAgainError(UbiError):
    """A transient condition, such as a broker that does not answer."""

    exit_code: ClassVar[int] = 75


class DiskError(TryAgainError):
    """The disk takes nothing now: it is full, read-only or failing. What was to be written was not."""


class DamagedError(UbiError):
    """A file that this program wrote is not what it wrote any more: bad sectors, or another program wrote to it."""


class RecordingError(UbiError):
    """A recording that cannot be read.

    Attributes
    ----------
    path : str
        File as the user named it.
    line : int or None
        1-based line where reading stopped, if the format has lines.
    """

    def __init__(self, path: str, message: str, line: int | None = None) -> None:
        self.path = path
        self.line = line
        where = f"{path}:{line}" if line is not None else path
        super().__init__(f"{where}: {message}")


class ContractError(UbiError):
    """A value that the contract does not allow, found where this program wrote or configured it."""
