"""Makes the recorded trips of this project, and checks that they are still what their committed makers make.

    python -m replay_data.generate                    write the in-process recordings and the manifest again
    python -m replay_data.generate --check            rebuild in memory and compare, byte for byte
    python -m replay_data.generate --record NAME...   record trips over a pseudo-terminal, in their own time

drive (plan, scenes, vehicle) -> sensors -> ELM327 responder -> replies, checked -> recording. The replies are asked for
either in process on a virtual clock, or by the device's own python-OBD process through a pseudo-terminal. The second
kind has the timing of the machine that ran it: such files are kept, not rebuilt.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from device.contract.recording import RecordingHead, open_recording, reading_order, recording_sha256, write_recording
from device.contract.signals import Reading
from device.sources.j1979 import PIDS, Refusal, parse_reply
from device.sources.obd import ObdSource
from device.sources.schedule import PERIODS_MS, Schedule
from device.sources.source import Waiting
from replay_data.elm327 import Elm327, PlayedAdapter
from replay_data.plan import TRIPS, Adapter, Trip
from replay_data.sensors import Before, ecu_readings, gnss_readings, limit_readings
from replay_data.vehicle import Sample, drive, hard_brakings

log = logging.getLogger(__name__)

FOLDER: Final = Path(__file__).parent / "trips"
MANIFEST: Final = Path(__file__).parent / "manifest.json"
IN_PROCESS: Final = "in_process"
PTY: Final = "pty"
ABOUT: Final = (
    "Simulated drives recorded by this project: no real person, car or place. Made by python -m replay_data.generate. "
    "true_hard_brakings_ms: when the simulated car really lost 3 m/s2 over a second (vehicle.hard_brakings), not what "
    "event rules find. recorded: in_process = byte-level ELM327 replies on a virtual clock, rebuilt byte for byte; "
    "pty = polled by the device's python-OBD process over a pseudo-terminal at `rate` times real time, and kept."
)


def main(argv: list[str]) -> int:
    """Write, check or record; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m replay_data.generate", description="The project's recorded trips.")
    parser.add_argument("--check", action="store_true", help="compare with what is there, change nothing")
    parser.add_argument(
        "--record", nargs="+", metavar="NAME", help="record these pseudo-terminal trips; takes their time"
    )
    options = parser.parse_args(argv)
    if options.check:
        differences = check()
        sys.stdout.write("".join(f"{line}\n" for line in differences) or "recordings and manifest are as made\n")
        return 1 if differences else 0
    FOLDER.mkdir(exist_ok=True)
    for trip in tqdm([t for t in TRIPS if t.name in options.record] if options.record else TRIPS, unit="trip"):
        if bool(options.record) == bool(trip.rate):
            build(trip, FOLDER)
    if not options.record:
        MANIFEST.write_text(manifest(FOLDER), encoding="utf-8")
    return 0


def check() -> list[str]:
    """Return what differs between the committed files and what this code makes."""
    differences = []
    with tempfile.TemporaryDirectory() as folder:
        for trip in tqdm(TRIPS, unit="trip"):
            file = FOLDER / f"{trip.name}.ubirec"
            if not file.exists():
                differences.append(f"{file.name}: missing")
            elif not trip.rate and build(trip, Path(folder)).read_bytes() != file.read_bytes():
                differences.append(f"{file.name}: other bytes than the generator makes")
    known = {f"{trip.name}.ubirec" for trip in TRIPS}
    differences += [f"{file.name}: not in the plan" for file in FOLDER.glob("*.ubirec") if file.name not in known]
    if not differences and MANIFEST.read_text(encoding="utf-8") != manifest(FOLDER):
        differences.append(f"{MANIFEST.name}: other text than the generator makes")
    return differences


def build(trip: Trip, folder: Path) -> Path:
    """Drive and record one trip; return its file."""
    samples = truth(trip)
    vehicle = trip.vehicle
    ecu = list(ecu_readings(samples, vehicle.car, _before(trip)))
    end_ms = samples[-1].t_ms
    obd = (
        record_pty(ecu, end_ms, vehicle.adapter, trip.rate)
        if trip.rate
        else record_in_process(ecu, end_ms, vehicle.adapter, _rng(trip, "adapter"))
    )
    readings = [*obd, *_extras(trip, samples)]
    file = folder / f"{trip.name}.ubirec"
    write_recording(file, _head(trip), sorted(readings, key=reading_order))
    return file


def truth(trip: Trip) -> list[Sample]:
    """Return the true motion of a trip."""
    return drive(trip.route(), trip.vehicle.driver, trip.vehicle.car, _rng(trip, "drive"))


