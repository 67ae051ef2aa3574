"""What benchmarks measure with: CPU and wall time, memory of a process, medians, and a fresh process to measure in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

from tests.bench.row import Row

T = TypeVar("T")
ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("UBI_SHARED_DATA", ROOT.parent / "shared" / "data"))
KB_PER_MB = 1_024
CHILD_WITHIN_S = 120.0


class Used(NamedTuple):
    """What some work took; `cpu_s` of all threads of this process."""

    cpu_s: float
    wall_s: float


def used(work: Callable[[], T]) -> tuple[T, Used]:
    """Do some work; its result and what it took."""
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    result = work()
    return result, Used(time.process_time() - cpu_s, time.perf_counter() - wall_s)


def cpu_s(pid: int) -> float:
    """CPU seconds that a running process has used, in ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def ahead_of_others(*pids: int) -> Iterator[None]:
    """Let some processes run before all other work of the machine, where UBI_BENCH_REALTIME is set (as root).

    For wall time on a machine that others use; at most for some seconds, as nobody else gets a turn.
    """
    if not os.environ.get("UBI_BENCH_REALTIME"):
        yield
        return
    _schedule(pids, os.SCHED_RR, 1)
    try:
        yield
    finally:
        _schedule(pids, os.SCHED_OTHER, 0)


def _schedule(pids: Iterable[int], policy: int, priority: int) -> None:
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*"):
            with suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))


def memory_mb(pid: int | str = "self", which: str = "VmHWM") -> float:
    """Memory of a process: its peak (VmHWM) or what it holds now (VmRSS).

    Not ru_maxrss: that of a child starts with what its parent held when it was forked.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{which}:"):
            return int(line.split()[1]) / KB_PER_MB
    raise RuntimeError(f"/proc/{pid}/status has no {which}")


def in_child(
    module: str, *arguments: object, env: Mapping[str, str] | None = None, within_s: float = CHILD_WITHIN_S
) -> dict[str, Any]:
    """Run `python -m module arguments` and return the JSON object it prints: a process that holds nothing else."""
    told = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | dict(env or {}),
        stdout=subprocess.PIPE,
        check=True,
        timeout=within_s,
    ).stdout
    answer: dict[str, Any] = json.loads(told)
    return answer


def measured(name: str, values: Sequence[float], unit: str, anchors: Sequence[float] | None = None) -> Row:
    """Row of a number that no goal judges: median and spread over the repeats."""
    return Row(name, median(values), unit, spread(values), None if anchors is None else median(anchors))


def against(
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    unit: str,
    goal: str | None = None,
    meets: Callable[[float], bool] | None = None,
) -> Row:
    """Row of a ratio, taken repeat by repeat; the anchor is 1 by definition."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    return judged(name, ratios, unit, goal, meets)._replace(anchor=1.0)


def judged(
    name: str,
    values: Sequence[float],
    unit: str,
    goal: str | None = None,
    meets: Callable[[float], bool] | None = None,
) -> Row:
    """Row of a number that a goal judges, if there is one, by its median."""
    value = median(values)
    return Row(name, value, unit, spread(values), None, goal, None if meets is None else meets(value))


def spread(values: Sequence[float]) -> float:
    """Half the range."""
    return (max(values) - min(values)) / 2
