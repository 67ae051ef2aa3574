"""Recordings over a road that loses, doubles, reorders and cuts: every message arrives, as if the road were good."""

from __future__ import annotations

import pytest

from device.contract.broker import parse_broker
from replay_data.driven import messages_of
from replay_data.faults import parse_faults
from replay_data.generate import FOLDER
from replay_data.player import Player
from replay_data.recording import read_recording
from tests.insurer import Insurer

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]
TRIPS = sorted(FOLDER.glob("sim-reckless-2*.ubirec"))


@pytest.mark.parametrize("text", ["drop:0.4", "duplicate:0.5", "reorder:20", "cut:7", "duplicate,reorder:5,cut:15"])
def test_every_message_arrives_once_in_content_whatever_the_road_does(text, mosquitto, tmp_path):
    spec = parse_faults(text)
    recording = spec.laid_over(read_recording(TRIPS[0]))
    with Insurer(mosquitto.port) as insurer:
        player = Player(parse_broker(mosquitto.url), tmp_path, faults=spec)
        try:
            player.play(recording)
            player.deliver()
        finally:
            player.close()
        assert insurer.stream == messages_of(recording)
        orders = [message.header.seq for message in insurer.messages]
    if "reorder" in text:
        assert orders != sorted(orders)
    if "duplicate" in text:
        assert len(orders) > len(set(orders))
    assert player.results[0].acked == len(set(orders))


def test_faults_of_readings_make_a_stream_of_their_own():
    clean = read_recording(TRIPS[0])
    spiked = parse_faults("spike:0.05").laid_over(clean)
    rough = parse_faults("drop").laid_over(clean)
    assert spiked.stream_id != clean.stream_id
    assert messages_of(spiked) != messages_of(clean)
    assert rough == clean
