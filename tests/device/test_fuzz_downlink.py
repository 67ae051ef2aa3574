"""A campaign of mutated bytes over what a broker can send to the car: acks and configurations.

A third are acks, a third configurations mutated as sent, and a third such whose content is mutated and then signed by
the insurer: a good signature must not be the only thing between a bug over there and the car.

    make campaign ARGS='-k fuzz_downlink'              3 million, 12 chunks
"""

from __future__ import annotations

import random

import pytest

from device import downlink
from device.contract import configuration
from device.contract import wire_pb2 as pb
from device.contract.configuration import ConfigUpdate, sign_config
from device.contract.signing import Signer
from device.downlink import MAX_SEQ, Downlink, read_ack
from device.privacy import Privacy
from tests.device.mutations import campaign, mutated, reshaped

CHUNKS, PER_CHUNK = 12, 250_000
SHORT = 9_000
INSURER = Signer.from_seed(bytes(range(32)))
NOW_MS = 1_767_225_600_000
CONSENT = Privacy("coarse", "off")
UPDATES = [
    ConfigUpdate("car", 5, NOW_MS, NOW_MS + 10**9, 1, "coarse", "off", {"speed_kmh": 200, "rpm": 2_000}, 30, 20),
    ConfigUpdate("car", 2**40, NOW_MS, NOW_MS + 10**9),
]
CONFIGS = [sign_config(update, INSURER.sign) for update in UPDATES]
CONTENTS = [pb.SignedConfig.FromString(payload).config for payload in CONFIGS]
ACKS = [
    pb.Ack(stream_id=bytes(16), stored=[pb.Range(first=1, last=9)], rejected=[pb.Range(first=4, last=MAX_SEQ)]),
    pb.Ack(stream_id=bytes(range(16)), stored=[pb.Range(first=n, last=n) for n in range(1, 40)]),
]
ACK, SENT, SIGNED = b"a", b"c", b"s"  # which of the three an input is: its first byte
STATE = {"config": sign_config(ConfigUpdate("car", 4, NOW_MS, NOW_MS), INSURER.sign).hex()}
OFTEN = {"an ack", "no ack", "applied", "garbage", "bad_signature", "out_of_range"}
ALL = OFTEN | {"unsigned", "not_newer", "beyond_consent", "expired", "wrong_device"}


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    monkeypatch.setattr(downlink.log, "disabled", True)


def make(draw: random.Random) -> bytes:
    way = draw.choice((ACK, SENT, SIGNED))
    if way == ACK:
        ack = pb.Ack()
        ack.CopyFrom(draw.choice(ACKS))
        if draw.random() < 0.5:
            reshaped(draw, ack)
            return ACK + ack.SerializeToString()
        return ACK + mutated(draw, ack.SerializeToString(), CONTENTS)
    if way == SENT:
        return SENT + mutated(draw, draw.choice(CONFIGS), CONFIGS)
    content = draw.choice(CONTENTS)
    if draw.random() < 0.5:
        return SIGNED + mutated(draw, content, CONTENTS)
    message = pb.DeviceConfigUpdate.FromString(content)
    reshaped(draw, message)
    return SIGNED + message.SerializeToString()


def judge(made: bytes) -> str:
    way, payload = made[:1], made[1:]
    if way == ACK:
        ack = read_ack(payload)
        if ack is None:
            return "no ack"
        assert all(1 <= span.first <= span.last <= MAX_SEQ for span in [*ack.stored, *ack.rejected])
        return "an ack"
    if way == SIGNED:
        signature = INSURER.sign(configuration.PREFIX + payload)
        payload = pb.SignedConfig(config=payload, signature=signature).SerializeToString()
    link = Downlink("car", INSURER.public_key, CONSENT)
    link.restore(STATE)
    before = link.to_state()
    answer = link.take(payload, NOW_MS)
    assert link.privacy.is_within(CONSENT)
    if isinstance(answer, ConfigUpdate):
        assert (answer.device_id, answer.version > 4, link.applied) == ("car", True, answer)
        assert way == SIGNED or answer in UPDATES
        again = Downlink("car", INSURER.public_key, CONSENT)
        again.restore(link.to_state())
        assert again.applied == answer
        return "applied"
    assert link.to_state() == before
    return "nothing" if answer is None else str(answer.fault)


def test_mutated_acks_and_configurations_get_an_answer():
    seed = random.randrange(2**32)
    assert set(campaign(seed, SHORT, make, judge)) >= OFTEN, seed


@pytest.mark.long
@pytest.mark.parametrize("chunk", range(CHUNKS), ids=lambda number: f"chunk-{number}")
def test_a_campaign_of_mutated_acks_and_configurations(chunk):
    assert set(campaign(chunk, PER_CHUNK, make, judge)) >= ALL
