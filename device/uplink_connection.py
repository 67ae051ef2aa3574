"""One connection to the broker, from its beginning to its end: one MQTT client, thrown away with all it holds.

The network runs in the client's own thread, which only puts what happened into an inbox. Nothing in here waits for it.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from device.contract import topics
from device.contract.broker import BrokerAddress

CONNECT_TIMEOUT_S: Final = 5.0  # of the socket, and again of the TLS handshake
KEEPALIVE_S: Final = 60  # a ping and its answer cost 157 bytes; a dead link is noticed after two of them
GOODBYE_S: Final = 2.0
INBOX_SIZE: Final = 1_000  # acks and configurations that are not read yet; what comes beyond is dropped
MAX_HEARD_BYTES: Final = 65_536
STEP_BYTES: Final = 2 * MAX_HEARD_BYTES  # handled at once: an ack of 64 kB names 10,000 rows and takes some 0.1 s
EVENT_BYTES: Final = 64
DATES: Final = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, _HAS_EXPIRED
UNWANTED: Final = (
    "the broker does not take this device's certificate ('cert_file'), or that is not its port for devices"
)
ONLINE: Final = b"online"
OFFLINE: Final = b"offline"


class Ready(NamedTuple):
    """The connection stands and acks can be heard."""


class Lost(NamedTuple):
    """The connection is gone, or never came to be."""

    reason: str


class Heard(NamedTuple):
    """A message of the insurer."""

    topic: str
    payload: bytes


Happened = Ready | Lost | Heard


class _Client(mqtt.Client):
    """A client whose thread never ends without a word, whatever bytes a broker sent it."""

    at_end: Callable[[str], None]

    def loop_forever(self, timeout: float = 1.0, retry_first_connection: bool = False) -> MQTTErrorCode:
        why = "ended"
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception as error:  # noqa: BLE001 - what a malformed packet raises is not documented
            why = f"not MQTT: {error!r}"
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        finally:
            self.at_end(why)


class Connection:
    """Begins at once; what happens is put into the inbox.

    Parameters
    ----------
    device_id : str
    broker : BrokerAddress
    tls : SSLContext or None
    inbox : Inbox
    now_ms : int

    Attributes
    ----------
    began_ms : int
    dropped : int
        Messages that found the inbox full, or were too long.
    """

    def __init__(
        self, device_id: str, broker: BrokerAddress, tls: ssl.SSLContext | None, inbox: Inbox, now_ms: int
    ) -> None:
        self.began_ms = now_ms
        self.dropped = 0
        self._device_id = device_id
        self._inbox = inbox
        self._discarded = False
        self._accepted = False  # by the broker
        # amqtt speaks 3.1.1 only. reconnect_on_failure=False and no delay: the thread ends when the connection does.
        self._client = _Client(
            CallbackAPIVersion.VERSION2, device_id, protocol=mqtt.MQTTv311, reconnect_on_failure=False
        )
        self._client.at_end = lambda reason: self._put(Lost(reason))
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

    def abandon(self) -> None:
        """Let go of a connection that answers nothing; its thread, a daemon, ends when its time-outs have passed."""
        self._discarded = True
        self._client.disconnect()

    def _put(self, happened: Happened) -> None:
        self._inbox.put((self, happened))

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._discarded:
            client.disconnect()
        elif reason.is_failure:
            self._put(Lost(f"refused: {reason}"))
        else:
            self._accepted = True
            client.subscribe([(topics.ack(self._device_id), 1), (topics.config(self._device_id), 1)])

    def _on_connect_fail(self, _client: mqtt.Client, _data: Any) -> None:
        error = sys.exception()  # the client calls this while it handles the exception
        is_dated = isinstance(error, ssl.SSLCertVerificationError) and error.verify_code in DATES
        self._put(Lost(f"no connection: {error}{'; is the clock of this computer right?' if is_dated else ''}"))

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        cut = f"disconnected without an answer: {UNWANTED}"  # TLS 1.3 refuses a certificate after the handshake
        self._put(Lost(f"disconnected: {reason}" if self._accepted else cut))

    def _on_subscribe(self, client: mqtt.Client, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        if self._discarded:
            return
        if not reasons or reasons[0].is_failure:  # a broker may refuse the configuration alone
            self._put(Lost(f"may not read {topics.ack(self._device_id)}: {reasons[0] if reasons else 'no answer'}"))
            return
        client.publish(topics.status(self._device_id), ONLINE, qos=1, retain=True)
        self._put(Ready())

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if self._inbox.qsize() >= INBOX_SIZE or len(message.payload) > MAX_HEARD_BYTES:
            self.dropped += 1
        else:
            self._put(Heard(message.topic, bytes(message.payload)))


Inbox = SimpleQueue[tuple[Connection, Happened]]


def drain(inbox: Inbox, wait_s: float) -> list[tuple[Connection, Happened]]:
    """What has happened, in order, up to a bound on its bytes; waits for the first."""
    out: list[tuple[Connection, Happened]] = []
    size = 0
    try:
        while size < STEP_BYTES:
            out.append(inbox.get(timeout=wait_s) if wait_s > 0 and not out else inbox.get_nowait())
            happened = out[-1][1]
            size += len(happened.payload) + EVENT_BYTES if isinstance(happened, Heard) else EVENT_BYTES
    except Empty:
        pass
    return out


def ends_in_time(connection: Connection, inbox: Inbox) -> bool:
    """Wait for the end of a connection; False when it does not come."""
    try:
        while True:
            source, happened = inbox.get(timeout=GOODBYE_S)
            if source is connection and isinstance(happened, Lost):
                return True
    except Empty:
        return False
