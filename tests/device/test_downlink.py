from __future__ import annotations

import logging
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.contract import configuration
from device.contract import wire_pb2 as pb
from device.contract.configuration import ConfigFault, ConfigUpdate, Refusal, read_config, sign_config
from device.contract.errors import ContractError
from device.contract.rules import load_rules
from device.contract.signals import SIGNALS
from device.contract.signing import Signer
from device.downlink import MAX_ACK_BYTES, MAX_SEQ, Downlink, read_ack
from device.privacy import LOCATIONS, MOTIONS, Privacy
from tests.golden import FOLDER, downlink_v1

INSURER = Signer.from_seed(b"insurer".ljust(32, b"."))
STRANGER = Signer.from_seed(b"stranger".ljust(32, b"."))
NOW_MS = 1_767_225_600_000
DAY_MS = 86_400_000
UPDATE = ConfigUpdate("car", 7, NOW_MS, NOW_MS + 30 * DAY_MS, 1, "off", "off", {"speed_kmh": 200}, 30, 20)
STREAM = bytes(range(16))

polled = [signal.name for signal in SIGNALS if signal.period_ms and signal.name != "speed_kmh"]
updates = st.builds(
    lambda issued_ms, valid_ms, **rest: ConfigUpdate(
        "car", rest.pop("version"), issued_ms, issued_ms + valid_ms, **rest
    ),
    issued_ms=st.integers(0, 2**41),
    valid_ms=st.integers(0, 2**41),
    version=st.integers(1, 2**53),
    rules_version=st.none() | st.integers(1, 2**31 - 1),
    location=st.none() | st.sampled_from(LOCATIONS),
    motion=st.none() | st.sampled_from(MOTIONS),
    periods_ms=st.dictionaries(st.sampled_from(polled), st.integers(50, 3_600_000)),
    batch_s=st.none() | st.integers(1, 240),
    commit_s=st.none() | st.integers(1, 3_600),
)


ALL = Privacy("full", "full")


def downlink(consent=ALL, key=INSURER.public_key):
    return Downlink("car", key, consent)


def signed(signer=INSURER, **changes):
    return sign_config(replace(UPDATE, **changes), signer.sign)


def fault(answer):
    assert isinstance(answer, Refusal), answer
    assert "\n" not in answer.detail
    return answer.fault


@given(updates)
def test_what_is_signed_is_read(update):
    assert read_config(sign_config(update, INSURER.sign), INSURER.public_key) == update


def test_a_configuration_by_the_insurer_is_in_force_and_counted():
    link = downlink()
    assert link.take(signed(), NOW_MS) == UPDATE
    assert (link.applied, link.version, link.counters) == (UPDATE, 7, {"config_applied": 1})


def test_the_retained_message_comes_with_every_connection_and_counts_once():
    link = downlink()
    for _ in range(3):
        link.take(signed(), NOW_MS)
    assert link.counters == {"config_applied": 1}


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\xff" * 20, ConfigFault.GARBAGE),
        (bytes(configuration.MAX_CONFIG_BYTES + 1), ConfigFault.OVERSIZED),
        (pb.SignedConfig(config=b"\x0a\x03car").SerializeToString(), ConfigFault.UNSIGNED),
        (pb.SignedConfig(config=b"\x0a\x03car", signature=bytes(64)).SerializeToString(), ConfigFault.BAD_SIGNATURE),
        (signed(STRANGER), ConfigFault.BAD_SIGNATURE),
        (signed(device_id="bus"), ConfigFault.WRONG_DEVICE),
        (signed(version=6), ConfigFault.NOT_NEWER),
        (signed(version=7, batch_s=31), ConfigFault.NOT_NEWER),
        (signed(version=8, expires_at_ms=NOW_MS), ConfigFault.EXPIRED),
        (signed(version=8, location="full"), ConfigFault.BEYOND_CONSENT),
        (signed(version=8, motion="full", location=None), ConfigFault.BEYOND_CONSENT),
        (signed(version=8, rules_version=2**31 - 1), ConfigFault.OUT_OF_RANGE),
    ],
)
def test_a_configuration_that_is_refused_changes_nothing_and_says_why(payload, why):
    link = downlink(consent=Privacy("coarse", "off"))
    link.take(signed(), NOW_MS)
    before = link.to_state()
    assert fault(link.take(payload, NOW_MS + 1)) == why
    assert (link.applied, link.to_state()) == (UPDATE, before)
    assert link.counters == {"config_applied": 1, f"config_refused_{why}": 1}


