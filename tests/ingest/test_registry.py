from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract.errors import UsageError
from ingest.devices import (
    ACTIVE,
    LOCATION,
    MOTION,
    PURPOSES,
    REVOKED,
    Certificate,
    Consent,
    Device,
    Key,
    PolicyLink,
    parse_device,
)
from ingest.registry import Registry, RegistryFile, change_registry, read_registry

TODAY = date(2026, 11, 22)
CAR = Device("car-1", ACTIVE, TODAY, Consent(("pricing",)), (Key("ab" * 32, TODAY),))
BUS = replace(CAR, device_id="bus", status=REVOKED)


def written(path, *devices):
    path.write_bytes(Registry(devices).to_bytes())
    return path


def at(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1_000)


days = st.dates(date(2020, 1, 1), date(2040, 1, 1))
texts = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)
devices = st.builds(
    Device,
    device_id=st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    status=st.sampled_from([ACTIVE, REVOKED]),
    enrolled_on=days,
    consent=st.builds(
        Consent,
        purposes=st.lists(st.sampled_from(PURPOSES), unique=True).map(tuple),
        location=st.sampled_from(LOCATION),
        motion=st.sampled_from(MOTION),
    ),
    keys=st.lists(st.builds(Key, st.binary(min_size=32, max_size=32).map(bytes.hex), days, st.none() | days)).map(
        tuple
    ),
    certificates=st.lists(st.builds(Certificate, st.integers(1, 2**159).map("{:x}".format), days)).map(tuple),
    policies=st.lists(st.builds(PolicyLink, texts, texts, days, st.none()), max_size=1).map(tuple),
)


@given(devices)
def test_a_device_is_what_its_line_says(device):
    assert parse_device(device.to_line()) == device
    assert device.to_line().count(b"\n") == 0


def test_a_file_has_a_line_a_device_by_name_and_blank_lines_are_allowed(tmp_path):
    path = written(tmp_path / "r.jsonl", CAR, BUS)
    assert [json.loads(line)["device_id"] for line in path.read_text().splitlines()] == ["bus", "car-1"]
    path.write_text("\n" + path.read_text() + "\n\n")
    assert read_registry(path)[0].devices == {"bus": BUS, "car-1": CAR}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"statuss": "active"}, "key 'statuss' is not known; did you mean 'status'?"),
        ({"status": "asleep"}, "status: 'asleep' is not one of active, revoked"),
        ({"status": None}, "status: None is not one of"),
        ({"device_id": "a/b"}, "device_id: device id 'a/b': use 1 to 64"),
        ({"enrolled_on": "22.11.2026"}, "enrolled_on: '22.11.2026' is not a day; write one such as 2026-11-22"),
        ({"consent": {"purposes": ["fun"]}}, "consent: purposes: 'fun' is not one of pricing, accident"),
        ({"consent": {"motion": "coarse"}}, "consent: motion: 'coarse' is not one of off, full"),
        ({"consent": []}, "consent: [] is not an object of purposes, location, motion"),
        ({"keys": [{"public_key": "AB" * 32, "since": "2026-01-01"}]}, "is not 64 lower-case hex digits"),
        ({"keys": [{"public_key": "ab" * 32}]}, "keys: key 'since' is missing"),
        ({"policies": {}}, "policies: {} is not a list"),
        (
            {
                "policies": [
                    {"policy_id": p, "driver_id": "D", "start": s}
                    for p, s in (("P", "2026-01-01"), ("Q", "2026-02-01"))
                ]
            },
            "policies: 'Q' begins while 'P' runs; end that one first",
        ),
    ],
)
def test_a_line_that_cannot_be_used_is_told_with_file_line_and_key(tmp_path, change, said):
    values = json.loads(CAR.to_line()) | change
    path = written(tmp_path / "r.jsonl", BUS)
    path.write_bytes(path.read_bytes() + json.dumps(values).encode() + b"\n")
    with pytest.raises(UsageError) as caught:
        read_registry(path)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert said in str(caught.value)


def test_no_file_half_a_line_and_a_device_twice_are_told(tmp_path):
    path = tmp_path / "r.jsonl"
    with pytest.raises(UsageError, match="No such file or directory; name the file that 'ubi ingest enrol' writes"):
        RegistryFile(path)
    path.write_bytes(CAR.to_line()[:-5])
    with pytest.raises(UsageError, match=r"r\.jsonl:1: not JSON"):
        read_registry(path)
    path.write_bytes(CAR.to_line() + b"\n\n" + replace(CAR, status=REVOKED).to_line())
    with pytest.raises(UsageError, match=r"r\.jsonl:3: 'car-1' stands in line 1 too; keep one of them"):
        read_registry(path)


def test_a_key_counts_from_its_first_day_to_the_day_before_its_last(tmp_path):
    keys = (Key("aa" * 32, date(2026, 1, 1), date(2026, 3, 1)), Key("bb" * 32, date(2026, 2, 1)))
    registry = Registry([replace(CAR, keys=keys)])
    told = {
        day: [key[:1].hex() for key in registry.keys_of("car-1", at(day))]
        for day in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 2, 1), date(2026, 2, 28), date(2026, 3, 1))
    }
    assert list(told.values()) == [[], ["aa"], ["bb", "aa"], ["bb", "aa"], ["bb"]]
    assert registry.keys_of("nobody", at(TODAY)) == ()


def test_a_changed_file_is_taken_over_and_a_broken_one_is_not(tmp_path):
    path = written(tmp_path / "r.jsonl", CAR)
    file = RegistryFile(path)
    assert not file.refresh()
    change_registry(path, lambda registry: registry.devices.update(bus=BUS))
    assert file.refresh()
    assert file.registry.get("bus") == BUS
    known = file.registry.get("car-1")
    path.write_bytes(path.read_bytes() + b"oops\n")
    assert (file.refresh(), file.errors) == (False, 1)
    assert (file.refresh(), file.errors) == (False, 1)  # told once, not with every look
    assert file.registry.get("car-1") is known
    path.unlink()
    assert (file.refresh(), file.errors) == (False, 2)
    written(path, CAR)
    assert file.refresh()
    assert file.registry.get("bus") is None
    assert file.registry.get("car-1") == known


def test_unchanged_lines_are_not_parsed_again(tmp_path, monkeypatch):
    path = written(tmp_path / "r.jsonl", CAR, BUS)
    file = RegistryFile(path)
    parsed = []
    monkeypatch.setattr("ingest.registry.parse_device", lambda line: parsed.append(line) or parse_device(line))
    written(path, replace(CAR, status=REVOKED), BUS)
    assert file.refresh()
    assert len(parsed) == 1


def test_a_change_is_whole_or_not_at_all_and_private(tmp_path):
    path = tmp_path / "new" / "r.jsonl"
    change_registry(path, lambda registry: registry.devices.update(car=CAR))
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()

    def fail(registry):
        registry.devices.clear()
        raise UsageError("no")

    with pytest.raises(UsageError):
        change_registry(path, fail)
    assert path.read_bytes() == before
    path.chmod(0o640)
    change_registry(path, lambda registry: registry.devices.clear())
    assert path.read_bytes() == b""
    assert path.stat().st_mode & 0o777 == 0o640  # the operator lets a group read it
