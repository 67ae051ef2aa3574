"""A paho subscriber that acks at once and does nothing else: the ceiling of a worker that uses paho."""

from __future__ import annotations

import sys
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def main(port: int, window: int, topic_filter: str, wanted: int) -> None:
    """Take so many messages, then end."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
    properties = Properties(PacketTypes.CONNECT)
    properties.ReceiveMaximum = window
    got = 0

    def on_message(*_: Any) -> None:
        nonlocal got
        got += 1

    client.on_message = on_message
    client.connect("127.0.0.1", port, clean_start=True, properties=properties)
    client.subscribe(topic_filter, qos=1)
    while got < wanted:
        client.loop(0.1)
    client.disconnect()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
