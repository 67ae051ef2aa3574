"""`ubi features build` that dies by SIGKILL at its N-th write: `python -m tests.features.killed_build N OPTIONS...`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import ubi


def main(at: int, arguments: list[str]) -> int:
    """Run the command, and die in the middle of the N-th change of a name."""
    replace, seen = Path.replace, 0

    def dying(path: Path, target: Path) -> Path:
        nonlocal seen
        seen += 1
        if seen == at:
            os.truncate(path, path.stat().st_size // 2)  # what was not synced may be lost
            replace(path, target)
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)

    Path.replace = dying  # type: ignore[method-assign, assignment]
    return ubi.main(["features", "build", *arguments])


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
