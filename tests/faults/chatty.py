"""Run `ubi replay` with a message for every few seconds of driving, so that a kill rarely falls between messages.

python -m tests.faults.chatty FILE ...
"""

from __future__ import annotations

import sys

import ubi
from replay_data import player

BATCH_MS = 5_000
COMMIT_MS = 5_000
RESEND_MS = 2_000


def main() -> int:
    for name in ("BATCH_MS", "COMMIT_MS", "RESEND_MS"):
        setattr(player, name, globals()[name])
    return ubi.main(["replay", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