def record_in_process(ecu: Iterable[Reading], end_ms: int, adapter: Adapter, rng: random.Random) -> Iterator[Reading]:
    """Poll the responder on a virtual clock, reply by reply, as the polling process does; yield its readings."""
    elm = Elm327(ecu, lambda reply: b"NO DATA\r\r>" if rng.random() < adapter.lost else reply)
    for command in ("ATZ", "ATE0", "ATH1", "ATL0", "ATSP6"):
        elm.respond(command, 0)
    schedule = Schedule([name for name, pid in PIDS.items() if pid in elm.pids], PERIODS_MS)
    now_ms = 0.0
    while now_ms < end_ms:
        signal = schedule.pick(now_ms)
        if signal is None:
            now_ms += max(schedule.wait_ms(now_ms), 1.0)
            continue
        took_ms = max(adapter.latency_ms / 2, rng.gauss(adapter.latency_ms, adapter.jitter_ms))
        reply = elm.respond(f"01{PIDS[signal]:02X}", now_ms + took_ms / 2)
        now_ms += took_ms
        value = parse_reply(signal, _payload(reply))
        yield Reading(int(now_ms), signal, None if isinstance(value, Refusal) else value)


def record_pty(ecu: Iterable[Reading], end_ms: int, adapter: Adapter, rate: float) -> Iterator[Reading]:
    """Poll the responder through a pseudo-terminal with the device's own source; times are those of the drive."""
    periods_ms = {name: round(period_ms / rate) for name, period_ms in PERIODS_MS.items()}
    with (
        PlayedAdapter(Elm327(ecu), rate=rate, latency_ms=adapter.latency_ms / rate) as played,
        ObdSource(played.port, periods_ms=periods_ms) as source,
    ):
        waiting = Waiting(source)
        t_ms = -1
        while t_ms < end_ms:
            reading = waiting.read(timeout_s=60)
            if reading is None:
                raise ConnectionError("the polling process gave no reading for a minute")
            t_ms = max(t_ms + 1, round(played.play_ms(reading.t_ms * 1_000_000)))
            yield reading._replace(t_ms=t_ms)


def manifest(folder: Path) -> str:
    """Return the manifest's text for the recordings in `folder`."""
    rows = [_row(trip, folder / f"{trip.name}.ubirec") for trip in TRIPS]
    return json.dumps({"simulated": True, "about": ABOUT, "recordings": rows}, indent=1) + "\n"


def _row(trip: Trip, file: Path) -> dict[str, Any]:
    samples = truth(trip)
    brakings = hard_brakings(samples)
    return {
        "file": f"{FOLDER.name}/{file.name}",
        "sha256": recording_sha256(file),
        "device": trip.device,
        "driver": trip.vehicle.driver.name,
        "car": trip.vehicle.car.name,
        "fuel": trip.vehicle.car.fuel,
        "adapter": trip.vehicle.adapter.name,
        "scenario": trip.scenario,
        "started_at": trip.started_at.isoformat(),
        "duration_s": round(samples[-1].t_ms / 1_000, 1),
        "km": round(samples[-1].distance_m / 1_000, 3),
        "max_kmh": round(max(s.speed_mps for s in samples) * 3.6, 1),
        "true_hard_brakings": len(brakings),
        "true_hard_brakings_ms": brakings,
        "readings": sum(1 for _ in open_recording(file)[1]),
        "recorded": PTY if trip.rate else IN_PROCESS,
        "rate": trip.rate or None,
        "seed": trip.seed,
    }


def _head(trip: Trip) -> RecordingHead:
    vehicle = trip.vehicle
    return RecordingHead(
        source="simulated",
        vehicle=vehicle.device,  # what `ubi replay` names the device after
        driver=vehicle.device,
        started_at_ms=int(trip.started_at.timestamp()) * 1_000,
        utc_offset_min=trip.utc_offset_min,
        notes={
            "simulated": "yes",
            "car": vehicle.car.name,
            "habits": vehicle.driver.name,
            "scenario": trip.scenario,
            "adapter": vehicle.adapter.name,
            "recorded": PTY if trip.rate else IN_PROCESS,
        },
    )


def _before(trip: Trip) -> Before:
    """Counters at the start: every trip of a vehicle goes on where its last one ended, one kilometre unrecorded."""
    own = sorted((t for t in TRIPS if t.device == trip.device), key=lambda t: t.started_at)
    driven_km = sum(sum(km for _, km in t.legs) + 1.0 for t in own[: own.index(trip)])
    rng = _rng(trip, "before")
    return Before(
        odometer_km=trip.vehicle.odometer_km + driven_km,
        since_clear_km=trip.vehicle.odometer_km % 9_000 + driven_km,
        coolant_c=rng.uniform(8, 30),
        ambient_c=rng.uniform(3, 14),
        fuel_pct=rng.uniform(25, 95),
    )


def _extras(trip: Trip, samples: list[Sample]) -> Iterator[Reading]:
    if trip.vehicle.limits:
        yield from limit_readings(samples)
    if trip.vehicle.gnss is not None:
        yield from gnss_readings(samples, trip.vehicle.gnss, _rng(trip, "gnss"))


def _payload(reply: bytes) -> bytes:
    """Data of a single-frame reply with header (7E8 03 41 0D 32 ...); empty for anything else."""
    head, *frame = reply.split(b"\r")[0].split() or [b""]
    if head != b"7E8":
        return b""
    data = bytes.fromhex(b"".join(frame).decode())
    return data[1 : 1 + data[0]]


def _rng(trip: Trip, purpose: str) -> random.Random:
    return random.Random(f"{trip.seed} {purpose}")  # noqa: S311 repeatable on purpose


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
