"""Packets against what the standard says and what paho, another implementation, makes and reads."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest import mqtt
from ingest.mqtt import MQTT5, MQTT311, MqttError, Parser

packets = st.lists(st.tuples(st.integers(0x10, 0xFF), st.binary(max_size=300)), max_size=8)


def stream_of(pieces):
    return b"".join(mqtt._packet(first, body) for first, body in pieces)


@given(packets, st.randoms(use_true_random=False))
def test_a_stream_is_cut_into_its_packets_however_it_arrives(sent, rng):
    stream, parser, got = stream_of(sent), Parser(), []
    while stream:
        at = rng.randrange(1, len(stream) + 1)
        got += parser.feed(stream[:at])
        stream = stream[at:]
    assert got == sent


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 300_000])
def test_lengths_of_all_widths(size):
    (packet,) = Parser().feed(stream_of([(0x30, bytes(size))]))
    assert packet == (0x30, bytes(size))


@pytest.mark.parametrize("stream", [b"\x30\xff\xff\xff\xff\x01", b"\x30\xff\xff\xff\x7f"])
def test_a_length_that_is_none_or_too_large_ends_the_connection(stream):
    with pytest.raises(MqttError):
        Parser().feed(stream + bytes(10))


@given(st.binary(max_size=200))
def test_no_stream_makes_anything_but_an_mqtt_error(stream):
    try:
        for first, body in Parser().feed(stream):
            for version in (MQTT311, MQTT5):
                mqtt.read_publish(version, first, body)
                mqtt.read_greeting(version, body)
    except MqttError:
        pass


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40), st.binary(max_size=400))
def test_a_publish_is_read_as_it_was_written(topic, payload):
    for version in (MQTT311, MQTT5):
        ((first, body),) = Parser().feed(mqtt.publish(version, 513, topic, payload))
        assert mqtt.read_publish(version, first, body) == (topic.encode(), b"\2\1", payload)


def test_properties_of_a_publish_are_passed_over():
    told = Properties(PacketTypes.PUBLISH)
    told.UserProperty = [("a", "b" * 200), ("c", "d")]
    told.MessageExpiryInterval = 9
    told.CorrelationData = b"x" * 9
    body = b"\0\1t" + b"\0\5" + told.pack() + b"payload"
    assert mqtt.read_publish(MQTT5, 0x32, body) == (b"t", b"\0\5", b"payload")
    assert mqtt.read_publish(MQTT5, 0x30, b"\0\1t" + told.pack()) == (b"t", b"", b"")


def test_a_greeting_tells_reason_and_limits():
    told = Properties(PacketTypes.CONNACK)
    told.ReceiveMaximum = 20
    told.MaximumPacketSize = 70_000
    told.AssignedClientIdentifier = "you"
    told.UserProperty = ("a", "b")
    told.ReasonString = "fine"
    greeting = mqtt.read_greeting(MQTT5, b"\0\0" + told.pack())
    assert greeting.reason == 0
    assert greeting.properties[mqtt.RECEIVE_MAXIMUM] == 20
    assert mqtt.read_greeting(MQTT311, b"\0\5") == mqtt.Greeting(5, {})
    assert mqtt.reason_of(MQTT311, 5) == mqtt.reason_of(MQTT5, 0x87) == "Not authorized"
    assert mqtt.reason_of(MQTT5, 0xB0) == "reason 0xb0"


@given(st.randoms(use_true_random=False))
def test_a_damaged_greeting_is_an_mqtt_error_or_a_greeting(rng):
    told = Properties(PacketTypes.CONNACK)
    told.ReceiveMaximum = 20
    told.ReasonString = "fine"
    body = bytearray(b"\0\0" + told.pack())
    for _ in range(rng.randrange(1, 4)):
        body[rng.randrange(len(body))] = rng.randrange(256)
    with suppress(MqttError):
        mqtt.read_greeting(MQTT5, bytes(body[: rng.randrange(len(body) + 1)]))


def test_a_connect_is_what_the_standard_draws():
    assert mqtt.connect(MQTT311, "me", 30, {}) == b"\x10\x0e\0\4MQTT\x04\x02\0\x1e\0\2me"
    limits = {mqtt.RECEIVE_MAXIMUM: 4_000, mqtt.MAXIMUM_PACKET_SIZE: 2**19}
    told = Properties(PacketTypes.CONNECT)
    told.ReceiveMaximum, told.MaximumPacketSize = 4_000, 2**19
    head = b"\0\4MQTT\x05\x02\0\x1e"
    packet = mqtt.connect(MQTT5, "me", 30, limits)
    assert packet[2:12] == head
    assert set(packet[12:-4]) == set(told.pack())
    assert packet.endswith(b"\0\2me")


def test_pubacks_go_out_in_one_piece():
    ids = [random.Random(1).randbytes(2) for _ in range(3)]
    assert mqtt.pubacks(ids) == b"".join(b"\x40\2" + packet_id for packet_id in ids)
    assert mqtt.pubacks([]) == b""
