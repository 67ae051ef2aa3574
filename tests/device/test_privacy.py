from __future__ import annotations

import itertools
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device import privacy_page
from device.contract import bodies, packing, wire
from device.contract import wire_pb2 as pb
from device.contract.signing import Signer
from device.privacy import LOCATIONS, MOTIONS, TABLE, Privacy, When, allowed, cell_of, point_of
from tests.device.any_body import MESSAGES, any_body, present

PAGE = Path(__file__).resolve().parents[2] / "docs" / "privacy.md"
COMBINATIONS = [Privacy(location, motion) for location in LOCATIONS for motion in MOTIONS]
combinations = st.sampled_from(COMBINATIONS)


def leaves(body: bodies.Body) -> set[str]:
    return set(present(MESSAGES[type(body)].FromString(packing.to_bytes(body))))


def test_the_strictest_settings_are_the_default():
    assert Privacy() == Privacy("off", "off")
    assert all(Privacy().is_within(other) for other in COMBINATIONS)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_field_of_the_wire_has_its_place_in_the_table(message):
    listed = [name for row in TABLE if row.message is message for name in row.names]
    assert len(listed) == len(set(listed))
    assert set(listed) == {entry.name for entry in fields(message)}
    on_the_wire = set(MESSAGES[message].DESCRIPTOR.fields_by_name)
    if message is bodies.Motion:
        on_the_wire = on_the_wire - set(bodies.BOUNDS) | {"columns"}
    assert set(listed) == on_the_wire - ({"count"} if message is bodies.Track else set())


def test_every_body_of_the_wire_is_in_the_table():
    told = {privacy_page.NAMES[message] for message in MESSAGES if message is not wire.Header}
    assert {f"BODY_{name.upper().replace(' ', '_')}" for name in told} == set(pb.BodyKind.keys()) - {"BODY_NONE"}


@given(any_body)
def test_strict_sends_no_position_and_no_motion_but_that_of_an_impact(body):
    left = allowed(body, Privacy())
    if isinstance(body, bodies.Motion | bodies.Track):
        assert left is None
        return
    assert left is not None
    assert not leaves(left) & {"cell", "start_cell", "end_cell", "lat_cdeg", "lon_cdeg", "lat_e5deg", "lon_e5deg"}
    if not isinstance(left, bodies.Impact):
        assert not leaves(left) & set(bodies.BOUNDS)


@given(any_body)
def test_full_sends_all_there_is(body):
    assert allowed(body, Privacy("full", "full")) is body


@given(any_body, combinations, combinations)
def test_a_looser_setting_tells_all_that_a_stricter_one_does(body, one, other):
    assert allowed(body, one) is None or allowed(allowed(body, one), one) == allowed(body, one)
    if one.is_within(other) and (left := allowed(body, one)) is not None:
        more = allowed(body, other)
        assert more is not None
        assert leaves(left) <= leaves(more)
        assert allowed(more, one) == left


@given(any_body, combinations)
def test_what_leaves_is_what_the_table_says(body, privacy):
    left = allowed(body, privacy)
    when = {name: row.when for row in TABLE if row.message is type(body) for name in row.names}
    if left is None:
        assert not all(condition.holds(privacy) for condition in when.values())
        return
    for name, condition in when.items():
        if condition.holds(privacy):
            assert getattr(left, name) == getattr(body, name)
        else:
            assert getattr(left, name) is None


def test_a_field_without_a_place_in_the_table_does_not_leave(monkeypatch):
    end = bodies.TripEnd(1, 1, bodies.TripSummary(), adapter="x")
    table = {(type(end), name): When.ALWAYS for name in ("trip_seq", "reason", "summary")}
    monkeypatch.setattr("device.privacy._WHEN", table)
    left = allowed(end, Privacy("full", "full"))
    assert left == bodies.TripEnd(1, 1, bodies.TripSummary())
    del table[type(end), "reason"]
    assert allowed(end, Privacy("full", "full")) is None


def test_settings_are_ordered_from_strict_to_loose():
    for one, other in itertools.product(COMBINATIONS, repeat=2):
        both = one.stricter(other)
        assert both.is_within(one)
        assert both.is_within(other)
        assert (both == one) == one.is_within(other)
    assert not Privacy("coarse", "off").is_within(Privacy("off", "full"))


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_a_cell_is_the_nearest_of_its_grid_and_fits_the_wire(latitude_deg, longitude_deg):
    cell = cell_of(latitude_deg, longitude_deg)
    assert abs(cell.lat_cdeg / 100 - latitude_deg) <= 0.005 + 1e-9
    assert abs(cell.lon_cdeg / 100 - longitude_deg) <= 0.005 + 1e-9
    lat, lon = point_of(latitude_deg, longitude_deg)
    start = bodies.TripStart(500, 0, None, 1, 1, start_cell=cell)
    for body in (start, bodies.Track(1, 0, 1_000, [lat], [lon])):
        assert packing.from_bytes(packing.kind_of(body), packing.to_bytes(body)) == body


def test_all_positions_of_a_cell_look_the_same():
    home, next_door = cell_of(48.137_154, 11.576_124), cell_of(48.140_2, 11.579_9)
    assert home == next_door == bodies.Cell(4_814, 1_158)


def test_a_vin_s_hash_is_the_same_in_one_device_only():
    vin = "WVWZZZ1JZXW000001"
    device, other = Signer.from_seed(bytes(32)), Signer.from_seed(bytes(31) + b"\1")
    assert device.vin_hash(vin) == device.vin_hash(" wvwzzz1jzxw000001 ")
    assert len({device.vin_hash(vin), device.vin_hash("WVWZZZ1JZXW000002"), other.vin_hash(vin)}) == 3
    assert len(device.vin_hash(vin)) == bodies.MAX_HASH_BYTES


def test_the_page_is_made_from_the_table():
    made = privacy_page.markdown()
    assert PAGE.read_text(encoding="utf-8") == made, "run: python -m device.privacy_page > docs/privacy.md"
