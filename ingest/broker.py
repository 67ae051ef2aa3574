"""The subscriber's side of MQTT: one connection, read by the caller's own thread.

`step` reads a few packets and hands each payload over; while the caller writes a segment nothing is read, so the
broker is held back by TCP (and, in MQTT 5, by a receive window as large as a segment) and memory does not grow.

MQTT 5 is tried first, then 3.1.1. A shared subscription is used only where a probe message came through one: a broker
may grant `$share` and deliver nothing (amqtt 0.12 does). No persistent session, no manual PUBACK: what a broken
connection loses, the devices send again.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from device.contract import topics, wire
from device.contract.broker import BrokerAddress, tls_context
from device.contract.errors import TryAgainError, UbiError

log = logging.getLogger(__name__)

SHARED_FILTER: Final = f"$share/ubi-ingest/{topics.UP_FILTER}"
WINDOW: Final = 2_000  # messages in flight, as many as a segment holds; the protocol's maximum is 65,535
MAX_PACKET_BYTES: Final = 2 * wire.MAX_PAYLOAD_BYTES  # MQTT 5: the broker drops what is larger
ACKS_IN_FLIGHT: Final = 2_000  # the client's own 20 crawl: their PUBACKs come behind a backlog of messages
QUEUED_ACKS: Final = 50_000  # about 50 MB; one that is dropped costs a resend, nothing else
CONNECT_WITHIN_S: Final = 5.0
MQTT5_WITHIN_S: Final = 1.0  # amqtt answers nothing at all to an MQTT 5 greeting that has properties
PROBE_WITHIN_S: Final = 1.0
GOODBYE_WITHIN_S: Final = 5.0
BACK_OFF_S: Final = (1.0, 30.0)  # first and longest wait before a reconnection
KEEPALIVE_S: Final = 30

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

    Raises
    ------
    UsageError
        If `ca_file` cannot be read.
    """

    def __init__(self, address: BrokerAddress, on_message: OnMessage, ca_file: Path | None = None) -> None:
        self._address = address
        self._on_message = on_message
        self._tls = tls_context(ca_file) if address.tls else None
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._filter = topics.UP_FILTER
        self._refusal: ReasonCode | None = None
        self._granted: ReasonCode | None = None
        self._probe = ""
        self._probe_came = False
        self._unconfirmed: set[int] = set()
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
        if not (self._connected_with(mqtt.MQTTv5) or self._connected_with(mqtt.MQTTv311)):
            raise TryAgainError(f"{self._address}: something listens there, but it does not answer as an MQTT broker")
        if self._shares():
            self._filter = SHARED_FILTER
        self._subscribe()
        version = "5" if self._client.protocol == mqtt.MQTTv5 else "3.1.1"
        log.info("connected to %s, MQTT %s, filter %s", self._address, version, self._filter)

    @property
    def is_connected(self) -> bool:
        """Whether the broker can be heard now."""
        return self._client.is_connected()

    def step(self, timeout_s: float) -> None:
        """Wait up to `timeout_s` for the network and handle what came; reconnect when that is due.

        Raises
        ------
        UbiError
            If the broker no longer lets us read after a reconnection.
        """
        if self._client.loop(timeout_s) == mqtt.MQTT_ERR_SUCCESS:
            self._check_granted()
            return
        now_s = time.monotonic()
        if self._retry_at_s <= now_s:
            self._reconnect(now_s)
        else:
            time.sleep(min(timeout_s, self._retry_at_s - now_s))

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send an ack, QoS 1. What cannot go yet waits in memory, up to `QUEUED_ACKS`; False when it is dropped."""
        info = self._client.publish(topic, payload, qos=1)
        taken = info.rc in (mqtt.MQTT_ERR_SUCCESS, mqtt.MQTT_ERR_NO_CONN)
        if taken:
            self._unconfirmed.add(info.mid)
        return taken

    def close(self) -> None:
        """Wait until the broker has the last acks, then disconnect."""
        self._until(lambda: not self._unconfirmed, GOODBYE_WITHIN_S)
        self._client.disconnect()
        self._until(lambda: not self._client.is_connected(), GOODBYE_WITHIN_S)

    def _connected_with(self, protocol: MQTTProtocolVersion) -> bool:
        """Connect with one version of MQTT; False where the broker does not speak it."""
        self._client = self._new_client(protocol)
        self._refusal = None
        try:
            self._dial()
        except ssl.SSLCertVerificationError as error:
            told = error.verify_message
            raise UbiError(f"{self._address}: its certificate is not trusted ({told}); see --ca-file") from error
        except OSError as error:
            raise TryAgainError(
                f"{self._address}: no broker there ({error.strerror or error}); start it, or correct --broker"
            ) from error
        within_s = MQTT5_WITHIN_S if protocol == mqtt.MQTTv5 else CONNECT_WITHIN_S
        connected = self._until(self._client.is_connected, within_s)
        if self._refusal is not None and self._refusal.getName() != "Unsupported protocol version":
            raise UbiError(f"{self._address}: the broker refuses the connection: {self._refusal}")
        if not connected:
            self._client.disconnect()
        return connected

    def _dial(self) -> None:
        address = (self._address.host, self._address.port, KEEPALIVE_S)
        if self._client.protocol != mqtt.MQTTv5:
            self._client.connect(*address)
            return
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.ReceiveMaximum = WINDOW
        properties.MaximumPacketSize = MAX_PACKET_BYTES
        self._client.connect(*address, clean_start=True, properties=properties)

    def _reconnect(self, now_s: float) -> None:
        self._retry_at_s = now_s + self._wait_s
        self._wait_s = min(2 * self._wait_s, BACK_OFF_S[1])
        try:
            self._client.reconnect()
        except OSError as error:
            wait_s = self._retry_at_s - now_s
            log.warning("%s: no connection: %s; next try in %.0f s", self._address, error.strerror or error, wait_s)

    def _shares(self) -> bool:
        """Whether a message published now comes through a shared subscription."""
        self._probe = f"ubi/v1/probe/{time.time_ns():x}"
        shared = f"$share/ubi-probe/{self._probe}"
        self._granted = None
        self._client.subscribe(shared, qos=1)
        if not self._until(lambda: self._granted is not None, CONNECT_WITHIN_S):
            return False
        self._client.publish(self._probe, b"probe", qos=1)
        came = self._until(lambda: self._probe_came, PROBE_WITHIN_S)
        self._client.unsubscribe(shared)
        return came

    def _subscribe(self) -> None:
        self._granted = None
        self._client.subscribe(self._filter, qos=1)
        self._until(lambda: self._granted is not None, CONNECT_WITHIN_S)
        if self._granted is None:
            raise TryAgainError(f"{self._address}: the broker does not answer a subscription")
        self._check_granted()

    def _check_granted(self) -> None:
        if self._granted is not None and self._granted.is_failure:
            raise UbiError(f"{self._address}: the broker refuses to let us read {self._filter}: {self._granted}")

    def _until(self, happened: Callable[[], bool], within_s: float) -> bool:
        """Read the network until something happened; False when it did not, or the connection broke."""
        deadline_s = time.monotonic() + within_s
        while not happened():
            if time.monotonic() > deadline_s or self._client.loop(0.05) != mqtt.MQTT_ERR_SUCCESS:
                return happened()
        return True

    def _new_client(self, protocol: MQTTProtocolVersion) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol, reconnect_on_failure=False)
        client.connect_timeout = CONNECT_WITHIN_S
        client.max_inflight_messages_set(ACKS_IN_FLIGHT)
        client.max_queued_messages_set(QUEUED_ACKS)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._came
        client.on_publish = self._confirmed
        client.on_subscribe = self._subscribed
        return client

    def _connected(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure:
            self._refusal = reason
            log.warning("%s: connection refused: %s", self._address, reason)
            return
        self._wait_s = BACK_OFF_S[0]
        if self._granted is not None:  # a reconnection; the session was clean
            log.info("connected again to %s", self._address)
            self._client.subscribe(self._filter, qos=1)

    def _disconnected(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if self._granted is not None and reason.is_failure:
            log.warning("%s: connection lost: %s", self._address, reason)

    def _came(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic == self._probe:
            self._probe_came = True
        else:
            self._on_message(message.topic, bytes(message.payload))

    def _confirmed(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        self._unconfirmed.discard(mid)

    def _subscribed(self, _client: Any, _data: Any, _mid: int, reasons: list[ReasonCode], _properties: Any) -> None:
        self._granted = reasons[0]
