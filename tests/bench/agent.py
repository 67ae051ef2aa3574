"""What the agent costs the car: CPU to import, memory, CPU for an hour of driving, and how soon it notices silence.

    recording -> ELM327 responder -> pseudo-terminal -> python-OBD process -> `ubi device run` -> broker and worker
              -> NMEA at 1 Hz, WT901 at 100 Hz -> pseudo-terminals ->

The agent and its polling process run as in a car, in real time, and only they are counted. Beside it the agent's own
part on whole recordings: readings in, outbox synced as in a car, no adapter and no network.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from time import perf_counter

from tqdm import tqdm

from device.agent import Agent, AgentSettings
from device.clock import RecordedClock
from device.contract.signals import Reading
from device.outbox import Outbox
from replay_data.elm327 import Elm327, PlayedAdapter
from replay_data.player import Recording, read_recording
from replay_data.pseudo_terminal import PlayClock
from replay_data.sensors import G_MPS2
from replay_data.serial_gnss import played_gnss
from replay_data.serial_imu import played_imu
from tests.bench.drives import hours, recorded_drives
from tests.bench.measure import KB_PER_MB, ROOT, cpu_s, judged, measured, memory_mb, used
from tests.bench.row import Row
from tests.bench.worker import IngestWorker, until
from tests.ports import free_port

REPEATS = 3
RECORDINGS = 3  # of each kind
DRIVEN_S = 60.0
START_MS = 60_000  # in the recording; the car is moving then
ADAPTER_MS = 20.0  # latency of a good ELM327
S_PER_HOUR = 3_600
# Nothing else is imported: no helper of the benchmarks may be counted.
IMPORT = """\
import sys, time
__import__(sys.argv[1])
print(time.process_time(), open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""
CONFIG = """\
device_id = "bench-car"
zone = "Europe/Berlin"
broker = "mqtt://127.0.0.1:{port}"
obd_port = "{adapter}"
obd_protocol = "6"
gnss_port = "{gnss}"
imu_port = "{imu}"
motion = "full"
location = "full"
"""
ORIGIN_DEG = (49.0, 8.4)
METRES_PER_DEGREE = 111_320.0
GNSS_MS, IMU_MS = 1_000, 10


def run() -> list[Row]:
    """Measure."""
    with tempfile.TemporaryDirectory() as folder:
        return [*import_rows(Path(folder) / "compiled"), *driving_rows(Path(folder)), *recorded_rows(Path(folder))]


def import_rows(compiled: Path) -> list[Row]:
    """Import the agent, and python-OBD alone, in fresh processes; byte code is there, as after an installation."""
    env = os.environ | {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(compiled)}
    found: dict[str, list[list[float]]] = {"device.live": [], "obd": []}
    for _ in tqdm(range(REPEATS + 1), desc="import", disable=None):
        for module, of in found.items():
            command = [sys.executable, "-c", IMPORT, module]
            told = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True).stdout
            of.append([float(word) for word in told.split()])

    def row(name: str, which: int, unit: str, scale: float = 1.0) -> Row:
        ours, obd = ([one[which] * scale for one in of[1:]] for of in found.values())  # the first time compiles
        return measured(name, ours, unit, obd)

    return [
        row("import of the agent, CPU (anchor: python-OBD alone)", 0, "s"),
        row("import of the agent, memory (same)", 1, "MB", 1 / KB_PER_MB),
    ]


def driving_rows(folder: Path) -> list[Row]:
    """Drive for DRIVEN_S, then let the adapter fall silent."""
    recording = recorded_drives()[-1].read()[0]
    silent = threading.Event()
    elm = Elm327(recording.readings, lambda reply: b"" if silent.is_set() else reply)
    port = free_port()
    clock = PlayClock(START_MS)
    started_at_ms = recording.head.started_at_ms or 0
    with (
        IngestWorker(folder / "worker", folder / "lake", "--embedded-broker", str(port)) as worker,
        PlayedAdapter(elm, latency_ms=ADAPTER_MS, clock=clock) as adapter,
        played_gnss(gnss(recording.readings), started_at_ms, clock) as receiver,
        played_imu(imu(recording.readings), clock) as box,
        agent_process(folder, CONFIG.format(port=port, adapter=adapter.port, gnss=receiver.port, imu=box.port)) as (
            pid,
            log,
        ),
    ):
        until(lambda: "PIDs" in log.read_text())
        polling = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        before = [cpu_s(process) for process in (pid, polling)]
        began_s = perf_counter()
        silent.wait(DRIVEN_S)
        share = S_PER_HOUR / (perf_counter() - began_s)
        hour_s = [(cpu_s(of) - then) * share for of, then in zip((pid, polling), before, strict=True)]
        peaks_mb = [memory_mb(process) for process in (pid, polling)]
        silent.set()
        fell_silent_s = perf_counter()
        until(lambda: "no reply for" in log.read_text())
        noticed_s = perf_counter() - fell_silent_s
    if not worker.counters["stored"]:
        raise RuntimeError("the agent sent nothing")
    return [
        judged("agent and OBD process, memory", [sum(peaks_mb)], "MB", "under 120 MB in all", lambda mb: mb < 120),
        Row("memory of the agent's own process", peaks_mb[0], "MB"),
        judged("an hour of driving, CPU", [sum(hour_s)], "s", "under 60 s", lambda s: s < 60),
        Row("an hour of driving, CPU of the agent's own process", hour_s[0], "s"),
        judged("silent adapter noticed", [noticed_s], "s", "in 5 s, to the tenth", lambda s: round(s, 1) <= 5),
    ]


