"""The ELM327 responder: byte for byte what the data sheet says, and what the whole of python-OBD makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.signals import Reading
from device.sources.j1979 import PIDS
from replay_data.elm327 import HOLD_MS, Elm327, PlayedAdapter, asks_value

DRIVE = [
    Reading(0, "speed_kmh", 0.0),
    Reading(1_000, "speed_kmh", 49.6),
    Reading(2_000, "speed_kmh", None),
    Reading(3_000, "speed_kmh", 52.0),
    Reading(0, "rpm", 850.0),
    Reading(1_000, "rpm", 1726.0),
    Reading(0, "odometer_km", 12345.6),
    Reading(0, "limit_kmh", 50),  # no PID: not a car's to tell
]


def elm(readings=DRIVE, *, settings=("ATE0", "ATL0", "ATH1", "ATSP6")):
    adapter = Elm327(readings)
    for setting in settings:
        assert b"OK" in adapter.respond(setting, 0)
    return adapter


def test_reset_answers_with_the_version_and_turns_echo_on():
    adapter = elm()
    assert adapter.respond("ATZ", 0) == b"\r\n\r\nELM327 v1.5\r\n\r\n>"
    assert adapter.respond("ATI", 0) == b"ATI\rELM327 v1.5\r\n\r\n>"


def test_commands_ignore_case_and_spaces():
    adapter = elm()
    assert adapter.respond("at rv", 0) == b"12.6V\r\r>"
    assert adapter.respond("01 0d", 1_000) == adapter.respond("010D", 1_000)


def test_speed_frame_with_header_length_and_padding():
    assert elm().respond("010D", 1_000) == b"7E8 03 41 0D 32 AA AA AA AA \r\r>"


def test_headers_and_spaces_can_be_off():
    assert elm(settings=("ATE0", "ATL0", "ATSP6")).respond("010D", 1_000) == b"41 0D 32 \r\r>"
    assert elm(settings=("ATE0", "ATL0", "ATS0", "ATSP6")).respond("010D", 1_000) == b"410D32\r\r>"


def test_the_first_request_of_an_automatic_search_says_so():
    adapter = elm(settings=("ATE0", "ATL0", "ATH1", "ATSP0"))
    assert adapter.respond("0100", 0) == b"SEARCHING...\r7E8 06 41 00 00 18 00 01 AA \r\r>"
    assert adapter.respond("0100", 0) == b"7E8 06 41 00 00 18 00 01 AA \r\r>"
    assert adapter.respond("ATDPN", 0) == b"A6\r\r>"


def test_a_protocol_the_car_does_not_speak_does_not_connect():
    adapter = elm(settings=("ATE0", "ATL0", "ATTP3"))
    assert adapter.respond("0100", 0) == b"UNABLE TO CONNECT\r\r>"


def test_bitmaps_lead_to_the_last_supported_pid_and_end_there():
    adapter = elm()
    for base in ("20", "40", "60", "80"):
        assert adapter.respond(f"01{base}", 0) == f"7E8 06 41 {base} 00 00 00 01 AA \r\r>".encode()
    assert adapter.respond("01A0", 0) == b"7E8 06 41 A0 04 00 00 00 AA \r\r>"
    assert adapter.respond("01C0", 0) == b"NO DATA\r\r>"


@pytest.mark.parametrize("command", ["0111", "0902", "03", "010D0C", "0200"])
def test_what_the_car_does_not_support_is_no_data(command):
    assert elm().respond(command, 1_000) == b"NO DATA\r\r>"


@pytest.mark.parametrize("command", ["XYZ", "ATXX", "\x7f\x7f", "0", "é"])
def test_what_is_no_command_is_a_question_mark(command):
    assert elm().respond(command, 0) == b"?\r\r>"


def test_a_null_reading_and_an_old_one_are_no_data():
    adapter = elm()
    assert adapter.respond("010D", 2_500) == b"NO DATA\r\r>"
    assert adapter.respond("010D", 3_000 + HOLD_MS) == b"7E8 03 41 0D 34 AA AA AA AA \r\r>"
    assert adapter.respond("010D", 3_001 + HOLD_MS) == b"NO DATA\r\r>"
    assert adapter.respond("010D", -1) == b"NO DATA\r\r>"


def test_an_empty_line_repeats_the_last_command():
    adapter = elm()
    first = adapter.respond("010D1", 1_000)
    assert adapter.respond("", 1_000) == first == adapter.respond("010D", 1_000)


@given(st.text(max_size=20), st.integers(0, 10_000))
def test_any_line_is_answered_with_a_prompt(command, now_ms):
    assert elm().respond(command, now_ms).endswith(b">")
    asks_value(command)


VIN = "WVWZZZ1JZ3W386752"


def test_a_long_reply_comes_in_frames_of_seven():
    adapter = Elm327(DRIVE, vin=VIN)
    for setting in ("ATE0", "ATL0", "ATH1", "ATSP6"):
        adapter.respond(setting, 0)
    assert adapter.respond("0902", 0) == (
        b"7E8 10 14 49 02 01 57 56 57 \r7E8 21 5A 5A 5A 31 4A 5A 33 \r7E8 22 57 33 38 36 37 35 32 \r\r>"
    )
    adapter.respond("ATH0", 0)
    assert adapter.respond("0902", 0) == (
        b"014\r0: 49 02 01 57 56 57 \r1: 5A 5A 5A 31 4A 5A 33 \r2: 57 33 38 36 37 35 32 \r\r>"
    )


def test_a_genuine_chip_knows_the_commands_of_its_version_and_a_clone_does_not():
    genuine, clone = Elm327(DRIVE, genuine=True), Elm327(DRIVE)
    for adapter in (genuine, clone):
        for setting in ("ATE0", "ATL0"):
            adapter.respond(setting, 0)
    assert (genuine.respond("ATI", 0), clone.respond("ATI", 0)) == (b"ELM327 v1.4b\r\r>", b"ELM327 v1.5\r\r>")
    assert (genuine.respond("ATRD", 0), clone.respond("ATRD", 0)) == (b"00\r\r>", b"?\r\r>")


def test_the_voltage_is_the_adapters_own_where_it_was_recorded():
    adapter = elm([*DRIVE, Reading(0, "adapter_voltage_v", 11.8), Reading(0, "module_voltage_v", 12.1)])
    assert adapter.respond("ATRV", 0) == b"11.8V\r\r>"


# What python-OBD calls the PIDs of our table that it decodes itself; our values to test them with.
PYTHON_OBD = {
    "speed_kmh": ("SPEED", 87),
    "rpm": ("RPM", 2134.25),
    "throttle_pct": ("THROTTLE_POS", 40),
    "engine_load_pct": ("ENGINE_LOAD", 60),
    "maf_gps": ("MAF", 12.34),
    "map_kpa": ("INTAKE_PRESSURE", 98),
    "coolant_c": ("COOLANT_TEMP", 91),
    "intake_c": ("INTAKE_TEMP", -7),
    "ambient_c": ("AMBIANT_AIR_TEMP", 21),
    "fuel_pct": ("FUEL_LEVEL", 80),
    "run_time_s": ("RUN_TIME", 4_321),
    "distance_since_clear_km": ("DISTANCE_SINCE_DTC_CLEAR", 12_345),
    "module_voltage_v": ("CONTROL_MODULE_VOLTAGE", 14.123),
    "pedal_d_pct": ("ACCELERATOR_POS_D", 20),
    "pedal_e_pct": ("ACCELERATOR_POS_E", 100),
}


def test_python_obd_connects_by_itself_and_decodes_every_value_as_recorded():
    import obd

    # python-OBD 0.7.3 does not know the odometer, and tells the trouble codes as a part of a status.
    assert set(PYTHON_OBD) == set(PIDS) - {"odometer_km", "dtc_count"}
    heard = []

    class ListeningElm(Elm327):
        def respond(self, command, now_ms):
            heard.append(command)
            return super().respond(command, now_ms)

    told = {name: value for name, (_, value) in PYTHON_OBD.items()} | {"dtc_count": 3}
    readings = [Reading(t, name, value) for t in (0, 600_000) for name, value in told.items()]
    with PlayedAdapter(ListeningElm(readings)) as adapter:
        connection = obd.OBD(adapter.port, fast=True)
        assert connection.is_connected()
        assert connection.protocol_name() == "ISO 15765-4 (CAN 11/500)"
        for command, value in PYTHON_OBD.values():
            decoded = connection.query(obd.commands[command]).value.magnitude
            assert decoded == pytest.approx(value, abs=0.2), command
        assert connection.query(obd.commands.STATUS).value.DTC_count == told["dtc_count"]
        assert not connection.supports(obd.commands.FUEL_TYPE)
        speeds = [connection.query(obd.commands.SPEED).value.magnitude for _ in range(4)]
        assert speeds == [87] * 4
        assert heard[-4:] == [
            "010D1",
            "",
            "",
            "",
        ]  # its fast mode: the number of replies to wait for, then bare repeats
        connection.close()
