"""Saving a model by a process that dies by SIGKILL at its N-th change of a name: `python -m ... N MODEL DIR`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from pricing.model import load_model


def main(at: int, model: Path, folder: Path) -> None:
    """Put the model of one folder into another, and die in the middle."""
    replace, seen = Path.replace, 0

    def dying(path: Path, target: Path) -> Path:
        nonlocal seen
        seen += 1
        if seen == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)

    loaded = load_model(model)
    Path.replace = dying  # type: ignore[method-assign, assignment]
    loaded.save(folder, replace=True)
    sys.exit(f"only {seen} changes of names")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
