"""Making parts, with a wait in the middle of the job, so that a test can kill who does it: executors import this."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from features.build import Made, UnitTask, make_parts


class HeldUp:
    """Leaves a sign in the folder (process, part), waits while `go` is not there, then makes the part."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, task: UnitTask) -> Made:
        (self.folder / f"{os.getpid()}-{task.unit.place}-{os.urandom(4).hex()}.started").touch()
        while not (self.folder / "go").exists():
            signal.sigtimedwait([], 0.05)
        return make_parts(task)
