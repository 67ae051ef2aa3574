"""The allow-list: everything python-OBD and we need, and nothing that does more than listen."""

from __future__ import annotations

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st

from device.sources.allowed import is_allowed
from device.sources.fingerprint import QUESTIONS
from device.sources.j1979 import BITMAPS, PIDS
from device.sources.protocol_watched import watch, watched_url
from device.sources.vin import PID, SERVICE
from device.sources.voltage import COMMAND
from replay_data.elm327 import Elm327, PlayedAdapter


@pytest.mark.parametrize(
    "command",
    [
        *("ATZ", "ATE0", "ATH1", "ATL0", "ATSP0", "ATTP6", "ATTPA", "ATDPN", "\x7f\x7f", COMMAND),
        *QUESTIONS,
        *(f"01{pid:02X}" for pid in (*PIDS.values(), *BITMAPS)),
        "010D1",
        f"{SERVICE:02X}{PID:02X}",
    ],
)
def test_what_is_needed_is_allowed(command):
    assert is_allowed(f"{command}\r".encode())


@pytest.mark.parametrize(
    "command",
    [
        *(f"{service:02X}{rest}" for service in set(range(0x100)) - {0x01, 0x09} for rest in ("", "00", "01FF")),
        *("ATMA", "ATPP0CSV23", "ATSD01", "ATCV1200", "ATBRD23", "ATSH7E0", "ATCSM0", "ATWM8112F13E", "ATSP6", "ATLP"),
        *("", "010D0C", "010D\r04", "AT", "STMA", "ATI;04", " 010D", "010d"),
    ],
)
def test_what_writes_clears_controls_or_repeats_is_not(command):
    assert not is_allowed(f"{command}\r".encode())


@given(st.binary(max_size=12))
def test_a_command_has_one_end_and_reads_service_1_or_9_or_the_adapter(data):
    if is_allowed(data):
        assert data.count(b"\r") == 1
        assert data[:2] in {b"01", b"09", b"AT", b"ST", b"\x7f\x7f"}


def test_the_port_itself_refuses_what_is_not_on_the_list():
    heard = []

    class ListeningElm(Elm327):
        def respond(self, command, now_ms):
            heard.append(command)
            return super().respond(command, now_ms)

    with (
        PlayedAdapter(ListeningElm([])) as adapter,
        serial.serial_for_url(watched_url(adapter.port), timeout=5) as port,
    ):
        with pytest.raises(PermissionError, match="only listen"):
            port.write(b"04\r")
        assert watch.refused == b"04\r"
        port.write(b"ATI\r")
        assert port.read_until(b">").endswith(b">")
    assert heard == ["ATI"]
