"""The polling process against ELM327-emulator, an adapter that is not ours (licence CC BY-NC-SA: tests only)."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import time
from itertools import pairwise

import pytest

from device.sources.obd import ObdSource
from device.sources.source import Waiting

SCENARIO = "car"

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(importlib.util.find_spec("elm") is None, reason="ELM327-emulator is not installed"),
]


def scripted(command):
    """Values of the emulator's own scenario, decoded here by hand: it plays them in a circle."""
    from elm.obd_message import ObdMessage

    responses = "".join(ObdMessage[SCENARIO][command]["Response"])
    if command == "SPEED":
        return [int(a, 16) for a in re.findall(r"41 0D (\w\w)", responses)]
    return [(int(a, 16) * 256 + int(b, 16)) / 4 for a, b in re.findall(r"41 0C (\w\w) (\w\w)", responses)]


@pytest.fixture
def emulator_port(tmp_path):
    output = tmp_path / "elm.txt"  # in batch mode its first line is the name of the pseudo-terminal
    with subprocess.Popen(
        [sys.executable, "-m", "elm", "-s", SCENARIO, "-b", output],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
    ) as process:
        deadline = time.monotonic() + 20
        while not (output.exists() and "\n" in (text := output.read_text())):
            assert time.monotonic() < deadline, "the emulator did not start"
            assert process.poll() is None
        yield text.splitlines()[0]
        process.kill()


def test_speed_and_rpm_of_an_independent_adapter_come_out_in_its_order(emulator_port):
    with ObdSource(emulator_port, periods_ms={"speed_kmh": 20, "rpm": 40}) as source:
        waiting, readings = Waiting(source), []
        while sum(reading.signal == "rpm" for reading in readings) < 30:
            reading = waiting.read(20)
            assert reading is not None, source.health
            readings.append(reading)
        assert source.health.adapter == "ELM327 v1.5, STN1100 v1.2.3"
        assert source.health.is_clone is False  # the chip knows more than it claims
        assert [name for name in source.counters if "refused" in name] == []

    assert all(a.t_ms <= b.t_ms for a, b in pairwise(readings))
    for signal, command in (("speed_kmh", "SPEED"), ("rpm", "RPM")):
        circle = scripted(command)
        values = [reading.value for reading in readings if reading.signal == signal]
        first = circle.index(values[0])
        assert values == [circle[(first + n) % len(circle)] for n in range(len(values))]
