"""How many times faster than real time one core plays recorded drives through the device path.

recording -> Agent -> Outbox (SQLite, synced) -> Uplink -> MQTT -> a real ingest worker -> application ack -> Outbox

The core's time is the CPU time of this process: agent, outbox and MQTT client. Broker and worker are another process.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tqdm import tqdm

from device.contract.broker import parse_broker
from replay_data.player import Player, Recording
from tests.bench.drives import Drives, hours, recorded_drives
from tests.bench.measure import Used, judged, measured, used
from tests.bench.row import Row
from tests.bench.worker import IngestWorker
from tests.ports import free_port

REPEATS = 3
GOAL = 500
S_PER_HOUR = 3_600

Took = tuple[Used, Used]  # parsing, playing until all is acknowledged


def run() -> list[Row]:
    """Play every kind of drives, in turn."""
    kinds = recorded_drives()
    took: dict[str, list[Took]] = {kind.name: [] for kind in kinds}
    recorded_s = {}
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        with IngestWorker(folder / "worker", folder / "lake", "--embedded-broker", str(port)):
            for repeat in tqdm(range(REPEATS), desc="replay", unit="repeat", disable=None):
                for kind in kinds:
                    recordings, parsing = used(kind.read)
                    recorded_s[kind.name] = hours(recordings) * S_PER_HOUR
                    outboxes = folder / f"outboxes {kind.name} {repeat}"
                    took[kind.name].append((parsing, played(recordings, outboxes, port)))
    return [row for kind in kinds for row in rows(kind, recorded_s[kind.name], took[kind.name])]


def played(recordings: list[Recording], outboxes: Path, port: int) -> Used:
    """Play and deliver; what it took."""
    player = Player(parse_broker(f"mqtt://127.0.0.1:{port}"), outboxes)

    def play() -> None:
        for recording in recordings:
            player.play(recording)
        player.deliver()

    try:
        _, took = used(play)
    finally:
        player.close()
    if any(result.acked != result.messages for result in player.results):
        raise RuntimeError("not every message was acknowledged")
    return took


def rows(kind: Drives, recorded_s: float, took: list[Took]) -> list[Row]:
    """Rows of one kind of drives."""
    goal = f"at least {GOAL} x real time"
    cpu = [recorded_s / playing.cpu_s for _, playing in took]
    with_parsing = [recorded_s / (parsing.cpu_s + playing.cpu_s) for parsing, playing in took]
    wall = [recorded_s / playing.wall_s for _, playing in took]
    return [
        judged(f"{kind.name}: per core", cpu, "x real time", goal, lambda x: x >= GOAL),
        judged(f"{kind.name}: per core, with parsing", with_parsing, "x real time", goal, lambda x: x >= GOAL),
        measured(f"{kind.name}: by the wall clock", wall, "x real time"),
    ]