def test_without_the_insurer_s_key_nothing_is_taken():
    assert fault(downlink(key=None).take(signed(), NOW_MS)) == ConfigFault.NO_KEY
    assert fault(downlink(key=b"short").take(signed(), NOW_MS)) == ConfigFault.BAD_SIGNATURE


def test_a_signature_over_the_same_bytes_for_another_purpose_is_none_over_a_configuration():
    config = pb.SignedConfig.FromString(signed()).config
    payload = pb.SignedConfig(config=config, signature=INSURER.sign(config)).SerializeToString()
    assert fault(downlink().take(payload, NOW_MS)) == ConfigFault.BAD_SIGNATURE


@given(st.data())
def test_one_changed_byte_is_never_taken_as_something_else(data):
    payload = bytearray(signed())
    payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    answer = read_config(bytes(payload), INSURER.public_key)
    assert isinstance(answer, Refusal) or answer == UPDATE


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"version": 0}, "version of 0"),
        ({"expires_at_ms": NOW_MS - 1}, "expires_at_ms"),
        ({"rules_version": 0}, "rules_version of 0"),
        ({"batch_s": 0}, "batch_s of 0 is outside 1 to 240"),
        ({"commit_s": 3_601}, "commit_s of 3601"),
        ({"periods_ms": {"speed_kmh": 1_001}}, "period of speed_kmh in ms of 1001 is outside 50 to 1000"),
        ({"periods_ms": {"rpm": 49}}, "period of rpm in ms of 49"),
        ({"periods_ms": {"latitude_deg": 1_000}}, "'latitude_deg' is not a signal that is polled"),
        ({"periods_ms": {"wings": 1_000}}, "'wings' is not a signal"),
        ({"device_id": "a/b"}, "device_id"),
    ],
)
def test_what_is_out_of_range_is_neither_signed_nor_taken(changes, what, monkeypatch):
    with pytest.raises(ContractError, match=what):
        signed(**changes)
    with monkeypatch.context() as patch:
        patch.setattr(configuration, "_fault", lambda update: None)
        payload = signed(**changes)
    answer = downlink().take(payload, NOW_MS)
    assert fault(answer) == ConfigFault.OUT_OF_RANGE
    assert what.split(" in ms")[0] in answer.detail


@pytest.mark.parametrize("choice", [{"location": 9}, {"motion": 9}])
def test_a_setting_of_a_later_release_is_out_of_range(choice):
    message = pb.DeviceConfigUpdate(device_id="car", version=1, expires_at_ms=NOW_MS, **choice)
    config = message.SerializeToString()
    payload = pb.SignedConfig(config=config, signature=INSURER.sign(configuration.PREFIX + config)).SerializeToString()
    assert fault(downlink().take(payload, NOW_MS)) == ConfigFault.OUT_OF_RANGE


@given(st.sampled_from(LOCATIONS), st.sampled_from(MOTIONS), updates)
def test_no_configuration_makes_privacy_looser_than_the_consent(location, motion, update):
    consent = Privacy(location, motion)
    link = downlink(consent)
    link.take(sign_config(replace(update, rules_version=None), INSURER.sign), update.issued_at_ms)
    assert link.privacy.is_within(consent)
    if link.applied:
        assert link.privacy.location == (update.location or location)
        assert link.privacy.motion == (update.motion or motion)
    else:
        assert link.privacy == consent


