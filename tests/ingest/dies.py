"""Run a `ubi` command in a process that kills itself, as a power cut would, before step N of a segment's commit.

    python -m tests.ingest.dies N ingest run ...

Steps of the first segment that holds rows: 0 temporary file, 1 sync, 2 rename, 3 sync of the folder, 4 the first ack,
5 after the last ack.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ubi
from ingest.broker import Broker
from ingest.contract import durable


def main() -> int:
    last = int(sys.argv[1])
    steps = -1  # not armed

    def before(function: Callable[..., Any], step: int) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            nonlocal steps
            if steps >= 0:
                steps = max(steps, step)
                if steps >= last:
                    os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return wrapped

    def commit(files: Mapping[Path, bytes], then: Callable[[], None] | None = None) -> None:
        nonlocal steps
        if any(path.suffix == ".parquet" for path in files):
            for path in files:
                durable.make_folder(path.parent)
            steps = 0
        real_commit(files, then)

    real_commit = durable.commit
    patches: list[tuple[Any, str, Callable[..., Any]]] = [
        (durable, "commit", commit),
        (durable, "temporary", before(durable.temporary, 0)),
        (os, "fsync", before(os.fsync, 1)),
        (Path, "replace", before(Path.replace, 2)),
        (durable, "sync_folder", before(durable.sync_folder, 3)),
        (Broker, "publish", before(Broker.publish, 4)),
        (Broker, "step", before(Broker.step, 5)),
    ]
    for target, name, replacement in patches:
        setattr(target, name, replacement)
    return ubi.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
