"""An insurer as small as a test needs: hears every message of every device and acknowledges what it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from device.contract import topics, wire
from device.contract import wire_pb2 as pb

PATIENCE_S = 30.0


def ack(stream_id: bytes, *seqs: int, rejected: tuple[int, ...] = ()) -> bytes:
    """Bytes of an application ack."""
    stored = [pb.Range(first=seq, last=seq) for seq in seqs]
    refused = [pb.Range(first=seq, last=seq) for seq in rejected]
    return pb.Ack(stream_id=stream_id, stored=stored, rejected=refused).SerializeToString()


class Insurer:
    """Keeps what arrives in `payloads`, in order of arrival; acks each message that `takes` says yes to."""

    def __init__(self, port: int, takes: Callable[[wire.Message], bool] = lambda _message: True) -> None:
        self.takes = takes
        self.payloads: list[bytes] = []
        self.statuses: list[bytes] = []
        self._ready: SimpleQueue[bool] = SimpleQueue()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, "insurer", protocol=mqtt.MQTTv311)
        self._client.on_connect = lambda client, *_: client.subscribe([(topics.UP_FILTER, 1), ("ubi/v1/+/status", 1)])
        self._client.on_subscribe = lambda *_: self._ready.put(True)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._ready.get(timeout=PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    @property
    def messages(self) -> list[wire.Message]:
        """What arrived, decoded, duplicates and all."""
        decoded = [wire.decode(payload) for payload in self.payloads]
        return [message for message in decoded if isinstance(message, wire.Message)]

    @property
    def stream(self) -> list[bytes]:
        """Payloads of the only stream in order of seq; the test fails if a seq came with two contents."""
        by_seq: dict[int, bytes] = {}
        for payload, message in zip(self.payloads, self.messages, strict=True):
            assert by_seq.setdefault(message.header.seq, payload) == payload
        assert sorted(by_seq) == list(range(1, len(by_seq) + 1))
        return [by_seq[seq] for seq in sorted(by_seq)]

    def say(self, device_id: str, payload: bytes) -> None:
        """Publish an ack of the test's own making."""
        self._client.publish(topics.ack(device_id), payload, qos=1).wait_for_publish(PATIENCE_S)

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic.endswith("/status"):
            self.statuses.append(bytes(message.payload))
            return
        self.payloads.append(bytes(message.payload))
        decoded = wire.decode(self.payloads[-1])
        if isinstance(decoded, wire.Message) and self.takes(decoded):
            header = decoded.header
            self._client.publish(topics.ack(header.device_id), ack(header.stream_id, header.seq), qos=1)


def until(condition: Callable[[], object], step: Callable[[], object] | None = None) -> None:
    """Wait for a condition of another process or thread; `step` is called on the way."""
    pause: SimpleQueue[None] = SimpleQueue()
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        if step is not None:
            step()
        try:
            pause.get(timeout=0.01)
        except Empty:
            continue
