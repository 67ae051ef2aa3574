"""Hears the application acks of all devices, as a bystander with a client of its own."""

from __future__ import annotations

from collections import defaultdict
from queue import Empty, SimpleQueue
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from device.contract import wire_pb2 as pb
from tests.ingest.drive import seqs

PATIENCE_S = 30.0


class Acks:
    """`stored` and `rejected`: seqs by device, as far as `read` has taken them in."""

    def __init__(self, port: int) -> None:
        self.stored: dict[str, set[int]] = defaultdict(set)
        self.rejected: dict[str, set[int]] = defaultdict(set)
        self._heard: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        ready: SimpleQueue[bool] = SimpleQueue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
        self._client.on_connect = lambda client, *_: client.subscribe("ubi/v1/+/ack", qos=1)
        self._client.on_subscribe = lambda *_: ready.put(True)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        ready.get(timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def read(self) -> Self:
        """Take in what has come."""
        while True:
            try:
                topic, payload = self._heard.get_nowait()
            except Empty:
                return self
            device = topic.split("/")[2]
            ack = pb.Ack.FromString(payload)
            self.stored[device] |= seqs(ack.stored)
            self.rejected[device] |= seqs(ack.rejected)

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._heard.put((message.topic, bytes(message.payload)))
