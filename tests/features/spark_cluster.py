"""A real Spark cluster on this machine: a standalone master and two workers, each a process, with a core each."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0
MASTER = "org.apache.spark.deploy.master.Master"
WORKER = "org.apache.spark.deploy.worker.Worker"
EXECUTOR = "CoarseGrainedExecutorBackend"


def missing() -> str | None:
    """Why there can be no cluster here; None if there can."""
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed here; run: make spark"
    return None if shutil.which("java") else "Java is not installed; Spark needs 17 or newer, then run: make spark"


class Cluster:
    """Master and workers; their logs lie in the folder."""

    def __init__(self, folder: Path, port: int, workers: int = 2) -> None:
        self.folder = folder
        self.url = f"spark://127.0.0.1:{port}"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._start("master", MASTER, "--host", "127.0.0.1", "--port", str(port), "--webui-port", "0")
        self._wait_for_line("master", "I have been elected leader")
        for number in range(workers):
            name = f"worker-{number}"
            options = ("--host", "127.0.0.1", "--cores", "1", "--memory", "1g", "--webui-port", "0")
            self._start(name, WORKER, *options, "--work-dir", str(folder / name), self.url)
        for number in range(workers):
            self._wait_for_line(f"worker-{number}", "Successfully registered with master")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()

    def _start(self, name: str, java_class: str, *options: str) -> None:
        import pyspark

        home = Path(pyspark.__file__).parent
        environment = os.environ | {
            "SPARK_HOME": str(home),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            "SPARK_NO_DAEMONIZE": "1",
        }
        command = [str(home / "bin" / "spark-class"), java_class, *options]
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=self.folder)
            )

    def _wait_for_line(self, name: str, text: str) -> None:
        log = self.folder / f"{name}.log"
        wait_for(lambda: text in log.read_text(errors="replace"), f"{name}: {text}")


def executor_of(pid: int) -> int:
    """The executor that a Python worker works for: the next Java process above it."""
    while EXECUTOR.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes():
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        assert pid > 1, "no executor above it"
    return pid


def wait_for(condition, what: str, within_s: float = PATIENCE_S) -> None:
    """Poll until a condition holds; fail when it does not in time."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, f"waited too long for {what}"
        signal.sigtimedwait([], 0.05)
