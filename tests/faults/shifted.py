"""Run a `ubi` command whose wall clock is some days off.

    python -m tests.faults.shifted DAYS ingest run ...

A message that such a worker takes was received that many days later, or earlier.
"""

from __future__ import annotations

import sys
import time

import ubi

DAY_NS = 86_400_000_000_000


def main() -> int:
    offset_ns = round(float(sys.argv[1]) * DAY_NS)
    real = time.time_ns
    time.time_ns = lambda: real() + offset_ns
    return ubi.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
