"""Play recordings into an outbox as a car does, with an insurer that acks; prints driven hours and bytes written.

python -m tests.bench.outbox_drive FOLDER COMMIT_S MOTION FILE...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from device.agent import Agent, AgentSettings
from device.clock import RecordedClock
from device.contract.signing import Signer
from device.outbox import Outbox
from device.outbox_room import Limits
from replay_data.player import read_recording
from tests.bench.drives import hours

MS_PER_S = 1_000


def main() -> None:
    folder, commit_s, motion = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    recordings = [read_recording(Path(name)) for name in sys.argv[4:]]
    settings = AgentSettings("bench-car", motion=motion == "full", commit_ms=commit_s * MS_PER_S)
    before, states = written(), []
    for number, recording in enumerate(recordings):
        with Outbox(folder / str(number), limits=Limits()) as outbox:
            agent = Agent(settings, outbox, Signer.from_seed(bytes(32)).sign, RecordedClock(0, 60, bytes(16)))
            for reading in recording.readings:
                agent.push(reading)
                if outbox.waiting():
                    outbox.release(outbox.stream_id, [(1, outbox.next_seq - 1)])
                    states.append(len(outbox.state))
            agent.finish()
    told = {"hours": hours(recordings), "written": written() - before, "state": max(states), "commits": len(states)}
    sys.stdout.write(json.dumps(told))


def written() -> int:
    """Bytes that this process has handed to write calls."""
    return int(Path("/proc/self/io").read_text().split("wchar: ")[1].split()[0])


if __name__ == "__main__":
    main()
