"""The uplink: what waits in the outbox goes to the broker until the insurer says that it holds it.

A row leaves the outbox on the application ack alone. The broker's PUBACK says nothing about durability (a broker
killed with -9 has lost from one to all of what it acknowledged), and nothing in the MQTT client's memory counts: a
connection is one client, thrown away with all it holds when the connection breaks; what is not acked is sent again.

Threads: the network runs in the client's own; it only puts what happened into a queue. `step`, and with it the
outbox, runs in the caller's thread and never waits for the network.
"""

from __future__ import annotations

import logging
import ssl
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

import paho.mqtt.client as mqtt
from google.protobuf.message import DecodeError
from paho.mqtt.enums import CallbackAPIVersion

from device.contract import topics
from device.contract import wire_pb2 as pb
from device.contract.broker import BrokerAddress, ClientCertificate, tls_context
from device.outbox import Outbox

log = logging.getLogger(__name__)

WINDOW_ROWS: Final = 500  # sent and not acked, for each outbox; more than a segment of the insurer holds back
RESEND_MS: Final = 60_000  # an unacked row is sent again after this long, then after twice as long, ...
RESEND_MAX_MS: Final = 3_600_000
RECONNECT_MS: Final = 1_000  # before the second attempt, then twice as long, ...
RECONNECT_MAX_MS: Final = 60_000
CONNECT_TIMEOUT_S: Final = 5.0
KEEPALIVE_S: Final = 30
GOODBYE_S: Final = 2.0
MAX_ACK_BYTES: Final = 65_536
ONLINE: Final = b"online"
OFFLINE: Final = b"offline"


class Ready(NamedTuple):
    """The connection stands and acks can be heard."""


class Lost(NamedTuple):
    """The connection is gone, or never came to be."""

    reason: str


class Acked(NamedTuple):
    """Bytes of an application ack."""

    payload: bytes


@dataclass(slots=True)
class _Lane:
    """What one outbox has on the road: seq -> (when to send again, how often it was sent)."""

    outbox: Outbox
    last_seq: int = 0
    sent: dict[int, tuple[int, int]] = field(default_factory=dict)


