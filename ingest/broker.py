"""The worker's side of MQTT: one connection, read by the caller's own thread, a piece of the stream at a time.

`step` reads what has come and hands each payload over; while the caller writes a segment nothing is read, so the
broker is held back by TCP (and, in MQTT 5, by a receive window as large as a segment) and memory does not grow.

MQTT 5 is tried first, then 3.1.1. A shared subscription is used only where a probe message came through one: a broker
may grant `$share` and deliver nothing (amqtt 0.12 does). Sessions are clean, and what is read is PUBACKed at once: a
PUBACK is not durability, and what a broken connection loses, the devices send again.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from device.contract import topics, wire
from device.contract.broker import BrokerAddress, ClientCertificate, tls_context
from device.contract.errors import TryAgainError, UbiError
from ingest import mqtt
from ingest.link import Link, LinkError
from ingest.mqtt import MQTT5, MQTT311

log = logging.getLogger(__name__)

SHARED_FILTER: Final = f"$share/ubi-ingest/{topics.UP_FILTER}"
WINDOW: Final = 4_000  # messages in flight, as many as a segment holds; the protocol's maximum is 65,535
MAX_PACKET_BYTES: Final = 2 * wire.MAX_PAYLOAD_BYTES  # MQTT 5: the broker drops what is larger
ACKS_IN_FLIGHT: Final = 2_000  # without PUBACK; MQTT 5 brokers may ask for less
QUEUED_ACKS: Final = 50_000  # about 10 MB; one that is dropped costs a resend, nothing else
CONNECT_WITHIN_S: Final = 5.0
MQTT5_WITHIN_S: Final = 1.0  # amqtt answers nothing at all to an MQTT 5 greeting that has properties
PROBE_WITHIN_S: Final = 1.0
GOODBYE_WITHIN_S: Final = 5.0
BACK_OFF_S: Final = (1.0, 30.0)  # first and longest wait before a reconnection
KEEPALIVE_S: Final = 30
SUBSCRIBE_ID: Final = 65_535  # acks have the numbers below

OnMessage = Callable[[str, bytes], None]


class Broker:
    """Connection of an ingest worker to a broker.

    Parameters
    ----------
    address : BrokerAddress
    on_message : callable
        Receives topic and payload, called by `step`.
    ca_file : Path or None
        Certificates of the authorities to trust; None = the system's.
    client : ClientCertificate or None
        Our own certificate, where the broker asks for one.

    Attributes
    ----------
    counters : Counter
        `connects`, and `acks_refused`: acks that the broker answered with an error.

    Raises
    ------
    UsageError
        If a file cannot be read.
    """

    def __init__(
        self,
        address: BrokerAddress,
        on_message: OnMessage,
        ca_file: Path | None = None,
        client: ClientCertificate | None = None,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self._address = address
        self._on_message = on_message
        self._tls = tls_context(ca_file, client) if address.tls else None
        self._shared_filter = shared_filter(client)
        self._client_id = f"ubi-ingest-{os.urandom(6).hex()}"
        self._version = MQTT5
        self._link: Link | None = None
        self._filter = self._told = topics.UP_FILTER
        self._greeting: mqtt.Greeting | None = None
        self._granted: int | None = None
        self._probe = b""
        self._probe_came = False
        self._acks: deque[tuple[str, bytes]] = deque()
        self._unconfirmed: set[int] = set()
        self._window = 0  # no ack goes before the broker has said how many it takes
        self._last_id = 0
        self._retry_at_s = 0.0
        self._wait_s = BACK_OFF_S[0]

    def connect(self) -> None:
        """Connect for the first time and subscribe.

        Raises
        ------
        TryAgainError
            If nothing answers at the address.
        UbiError
            If the broker refuses the connection or the subscription.
        """
        if not (self._connected_with(MQTT5) or self._connected_with(MQTT311)):
            raise TryAgainError(f"{self._address}: something listens there, but it does not answer as an MQTT broker")
        if self._shares():
            self._filter, self._told = self._shared_filter, SHARED_FILTER
        self._subscribe()
        version = "5" if self._version == MQTT5 else "3.1.1"
        log.info("connected to %s, MQTT %s, filter %s", self._address, version, self._told)

    @property
    def is_connected(self) -> bool:
        """Whether the broker can be heard now."""
        return self._link is not None

    def step(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the network and handle what came; reconnect when that is due.

        Raises
        ------
        UbiError
            If the broker no longer lets us read after a reconnection.
        """
        if self._link is not None:
            self._turn(self._link, timeout_s)
            return
        now_s = time.monotonic()
        if self._retry_at_s <= now_s:
            self._reconnect(now_s)
        else:
            time.sleep(min(timeout_s, self._retry_at_s - now_s))

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send an ack, QoS 1. What cannot go yet waits in memory, up to `QUEUED_ACKS`; False when it is dropped."""
        if len(self._acks) >= QUEUED_ACKS:
            return False
        self._acks.append((topic, payload))
        return True

    def close(self) -> None:
        """Wait until the broker has the last acks, then disconnect."""
        self._until(lambda: not self._unconfirmed and not self._acks, GOODBYE_WITHIN_S)
        if self._link is not None:
            self._link.close(mqtt.DISCONNECT)
            self._link = None

    def _turn(self, link: Link, timeout_s: float) -> None:
        """One round: acks go out, packets come in. A link that breaks is given up."""
        try:
            self._send_acks(link)
            for first, body in link.exchange(timeout_s):
                if first >> 4 == mqtt.PUBLISH:
                    topic, packet_id, payload = mqtt.read_publish(self._version, first, body)
                    if packet_id:
                        link.pubacks.append(packet_id)
                    self._take(topic, payload)
                else:
                    self._handle(first >> 4, body)
        except (LinkError, mqtt.MqttError) as error:
            self._lost(str(error))

    def _take(self, topic: bytes, payload: bytes) -> None:
        if topic == self._probe:
            self._probe_came = True
        else:
            self._on_message(topic.decode(errors="replace"), payload)

    def _handle(self, kind: int, body: bytes) -> None:
        """Take in an answer of the broker."""
        if kind == mqtt.PUBACK:
            self._unconfirmed.discard(int.from_bytes(body[:2], "big"))
            self.counters["acks_refused"] += len(body) > 2 and body[2] >= mqtt.FAILURE
        elif kind == mqtt.SUBACK:
            self._granted = body[-1] if body else mqtt.FAILURE
        elif kind == mqtt.CONNACK:
            self._greeting = mqtt.read_greeting(self._version, body)
        elif kind == mqtt.DISCONNECTED:
            raise LinkError(f"the broker says: {mqtt.reason_of(self._version, body[0] if body else 0)}")

    def _send_acks(self, link: Link) -> None:
        while self._acks and len(self._unconfirmed) < self._window:
            link.send(mqtt.publish(self._version, self._packet_id(), *self._acks.popleft()))

    def _packet_id(self) -> int:
        """Number of a new ack; at most `_window` of them are in use."""
        while True:
            self._last_id = self._last_id % (SUBSCRIBE_ID - 1) + 1
            if self._last_id not in self._unconfirmed:
                self._unconfirmed.add(self._last_id)
                return self._last_id

    def _connected_with(self, version: int) -> bool:
        """Connect with one version of MQTT; False where the broker does not speak it."""
        self._version = version
        try:
            greeting = self._greeted(MQTT5_WITHIN_S if version == MQTT5 else CONNECT_WITHIN_S)
        except LinkError as error:
            raise error.as_ubi_error(self._address) from error
        if greeting is None or greeting.reason:
            self._lost(None)
        reason = mqtt.reason_of(version, greeting.reason) if greeting and greeting.reason else None
        if reason not in (None, mqtt.UNSUPPORTED_VERSION):
            raise UbiError(f"{self._address}: the broker refuses the connection: {reason}")
        return self.is_connected

    def _greeted(self, within_s: float) -> mqtt.Greeting | None:
        """Dial and greet; the broker's answer, None where it gives none."""
        self._greeting, self._window = None, 0
        self._unconfirmed.clear()  # a clean session: the devices send again what these acks were for
        self._link = Link(self._address, self._tls, CONNECT_WITHIN_S, KEEPALIVE_S)
        limits = {mqtt.RECEIVE_MAXIMUM: WINDOW, mqtt.MAXIMUM_PACKET_SIZE: MAX_PACKET_BYTES}
        self._link.send(mqtt.connect(self._version, self._client_id, KEEPALIVE_S, limits))
        self._until(lambda: self._greeting is not None, within_s)
        return self._greeting

    def _reconnect(self, now_s: float) -> None:
        self._retry_at_s = now_s + self._wait_s
        self._wait_s = min(2 * self._wait_s, BACK_OFF_S[1])
        try:
            self._require(self._greeted(CONNECT_WITHIN_S))
            self._subscribe()
        except (LinkError, TryAgainError) as error:
            self._lost(None)
            log.warning("%s: no connection: %s; next try in %.0f s", self._address, error, self._retry_at_s - now_s)
            return
        self._wait_s = BACK_OFF_S[0]
        log.info("connected again to %s", self._address)

    def _require(self, greeting: mqtt.Greeting | None) -> None:
        if greeting is None:
            raise LinkError("no answer")
        if greeting.reason:
            raise LinkError(f"refused: {mqtt.reason_of(self._version, greeting.reason)}")

    def _shares(self) -> bool:
        """Whether a message published now comes through a shared subscription."""
        probe = f"ubi/v1/probe/{time.time_ns():x}"
        self._probe = probe.encode()
        if self._ask(f"$share/ubi-probe/{probe}") is None or self._link is None:
            return False
        self._link.send(mqtt.publish(self._version, self._packet_id(), probe, b"probe"))
        return self._until(lambda: self._probe_came, PROBE_WITHIN_S)

    def _subscribe(self) -> None:
        properties = self._greeting.properties if self._greeting else {}
        self._window = min(ACKS_IN_FLIGHT, properties.get(mqtt.RECEIVE_MAXIMUM, ACKS_IN_FLIGHT))
        granted = self._ask(self._filter)
        if granted is None:
            raise TryAgainError(f"{self._address}: the broker does not answer a subscription")
        if granted >= mqtt.FAILURE:
            reason = mqtt.reason_of(MQTT5, granted)
            raise UbiError(f"{self._address}: the broker refuses to let us read {self._told}: {reason}")
        self.counters["connects"] += 1

    def _ask(self, topic_filter: str) -> int | None:
        """Subscribe; the broker's answer, None where it gives none."""
        self._granted = None
        if self._link is not None:
            self._link.send(mqtt.subscribe(self._version, SUBSCRIBE_ID, topic_filter))
        self._until(lambda: self._granted is not None, CONNECT_WITHIN_S)
        return self._granted

    def _until(self, happened: Callable[[], bool], within_s: float) -> bool:
        """Read the network until something happened; False when it did not, or the connection broke."""
        deadline_s = time.monotonic() + within_s
        while not happened():
            if time.monotonic() > deadline_s or self._link is None:
                return False
            self._turn(self._link, 0.05)
        return True

    def _lost(self, why: str | None) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
        if why is not None:
            log.warning("%s: connection lost: %s", self._address, why)


def shared_filter(client: ClientCertificate | None) -> str:
    """Filter of the workers' group, which all workers of a broker share.

    mosquitto lets any client join a group that it can name, and what it hands to one that may not read is gone until
    the device sends it again. So where cars reach the broker too, by certificates, the name is a secret of the workers:
    a keyed hash under their private key.
    """
    if client is None:
        return SHARED_FILTER
    name = hmac.new(client.key_file.read_bytes(), b"ubi share", hashlib.sha256).hexdigest()[:32]
    return f"$share/ubi-{name}/{topics.UP_FILTER}"
