"""Campaigns of mutated bytes over every parser of a sensor: any bytes get plausible readings or a refusal.

elm    what an adapter sends, through python-OBD's reading of the port, its protocols and our check of the reply
j1979  replies as bytes: values, bitmaps, VIN
lines  what the polling process says
nmea   sentences, in pieces
wt901  frames, in pieces

make campaign ARGS='-k fuzz_sources'                       a million over each
make campaign ARGS='-k "fuzz_sources and nmea-chunk-1"'    one chunk again; its seed is its number
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import pytest
from obd.elm327 import ELM327
from obd.protocols import ISO_9141_2, ISO_15765_4_11bit_500k, ISO_15765_4_29bit_500k
from obd.utils import OBDStatus

from device.contract.signals import BY_NAME, Reading
from device.sources.j1979 import FORMULAS, PIDS, SERVICE, Refusal, make_bitmap, make_reply, parse_bitmap, parse_reply
from device.sources.nmea import MAX_SENTENCE, NmeaParser
from device.sources.obd_adapter import Adapter
from device.sources.obd_lines import Connected, Failed, Reply, Stage, make_line, parse_line
from device.sources.protocol_watched import watch
from device.sources.vin import PID as VIN_PID
from device.sources.vin import SERVICE as VIN_SERVICE
from device.sources.vin import make_vin, parse_vin
from device.sources.voltage import parse_voltage
from device.sources.wt901 import ACCELERATION, ANGULAR_VELOCITY, FRAME, Wt901Parser, make_frame
from replay_data.serial_gnss import no_fix, sentence, to_nmea
from tests.device.mutations import campaign, mutated

CHUNKS, PER_CHUNK = 4, 250_000
SHORT = 5_000
VIN = "WVWZZZ1JZ3W386752"


def plausible(readings: list[Reading]) -> bool:
    return all(r.value is None or BY_NAME[r.signal].low <= r.value <= BY_NAME[r.signal].high for r in readings)


class FedPort:
    """A port whose answer to the next command is given."""

    baudrate = 38_400

    def __init__(self) -> None:
        self.answer = self.waiting = b""

    @property
    def in_waiting(self) -> int:
        return len(self.waiting)

    def read(self, size: int) -> bytes:
        data, self.waiting = self.waiting[:size], self.waiting[size:]
        watch.text += data
        return data or b">"  # a real one would wait for ever

    def write(self, _: bytes) -> None:
        watch.text, self.waiting = b"", self.answer

    def flushInput(self) -> None:  # noqa: N802 - pyserial's name
        self.waiting = b""

    def flush(self) -> None:
        pass

    def close(self) -> None:
        raise AssertionError("python-OBD has given the port up")


@cache
def adapters() -> tuple[tuple[Adapter, FedPort], ...]:
    """python-OBD connected to a car on each kind of bus, without a port."""
    connected = []
    for kind, hello in (
        (ISO_15765_4_11bit_500k, "7E8 06 41 00 BE 3F A8 13"),
        (ISO_15765_4_29bit_500k, "18 DA F1 10 06 41 00 BE 3F A8 13"),
        (ISO_9141_2, "48 6B 10 41 00 BE 3F A8 13 C9"),
    ):
        elm, port = ELM327.__new__(ELM327), FedPort()
        elm._ELM327__port, elm._ELM327__protocol = port, kind([hello])
        elm._ELM327__status, elm._ELM327__low_power = OBDStatus.CAR_CONNECTED, False
        adapter = Adapter.__new__(Adapter)
        adapter._elm, adapter._frames = elm, {}
        connected.append((adapter, port))
    return tuple(connected)


ELM_SAMPLES = tuple(
    text.encode() + b"\r\r>"
    for text in (
        "7E8 03 41 0D 32 AA AA AA AA ",
        "7E8 04 41 0C 1A F8 AA AA AA \r7E9 04 41 0C 1A F8 AA AA AA ",
        "7E8 10 14 49 02 01 57 56 57 \r7E8 21 5A 5A 5A 31 4A 5A 33 \r7E8 22 57 33 38 36 37 35 32 ",
        "18 DA F1 10 03 41 0D 32 ",
        "18 DA F1 10 10 14 49 02 01 57 56 57 \r18 DA F1 10 21 5A 5A 5A 31 4A 5A 33 ",
        "48 6B 10 41 0D 32 63 ",
        "48 6B 10 49 02 01 00 00 00 57 C5 \r48 6B 10 49 02 02 56 57 5A 5A 27 ",
        "SEARCHING...\r7E8 06 41 00 BE 3F A8 13 AA ",
        *("NO DATA", "UNABLE TO CONNECT", "CAN ERROR", "BUFFER FULL", "STOPPED", "?", "12.6V", "ELM327 v1.5"),
    )
)


def judge_elm(data: bytes) -> str:
    outcomes = set()
    for adapter, port in adapters():
        port.answer = data
        answer = adapter.request(SERVICE, PIDS["speed_kmh"])
        value = answer.refusal or parse_reply("speed_kmh", answer.reply)
        assert isinstance(value, Refusal) or 0 <= value <= 255
        outcomes.add(value.value if isinstance(value, Refusal) else "value")
        vin = parse_vin(adapter.request(VIN_SERVICE, VIN_PID).reply)
        outcomes.add("no vin" if isinstance(vin, Refusal) else "vin")
    voltage = adapter.voltage()
    assert voltage is None or 0 <= voltage <= 60
    assert str(adapter.fingerprint()).isprintable()
    return "value" if "value" in outcomes else min(outcomes)


def make_elm(draw: random.Random) -> bytes:
    return mutated(draw, draw.choice(ELM_SAMPLES), ELM_SAMPLES).replace(b">", b"") + b">"


J1979_SAMPLES = (
    *(make_reply(name, 50) for name in FORMULAS),
    make_bitmap(0, PIDS.values()),
    make_vin(VIN),
    b"\x7f\x01\x12",
)


def judge_j1979(data: bytes) -> str:
    outcomes = set()
    for name in FORMULAS:
        value = parse_reply(name, data)
        assert isinstance(value, Refusal) or BY_NAME[name].low <= value <= BY_NAME[name].high
        outcomes.add(value.value if isinstance(value, Refusal) else "value")
    pids = parse_bitmap(0, data)
    assert isinstance(pids, Refusal) or pids <= set(range(1, 33))
    vin = parse_vin(data)
    assert isinstance(vin, Refusal) or len(vin) == len(VIN)
    parse_voltage(data.decode("latin-1"))
    if not isinstance(vin, Refusal):
        return "vin"
    return "value" if "value" in outcomes else min(outcomes)


LINE_SAMPLES = tuple(
    make_line(line).strip().encode()
    for line in (
        Reply(Reading(1_234_567, "speed_kmh", 50.0), None),
        Reply(Reading(1_234_567, "rpm", None), "length"),
        Connected("ELM327 v1.5", "ISO 15765-4 (CAN 11/500)", (12, 13), True, VIN, 38_400),
        Stage("connect", True),
        Failed("the port has gone", False),
    )
)


def judge_lines(data: bytes) -> str:
    line = parse_line(data)
    if isinstance(line, Reply):
        assert plausible([line.reading])
        assert (line.reading.value is None) != (line.refusal is None)
    elif isinstance(line, Connected):
        assert line.adapter.isprintable()
        assert all(0 <= pid < 256 for pid in line.pids)
    return type(line).__name__


NMEA_SAMPLES = (
    *(
        data
        for _, data in to_nmea(
            [Reading(0, "latitude_deg", -50.5), Reading(0, "longitude_deg", 8.25)], 1_762_156_800_000
        )
    ),
    no_fix(1_762_156_800_000),
    sentence("GPVTG,77.52,T,,M,0.004,N,0.008,K,A"),
    sentence("GNGSA,A,3,80,71,73,79,69,,,,,,,,1.83,1.09,1.47"),
    sentence("GPGLL,4916.45,N,12311.12,W,225444,A,"),
    sentence("GPZDA,160012.71,11,03,2024,-1,00"),
    sentence("GPGSV,3,1,11,10,63,137,17,07,61,098,15,05,59,290,20,08,54,157,30"),
    sentence("PUBX,00,081350.00,4717.113210,N,00833.915187,E,546.589,G3,2.1,2.0"),
    b"\xb5\x62\x01\x07\x5c\x00\n",
)


def make_nmea(draw: random.Random) -> bytes:
    """Half of the damaged sentences get a checksum that fits: what gets through to the fields."""
    data = mutated(draw, draw.choice(NMEA_SAMPLES), NMEA_SAMPLES)
    if draw.random() < 0.5:
        return sentence(
            data.partition(b"$")[2].partition(b"*")[0].decode("ascii", "replace").replace("\ufffd", "?") or "GP"
        )
    return data


def judge_nmea(data: bytes) -> str:
    parser, cut = _nmea(), len(data) // 2
    readings = parser.feed(data[:cut], 1_000) + parser.feed(data[cut:], 2_000)
    assert plausible(readings)
    assert len(parser._rest) <= MAX_SENTENCE
    parser.feed(b"\r\n", 3_000)
    return "readings" if readings else "none"


@cache
def _nmea() -> NmeaParser:
    return NmeaParser()


WT901_SAMPLES = (
    make_frame(ACCELERATION, 0.1, 0.2, 9.8) + make_frame(ANGULAR_VELOCITY, 1, 2, 3),
    make_frame(ACCELERATION, 0.1, 0.2, 9.8) * 3,
    b"\x55\x53" + make_frame(ACCELERATION, 3, 3, 3),
)


def judge_wt901(data: bytes) -> str:
    parser, cut = _wt901(), len(data) // 2
    readings = parser.feed(data[:cut], 1_000) + parser.feed(data[cut:], 2_000)
    assert plausible(readings)
    assert len(parser._rest) < 2 * FRAME.size
    return "readings" if readings else "none"


@cache
def _wt901() -> Wt901Parser:
    return Wt901Parser()


def _mutated_of(samples: tuple[bytes, ...]) -> Callable[[random.Random], bytes]:
    return lambda draw: mutated(draw, draw.choice(samples), samples)


PARSERS: dict[str, tuple[Callable[[random.Random], bytes], Callable[[bytes], str], set[str]]] = {
    "elm": (make_elm, judge_elm, {"value", "foreign", "garbled"}),
    "j1979": (_mutated_of(J1979_SAMPLES), judge_j1979, {"value", "foreign", "vin"}),
    "lines": (_mutated_of(LINE_SAMPLES), judge_lines, {"Reply", "Connected", "Stage", "Failed", "NoneType"}),
    "nmea": (make_nmea, judge_nmea, {"readings", "none"}),
    "wt901": (_mutated_of(WT901_SAMPLES), judge_wt901, {"readings", "none"}),
}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr("obd.elm327.time.sleep", lambda _: None)  # python-OBD gives an adapter without words a second


@pytest.mark.parametrize("parser", PARSERS)
def test_mutated_bytes_give_plausible_readings_or_a_refusal(parser):
    make, judge, outcomes = PARSERS[parser]
    assert outcomes <= campaign(0, SHORT, make, judge).keys()


@pytest.mark.long
@pytest.mark.parametrize("chunk", range(CHUNKS), ids=lambda number: f"chunk-{number}")
@pytest.mark.parametrize("parser", PARSERS)
def test_a_campaign_of_mutated_bytes(parser, chunk):
    make, judge, outcomes = PARSERS[parser]
    assert outcomes <= campaign(chunk, PER_CHUNK, make, judge).keys()