def test_an_unknown_clock_cannot_tell_what_has_expired_so_it_waits():
    link = downlink()
    assert link.take(signed(), None) is None
    assert (link.advance(None), link.applied) == (None, None)
    assert link.advance(NOW_MS) == UPDATE
    assert link.advance(NOW_MS) is None
    late = downlink()
    late.take(signed(), None)
    answer = late.advance(UPDATE.expires_at_ms + 60_000)
    assert fault(answer) == ConfigFault.EXPIRED
    assert answer.detail == "version 7 expired 60 s ago"


def test_what_is_in_force_survives_a_restart_and_its_own_expiry():
    link = downlink(Privacy("coarse", "full"))
    link.take(signed(location="coarse"), NOW_MS)
    again = downlink(Privacy("off", "full"))  # the driver has agreed to less since
    again.restore(link.to_state())
    assert again.version == 7
    assert again.privacy == Privacy("off", "off")
    assert fault(again.take(signed(version=5), NOW_MS + 90 * DAY_MS)) == ConfigFault.NOT_NEWER


def test_another_insurer_or_another_name_starts_anew():
    link = downlink()
    link.take(signed(), NOW_MS)
    for other in (downlink(key=STRANGER.public_key), Downlink("bus", INSURER.public_key, Privacy())):
        other.restore(link.to_state())
        assert (other.version, other.applied) == (0, None)


def test_a_release_that_lacks_the_event_rules_in_force_starts_anew(monkeypatch):
    link, older = downlink(), downlink()
    link.take(signed(), NOW_MS)
    monkeypatch.setattr("device.downlink.load_rules", lambda version: load_rules(2**31 - 1))
    older.restore(link.to_state())
    assert older.applied is None


def test_nothing_in_force_is_a_state_too():
    link = downlink()
    link.restore(downlink().to_state())
    assert (link.applied, link.privacy) == (None, Privacy("full", "full"))


def test_the_empty_message_that_deletes_a_retained_one_changes_nothing():
    link = downlink()
    link.take(signed(), NOW_MS)
    assert link.take(b"", NOW_MS) is None
    assert (link.applied, link.counters) == (UPDATE, {"config_applied": 1})


def test_a_flood_of_refusals_is_counted_and_logged_once(caplog):
    caplog.set_level(logging.WARNING)
    link = downlink()
    for number in range(50):
        link.take(b"\xff" + bytes([number]), NOW_MS)
    assert link.counters == {"config_refused_garbage": 50}
    assert len(caplog.records) == 1


def golden(name):
    return bytes.fromhex((FOLDER / "downlink" / "v1" / f"{name}.hex").read_text())


@pytest.mark.parametrize("name", downlink_v1.UPDATES)
def test_golden_configurations_are_taken_as_what_they_said(name):
    assert read_config(golden(name), downlink_v1.INSURER.public_key) == downlink_v1.UPDATES[name]


@pytest.mark.parametrize("name", downlink_v1.ACKS)
def test_golden_acks_are_read(name):
    assert read_ack(golden(name)) == downlink_v1.ACKS[name]


spans = st.builds(lambda a, b: (min(a, b), max(a, b)), st.integers(1, MAX_SEQ), st.integers(1, MAX_SEQ))


@given(st.lists(spans, max_size=5), st.lists(spans, max_size=5))
def test_an_ack_is_read(stored, rejected):
    ranges = [[pb.Range(first=a, last=b) for a, b in some] for some in (stored, rejected)]
    ack = pb.Ack(stream_id=STREAM, stored=ranges[0], rejected=ranges[1])
    assert read_ack(ack.SerializeToString()) == ack


@pytest.mark.parametrize(
    "payload",
    [
        b"\xff\xff",
        bytes(MAX_ACK_BYTES + 1),
        b"",
        pb.Ack(stream_id=b"short").SerializeToString(),
        pb.Ack(stream_id=STREAM, stored=[pb.Range(first=2, last=1)]).SerializeToString(),
        pb.Ack(stream_id=STREAM, stored=[pb.Range(first=0, last=1)]).SerializeToString(),
        pb.Ack(stream_id=STREAM, rejected=[pb.Range(first=1, last=2**63)]).SerializeToString(),
    ],
)
def test_an_ack_of_what_cannot_be_is_none(payload):
    assert read_ack(payload) is None
