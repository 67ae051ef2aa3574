"""Run `ubi replay` with a message for every few seconds of driving, so that a kill rarely falls between messages.

python -m tests.faults.chatty FILE ...
"""

from __future__ import annotations

import sys
from pathlib import Path

import ubi
from replay_data import player, recording

BATCH_MS = 5_000
COMMIT_MS = 5_000
RESEND_MS = 2_000


def main() -> int:
    recording.BATCH_MS, recording.COMMIT_MS = BATCH_MS, COMMIT_MS
    player.RESEND_MS = RESEND_MS  # type: ignore[misc]
    unlink = Path.unlink

    def unlink_others(path: Path, missing_ok: bool = False) -> None:
        if path.suffix != ".outbox":
            unlink(path, missing_ok)

    Path.unlink = unlink_others  # type: ignore[assignment,method-assign]
    return ubi.main(["replay", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
