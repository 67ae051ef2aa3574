"""A build's work on a Spark cluster: paths go to the executors, which run the same functions and write the same files.

No row passes through the JVM: Spark chooses machines, and runs a task again where one dies. Lake and output have to be
folders that every executor sees under the same path, and its Python has to have this release: see docs/spark.md.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from pyspark import SparkConf, SparkContext

from device.contract.errors import UbiError, UsageError
from features.engine import Engine, Result, Task
from features.units import code_id

INSTALL: Final = "install 'ubi[spark]' here and on every executor"
# One task uses one core; a larger machine runs more of them.
SETTINGS: Final = {"spark.executorEnv.POLARS_MAX_THREADS": "1", "spark.ui.showConsoleProgress": "false"}


CONNECT_WITHIN_S: Final = 10.0


class Refused(NamedTuple):
    """An error of ours on an executor: told as a result, so that Spark does not try again what cannot get better."""

    reason: str


@contextmanager
def spark_engine(master: str | None = None) -> Iterator[Engine]:
    """Connect to a cluster until the end.

    Parameters
    ----------
    master : str, optional
        Address of the cluster, as spark://HOST:7077; by default what Spark is configured for, else this machine.

    Raises
    ------
    UsageError
        If Java is missing, or nobody answers.
    """
    conf = SparkConf().setAppName("ubi features").setIfMissing("spark.master", "local[*]")
    for name, value in SETTINGS.items():
        conf.setIfMissing(name, value)
    if master is not None:
        conf.setMaster(master)
    address = conf.get("spark.master") or ""
    if address.startswith("spark://") and not any(map(_answers, address.removeprefix("spark://").split(","))):
        raise UsageError(f"no Spark at {address}: nobody answers; name the master with --spark-master")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # of the executors, too
    try:
        context = SparkContext(conf=conf)
    except Exception as error:  # Py4J raises what Java threw: no type of its own to name
        raise UsageError(f"no Spark at {address}: {_reason(error)}; Spark needs Java 17 or newer") from error
    try:
        yield lambda function, tasks: _run(context, function, tasks)
    finally:
        context.stop()


def _answers(address: str) -> bool:
    """Whether somebody listens at HOST:PORT: Spark itself would try for a minute."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), CONNECT_WITHIN_S):
            return True
    except (OSError, ValueError):
        return False


def _run(context: Any, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterable[Result]:
    if not tasks:
        return []
    job = context.parallelize(tasks, len(tasks)).map(_Checked(function, code_id()))
    try:
        results: list[Result | Refused] = job.collect()
    except Exception as error:
        raise UbiError(f"Spark gave up: {_reason(error)}") from error
    return [_taken(result) for result in results]


class _Checked:
    """The function as an executor calls it."""

    def __init__(self, function: Callable[[Task], Result], code: str) -> None:
        self._function, self._code = function, code

    def __call__(self, task: Any) -> Any:
        if code_id() != self._code:
            return Refused(f"an executor has another release or other libraries than this machine; {INSTALL}")
        try:
            return self._function(task)
        except UbiError as error:
            return Refused(str(error))


def _taken(result: Result | Refused) -> Result:
    if isinstance(result, Refused):
        raise UbiError(result.reason)
    for path in result.values() if isinstance(result, dict) else ():
        if isinstance(path, Path) and not path.is_file():
            raise UbiError(f"{path}: an executor wrote it and it is not here; --out has to be a folder that all share")
    return result


def _reason(error: Exception) -> str:
    """The line of a Java or Python trace that says what was wrong."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    causes = [line for line in lines if "Error:" in line or line.startswith("Caused by:")]
    reason = (causes or lines or [type(error).__name__])[-1]
    return f"{reason}; {INSTALL}" if "ModuleNotFoundError" in reason else reason
