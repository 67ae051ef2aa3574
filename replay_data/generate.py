"""Makes the recorded trips of this project, and checks that they are still what their committed makers make.

    python -m replay_data.generate                    write the in-process recordings and the manifest again
    python -m replay_data.generate --check            rebuild in memory and compare, byte for byte
    python -m replay_data.generate --record NAME...   record trips over a pseudo-terminal, in their own time

drive (plan, scenes, vehicle) -> control unit, receiver, IMU -> their bytes -> the device's parsers -> recording. The
bytes are made in process on a virtual clock (sensed.py), or heard by the device's own sources over pseudo-terminals
(ports.py). The second kind has the timing of the machine that ran it: such files are kept, not rebuilt.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from device.contract.recording import RecordingHead, open_recording, reading_order, recording_sha256, write_recording
from device.contract.signals import Reading
from replay_data.plan import TRIPS, Trip
from replay_data.ports import Told, by_ports
from replay_data.sensed import polled, received, shaken
from replay_data.sensors import Before, ecu_readings, gnss_readings, imu_readings, limit_readings
from replay_data.truth import TrueEvent, true_events
from replay_data.vehicle import Sample, drive, hard_brakings

log = logging.getLogger(__name__)

FOLDER: Final = Path(__file__).parent / "trips"
MANIFEST: Final = Path(__file__).parent / "manifest.json"
IN_PROCESS: Final = "in_process"
PTY: Final = "pty"
ABOUT: Final = (
    "Simulated drives recorded by this project: no real person, car or place. Made by python -m replay_data.generate. "
    "true_hard_brakings_ms: when the simulated car really lost 3 m/s2 over a second (vehicle.hard_brakings), not what "
    "event rules find; expected_events: all true events that the car's sensors can tell (truth.true_events). recorded: "
    "in_process = bytes of ELM327, NMEA receiver and IMU on a virtual clock, rebuilt byte for byte; pty = heard by the "
    "device's own sources over pseudo-terminals at `rate` times real time, and kept."
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
    end_ms = samples[-1].t_ms
    told = _told(trip, samples)
    readings = by_ports(told, end_ms, trip) if trip.rate else _in_process(told, end_ms, trip)
    file = folder / f"{trip.name}.ubirec"
    if trip.rate and not trip.vehicle.heard:
        readings += told.gnss
    if trip.vehicle.limits:
        readings += limit_readings(samples)
    write_recording(file, _head(trip), sorted(readings, key=reading_order))
    return file


def truth(trip: Trip) -> list[Sample]:
    """Return the true motion of a trip."""
    return drive(trip.route(), trip.vehicle.driver, trip.vehicle.car, _rng(trip, "drive"))


def manifest(folder: Path) -> str:
    """Return the manifest's text for the recordings in `folder`."""
    rows = [_row(trip, folder / f"{trip.name}.ubirec") for trip in TRIPS]
    return json.dumps({"simulated": True, "about": ABOUT, "recordings": rows}, indent=1) + "\n"


def expected(trip: Trip, samples: list[Sample]) -> list[TrueEvent]:
    """True events of a trip that its sensors can tell: a turn needs a receiver or an IMU."""
    sensors = trip.vehicle.sensors
    return true_events(samples, lateral="gnss" in sensors or "imu" in sensors, limits="limits" in sensors)


def started_at_ms(trip: Trip) -> int:
    """UTC at the start."""
    return int(trip.started_at.timestamp()) * 1_000


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
        "adapter": trip.vehicle.adapter.name if trip.vehicle.adapter else None,
        "sensors": trip.vehicle.sensors,
        "scenario": trip.scenario,
        "started_at": trip.started_at.isoformat(),
        "duration_s": round(samples[-1].t_ms / 1_000, 1),
        "km": round(samples[-1].distance_m / 1_000, 3),
        "max_kmh": round(max(s.speed_mps for s in samples) * 3.6, 1),
        "true_hard_brakings": len(brakings),
        "true_hard_brakings_ms": brakings,
        "expected_events": [event._replace(peak=round(event.peak, 2))._asdict() for event in expected(trip, samples)],
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
        started_at_ms=started_at_ms(trip),
        utc_offset_min=trip.utc_offset_min,
        notes={
            "simulated": "yes",
            "car": vehicle.car.name,
            "habits": vehicle.driver.name,
            "scenario": trip.scenario,
            "adapter": vehicle.adapter.name if vehicle.adapter else "none",
            "recorded": PTY if trip.rate else IN_PROCESS,
            **({"sensors": " ".join(vehicle.sensors)} if vehicle.heard or vehicle.imu else {}),
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


def _told(trip: Trip, samples: list[Sample]) -> Told:
    """What the car's control unit, the receiver and the IMU have to say."""
    vehicle = trip.vehicle
    ecu = ecu_readings(samples, vehicle.car, _before(trip)) if vehicle.adapter else ()
    gnss = gnss_readings(samples, vehicle.gnss, _rng(trip, "gnss")) if vehicle.gnss else ()
    imu = imu_readings(samples, vehicle.imu, _rng(trip, "imu"), vehicle.imu_ms) if vehicle.imu else ()
    return Told(list(ecu), list(gnss), list(imu))


def _in_process(told: Told, end_ms: int, trip: Trip) -> list[Reading]:
    vehicle = trip.vehicle
    adapter = vehicle.adapter
    readings = list(polled(told.ecu, end_ms, adapter, _rng(trip, "adapter"))) if adapter else []
    readings += received(told.gnss, started_at_ms(trip)) if vehicle.heard else told.gnss
    return [*readings, *shaken(told.imu)]


def _rng(trip: Trip, purpose: str) -> random.Random:
    return random.Random(f"{trip.seed} {purpose}")  # noqa: S311 repeatable on purpose


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