def speeds(readings: list[Reading], step_ms: int) -> Iterator[tuple[int, float]]:
    """Speed in m/s on a grid, by straight lines between the readings."""
    told = [(r.t_ms, r.value / 3.6) for r in readings if r.signal == "speed_kmh" and r.value is not None]
    t_ms = told[0][0] // step_ms * step_ms + step_ms
    for (t0, v0), (t1, v1) in pairwise(told):
        while t_ms <= t1:
            yield t_ms, v0 + (v1 - v0) * (t_ms - t0) / (t1 - t0)
            t_ms += step_ms


def gnss(readings: list[Reading]) -> Iterator[Reading]:
    """What a receiver tells of a drive to the north."""
    north_m = 0.0
    for t_ms, mps in speeds(readings, GNSS_MS):
        north_m += mps * GNSS_MS / 1_000
        yield Reading(t_ms, "latitude_deg", ORIGIN_DEG[0] + north_m / METRES_PER_DEGREE)
        yield Reading(t_ms, "longitude_deg", ORIGIN_DEG[1])
        yield Reading(t_ms, "gnss_speed_kmh", 3.6 * mps)
        yield Reading(t_ms, "gnss_course_deg", 0.0)


def imu(readings: list[Reading]) -> Iterator[Reading]:
    """What a box mounted straight feels, with the noise of road and engine."""
    rng = random.Random(1)
    for (_, before), (t_ms, now) in pairwise(speeds(readings, IMU_MS)):
        felt = ((now - before) * 1_000 / IMU_MS, 0.0, G_MPS2)
        yield from (Reading(t_ms, f"accel_{a}_mps2", v + rng.gauss(0, 0.25)) for a, v in zip("xyz", felt, strict=True))
        yield from (Reading(t_ms, f"gyro_{a}_dps", rng.gauss(0, 0.1)) for a in "xyz")


def recorded_rows(folder: Path) -> list[Row]:
    """Run the agent alone on whole recordings, committing as often as in a car."""
    out = []
    for drives in recorded_drives():
        recordings = [read_recording(file) for file in drives.files[:RECORDINGS]]
        took = []
        for repeat in range(REPEATS):
            outboxes = folder / f"{drives.name} {repeat}"
            outboxes.mkdir()
            took.append(sum(used(partial(drive, rec, outboxes))[1].cpu_s for rec in recordings))
        per_hour_s = [cpu / hours(recordings) for cpu in took]
        out.append(measured(f"{drives.name}: agent alone, an hour of driving, CPU", per_hour_s, "s"))
    return out


def drive(recording: Recording, outboxes: Path) -> None:
    """Push a recording through an agent with a car's settings."""
    clock = RecordedClock(recording.head.started_at_ms, recording.head.utc_offset_min, boot_id=recording.stream_id)
    settings = AgentSettings(recording.device_id, motion=True)
    with Outbox(outboxes / recording.stream_id.hex(), recording.stream_id) as outbox:
        agent = Agent(settings, outbox, recording.signer.sign, clock)
        for reading in recording.readings:
            agent.push(reading)
        agent.finish()


@contextmanager
def agent_process(folder: Path, config: str) -> Iterator[tuple[int, Path]]:
    """`ubi device run` as a process of its own: its pid and its log."""
    (folder / "device.toml").write_text(config)
    log = folder / "device.log"
    command = [sys.executable, "-m", "ubi", "device", "run", "--config", str(folder / "device.toml")]
    with log.open("wb") as file, subprocess.Popen(command, cwd=ROOT, stderr=file) as process:
        try:
            yield process.pid, log
        finally:
            process.send_signal(signal.SIGTERM)