class Uplink:
    """Sends the rows of one device's outboxes and deletes them on the application ack.

    Parameters
    ----------
    device_id : str
    broker : BrokerAddress
    ca_file : Path or None
        Certificates of the authorities to trust; None = the system's.
    resend_ms : int
        First wait for an application ack.
    client : ClientCertificate or None
        The device's own certificate, where the broker asks for one.
    """

    def __init__(
        self,
        device_id: str,
        broker: BrokerAddress,
        ca_file: Path | None = None,
        resend_ms: int = RESEND_MS,
        client: ClientCertificate | None = None,
    ) -> None:
        self.device_id = topics.checked_device_id(device_id)
        self.broker = broker
        self.counters: Counter[str] = Counter()
        self.last_error = ""
        self.is_ready = False
        self._tls = tls_context(ca_file, client) if broker.tls else None
        self._resend_ms = resend_ms
        self._lanes: dict[bytes, _Lane] = {}
        self._inbox: Inbox = SimpleQueue()
        self._connection: _Connection | None = None
        self._failures = 0
        self._connect_at_ms: int | None = None

    def add(self, outbox: Outbox) -> None:
        """Send this outbox's rows too; one device may have several (a replayed recording has its own stream)."""
        self._lanes[outbox.stream_id] = _Lane(outbox)

    def remove(self, outbox: Outbox) -> None:
        """Forget an outbox."""
        del self._lanes[outbox.stream_id]

    def step(self, now_ms: int, wait_s: float = 0.0) -> None:
        """Handle what happened, connect if need be, and send what is due.

        Parameters
        ----------
        now_ms : int
            Any monotonic time.
        wait_s : float
            Wait this long for something to happen if nothing has.
        """
        if self._connection is None and now_ms >= (self._connect_at_ms or now_ms):
            self._connection = _Connection(self.device_id, self.broker, self._tls, self._inbox)
        for connection, happened in _drain(self._inbox, wait_s):
            if isinstance(happened, Acked):
                self._acked(happened.payload)
            elif connection is self._connection:
                self._changed(connection, happened, now_ms)
        if self.is_ready:
            for lane in self._lanes.values():
                self._send(lane, now_ms)

    def stop(self) -> None:
        """Say goodbye: status offline, and disconnect. Rows not acked stay in their outboxes."""
        if self._connection is not None:
            self._connection.say_goodbye()
            # A stalled network ends without an answer: the thread is a daemon and holds nothing that counts.
            if any(isinstance(happened, Lost) for _, happened in _until_lost(self._inbox)):
                self._connection.discard()
        self._connection, self.is_ready = None, False

    def _changed(self, connection: _Connection, happened: Ready | Lost, now_ms: int) -> None:
        if isinstance(happened, Ready):
            log.info("%s: connected to %s", self.device_id, self.broker)
            self.is_ready, self._failures, self.last_error = True, 0, ""
            self.counters["connects"] += 1
            for lane in self._lanes.values():
                lane.last_seq, lane.sent = 0, {}
            return
        wait_ms = min(RECONNECT_MS << min(self._failures, 16), RECONNECT_MAX_MS)
        log.warning("%s: %s: %s; next try in %d s", self.device_id, self.broker, happened.reason, wait_ms // 1000)
        connection.discard()
        self._connection, self.is_ready, self.last_error = None, False, happened.reason
        self._failures += 1
        self._connect_at_ms = now_ms + wait_ms

    def _acked(self, payload: bytes) -> None:
        ack = _parse_ack(payload)
        if ack is None:
            self.counters["bad_acks"] += 1
            return
        lane = self._lanes.get(ack.stream_id)
        if lane is None:
            return
        stored = [(span.first, span.last) for span in ack.stored]
        rejected = [(span.first, span.last) for span in ack.rejected]
        released = lane.outbox.release(ack.stream_id, stored, rejected)
        if released.rejected:
            self.counters["rejected"] += released.rejected
            log.warning("%s: the insurer refused %d messages", self.device_id, released.rejected)
        for first, last in stored + rejected:
            for seq in [seq for seq in lane.sent if first <= seq <= last]:
                del lane.sent[seq]

    def _send(self, lane: _Lane, now_ms: int) -> None:
        for seq, (due_ms, times) in list(lane.sent.items()):
            if due_ms <= now_ms:
                payload = lane.outbox.payload(seq)
                if payload is None:
                    del lane.sent[seq]
                elif self._publish(lane, seq, payload, now_ms, times + 1):
                    self.counters["resent"] += 1
        room = WINDOW_ROWS - len(lane.sent)
        if room <= 0 or lane.last_seq + 1 >= lane.outbox.next_seq:
            return
        for row in lane.outbox.unacked(room, lane.last_seq):
            if not self._publish(lane, row.seq, row.payload, now_ms, 1):
                return
            lane.last_seq = row.seq

    def _publish(self, lane: _Lane, seq: int, payload: bytes, now_ms: int, times: int) -> bool:
        if self._connection is None or not self._connection.publish(payload):
            return False
        wait_ms = min(self._resend_ms << min(times - 1, 16), max(RESEND_MAX_MS, self._resend_ms))
        lane.sent[seq] = (now_ms + wait_ms, times)
        return True


class _Connection:
    """One MQTT client, from its connect to its end. Its thread puts into the inbox, nothing else is shared."""

    def __init__(self, device_id: str, broker: BrokerAddress, tls: ssl.SSLContext | None, inbox: Inbox) -> None:
        self._device_id = device_id
        self._inbox = inbox
        # amqtt speaks 3.1.1 only. reconnect_on_failure=False and no delay: the thread ends when the connection does.
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, device_id, protocol=mqtt.MQTTv311, reconnect_on_failure=False
        )
        self._client.reconnect_delay_set(0, 0)
        self._client.connect_timeout = CONNECT_TIMEOUT_S
        self._client.will_set(topics.status(device_id), OFFLINE, qos=1, retain=True)
        if tls is not None:
            self._client.tls_set_context(tls)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect_async(broker.host, broker.port, KEEPALIVE_S)
        self._client.loop_start()

    def publish(self, payload: bytes) -> bool:
        """Hand a payload to the client; False when there is no connection."""
        info = self._client.publish(topics.up(self._device_id), payload, qos=1)
        return info.rc == mqtt.MQTT_ERR_SUCCESS

    def say_goodbye(self) -> None:
        """Begin an orderly end."""
        self._client.publish(topics.status(self._device_id), OFFLINE, qos=1, retain=True)
        self._client.disconnect()

    def discard(self) -> None:
        """Let go of a connection that has ended; its thread is ending too."""
        self._client.disconnect()
        self._client.loop_stop()

    def _put(self, happened: Ready | Lost | Acked) -> None:
        self._inbox.put((self, happened))

    def _on_connect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._put(Lost(f"refused: {reason}"))
        else:
            self._client.subscribe(topics.ack(self._device_id), qos=1)

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        self._put(Lost(f"no connection: {sys.exception()}"))  # the client calls this while it handles the exception

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._put(Lost(f"disconnected: {reason}"))

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if reasons[0].is_failure:
            self._put(Lost(f"may not read {topics.ack(self._device_id)}: {reasons[0]}"))
            return
        self._client.publish(topics.status(self._device_id), ONLINE, qos=1, retain=True)
        self._put(Ready())

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._put(Acked(bytes(message.payload)))


Inbox = SimpleQueue[tuple[_Connection, Ready | Lost | Acked]]


def _drain(inbox: Inbox, wait_s: float) -> Iterator[tuple[_Connection, Ready | Lost | Acked]]:
    """All that has happened, in order; waits for the first."""
    try:
        yield inbox.get(timeout=wait_s) if wait_s > 0 else inbox.get_nowait()
        while True:
            yield inbox.get_nowait()
    except Empty:
        return


def _until_lost(inbox: Inbox) -> Iterator[tuple[_Connection, Ready | Lost | Acked]]:
    """What happens until the connection is gone, or for as long as nothing more does."""
    try:
        while True:
            yield inbox.get(timeout=GOODBYE_S)
    except Empty:
        return


def _parse_ack(payload: bytes) -> pb.Ack | None:
    try:
        return pb.Ack.FromString(payload) if len(payload) <= MAX_ACK_BYTES else None
    except DecodeError:
        return None
