"""Every file of the shared data goes through the device's path to its last reading, or is refused with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.contract.errors import RecordingError
from device.outbox import Outbox
from replay_data.importers import load, recognise
from replay_data.recording import agent_of, read_recording

# Trips and km that the device finds; a changed number is a changed meaning: say why. KIT and POLIDriving have theirs
# in test_recorded_data.py and the end-to-end tests.
DRIVEN = {
    "bmw-can-phone/dataset1_car.csv": (1, 3.06),
    "bmw-can-phone/dataset1_phone.csv": (1, 3.03),  # the same drive by the phone's receiver
    "drive-plotr-nds/nds_data.parquet": (27, 369.1),  # of 28 drives two have a break of under 180 s between them
    "driver-behavior/17/acelerometro_terra.csv": (0, 0.0),  # no speed, no trip
    "ikhyd/trip2_with_obd.csv": (1, 0.79),
    "ikhyd/trip2_with_obd.txt": (1, 0.79),  # the same drive by the car's speed
    "ikhyd/trip_with_obd.txt": (1, 14.49),
    "ndsbr/driver_A.csv": (3, 22.0),
    "ndsbr/driver_C.csv": (3, 37.2),
    "twizy-ev/T1_06_30_2021_1.csv": (1, 45.4),
    "twizy-ev/T3_04_22_2021_1.csv": (1, 14.1),
}
REFUSED = {
    "casdatasets/norauto.parquet": "is Parquet, but not of drive-plotr-nds",
    "comma2k19/processed_log/CAN/speed/t": "is one array of a recording in NumPy files; write its times and speeds as",
    "driver-behavior/17/aceleracaoLinear_terra.csv": "name acelerometro_terra.csv",
    "driver-behavior/17/giroscopio_terra.csv": "name acelerometro_terra.csv",
    "driver-behavior/17/groundTruth.csv": "name acelerometro_terra.csv beside it",
    "driver-behavior/17/viagem.json": "is JSON",
}
NO_RECORDINGS = {"README.md", "LICENSE", "LICENSE.md", "SOURCE.txt", "sbv_marginals.csv"}
IN_OTHER_TESTS = {"kit-obd2", "polidriving"}


def replayed(path: Path, folder: Path) -> tuple[int, float]:
    """Trips and km that the device makes of a recording."""
    recording = read_recording(path)
    outbox = Outbox(folder / f"{recording.sha256}.outbox", recording.stream_id)
    try:
        agent = agent_of(recording, outbox)
        for reading in recording.readings:
            agent.push(reading)
        agent.finish()
        assert agent.readings == len(recording.readings)
        return agent.totals["trips"], agent.totals["distance_mm"] / 1e6
    finally:
        outbox.close()


def files(shared_data: Path) -> list[Path]:
    return sorted(path for path in shared_data.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", DRIVEN)
def test_a_recording_replays_to_its_trips(shared_data, tmp_path, name):
    trips, km = DRIVEN[name]
    assert replayed(shared_data / name, tmp_path) == (trips, pytest.approx(km, rel=0.01, abs=0.005))


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_recording_says_what_to_do(shared_data, name):
    with pytest.raises(RecordingError) as caught:
        load(shared_data / name)
    assert REFUSED[name] in str(caught.value)


def test_every_other_file_replays_or_is_refused_in_one_line(shared_data, tmp_path):
    named = {shared_data / name for name in (*DRIVEN, *REFUSED)}
    for path in files(shared_data):
        if path in named or path.parent.name in IN_OTHER_TESTS:
            continue
        told = replayed_or_refused(path, tmp_path)
        assert told is None or (told.startswith(str(path)) and "\n" not in told)


def replayed_or_refused(path: Path, folder: Path) -> str | None:
    """Why a file was refused; None where it was replayed."""
    try:
        replayed(path, folder)
    except RecordingError as error:
        return str(error)
    return None


def test_no_recording_is_passed_off_as_unknown(shared_data):
    unknown = [path for path in files(shared_data) if recognise(path) is None]
    assert [path.name for path in unknown if "is of no known format" in refusal(path)] == [
        path.name for path in unknown if path.name in NO_RECORDINGS or path.parent.name == "sbv-published-summary"
    ]


def refusal(path: Path) -> str:
    with pytest.raises(RecordingError) as caught:
        load(path)
    return str(caught.value)
