"""Where the work of a build is done: a function over tasks, files in and files out, here or on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Runs a function over tasks and gives the results in the order of the tasks.

    Tasks and results are small: names of files that every machine sees, never rows. A task may run twice, also at the
    same time: what it writes does not depend on that.
    """

    def __call__(self, function: Callable[[Task], Result], tasks: Sequence[Task], /) -> Iterable[Result]:
        """Results of `function`, in order."""
        ...


def here(function: Callable[[Task], Result], tasks: Sequence[Task], /) -> Iterable[Result]:
    """Do one task after the other on this machine; Polars uses its cores."""
    return map(function, tasks)
