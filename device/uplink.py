"""The uplink: what waits in the outbox goes to the broker until the insurer says that it holds it.

    outbox -> Lane (what to send now) -> Connection -> broker -> insurer
    outbox <- release <- application ack <-

A row leaves the outbox on the application ack alone. The broker's PUBACK says nothing about durability (a broker
killed with -9 has lost from one to all of what it acknowledged), and nothing in the MQTT client's memory counts.

Threads: the network runs in the client's own. `step`, and with it the outbox, runs in the caller's thread and never
waits for the network, nor does anything that comes from it raise.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from device.contract import topics
from device.contract.broker import BrokerAddress, ClientCertificate, tls_context
from device.contract.errors import DiskError
from device.downlink import read_ack
from device.outbox import Outbox
from device.uplink_connection import Connection, Heard, Inbox, Ready, drain, ends_in_time
from device.uplink_lane import Lane

log = logging.getLogger(__name__)

RESEND_MS: Final = 60_000  # an unacked row is sent again after this long, then after twice as long, ...
RECONNECT_MS: Final = 2_000  # at most, before the second attempt; then twice as long, ...
RECONNECT_MAX_MS: Final = 60_000
READY_WITHIN_MS: Final = 30_000  # from the first byte to the broker's answer to our subscription
STEADY_MS: Final = 60_000  # a connection that has lasted this long, or brought an ack, was a good one
SUSPECT_MS: Final = 400_000  # rows on the road and no ack for so long: perhaps it is the connection
DISK_PAUSE_MS: Final = 1_000
NO_ACK: Final = ", though connected: the insurer's worker is down, or the broker drops what comes and does not say so"

Take = Callable[[bytes], object]
TakeTime = Callable[[int, int, int], object]


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
    on_config : callable or None
        Given what comes on the configuration topic, within `step`.
    on_time : callable or None
        Given the insurer's time (UTC) of an ack, and two of our times: one before the ack was made, one after.
    draw : callable
        Uniform over [0, 1): the jitter of the back-off, so that a fleet does not come back in one second.

    Attributes
    ----------
    counters : Counter
        docs/operations.md has each name, prefixed with `uplink_`.
    last_error : str
        Why there is no connection; empty while there is one.
    is_ready : bool
        Whether rows are being sent.
    """

    def __init__(
        self,
        device_id: str,
        broker: BrokerAddress,
        ca_file: Path | None = None,
        resend_ms: int = RESEND_MS,
        client: ClientCertificate | None = None,
        on_config: Take | None = None,
        on_time: TakeTime | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.device_id = topics.checked_device_id(device_id)
        self.broker = broker
        self.counters: Counter[str] = Counter()
        self.last_error = ""
        self.is_ready = False
        self._tls = tls_context(ca_file, client) if broker.tls else None
        self._resend_ms = resend_ms
        self._on_config = on_config
        self._on_time = on_time
        self._times: list[tuple[int, int]] = []  # of acks: the insurer's, and ours before it
        self._draw = draw
        self._lanes: dict[bytes, Lane] = {}
        self._inbox: Inbox = Inbox()
        self._connection: Connection | None = None
        self._failures = 0
        self._connect_at_ms: int | None = None
        self._ready_ms = 0
        self._heard_ms = 0
        self._send_at_ms = 0

    def add(self, outbox: Outbox) -> None:
        """Send this outbox's rows too; one device may have several (a replayed recording has its own stream)."""
        self._lanes[outbox.stream_id] = Lane(outbox, self._resend_ms)

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

        Raises
        ------
        DamagedError
            An outbox's file is damaged.
        """
        self._tell_time(now_ms)
        if self._connection is None and now_ms >= (self._connect_at_ms or now_ms):
            self._connection = self._connect(now_ms)
        for connection, happened in drain(self._inbox, wait_s):
            if isinstance(happened, Heard):
                self._heard(happened, now_ms)
            elif connection is self._connection:
                if isinstance(happened, Ready):
                    self._ready(now_ms)
                else:
                    connection.discard()
                    self._lost(connection, happened.reason, now_ms)
        if self._connection is not None:
            self._look_after(self._connection, now_ms)
        for lane in self._lanes.values():
            if self._connection is not None and self.is_ready and now_ms >= self._send_at_ms:
                self._send(lane, self._connection, now_ms)

    def stop(self) -> None:
        """Say goodbye: status offline, and disconnect. Rows not acked stay in their outboxes."""
        if self._connection is not None:
            self._connection.say_goodbye()
            # A stalled network ends without an answer: the thread is a daemon and holds nothing that counts.
            if ends_in_time(self._connection, self._inbox):
                self._connection.discard()
            else:
                self._connection.abandon()
        self._connection, self.is_ready = None, False

    def _connect(self, now_ms: int) -> Connection:
        """Begin a connection; a replay with faults puts a rough one in its place."""
        return Connection(self.device_id, self.broker, self._tls, self._inbox, now_ms)

    def _ready(self, now_ms: int) -> None:
        log.info("%s: connected to %s", self.device_id, self.broker)
        self.is_ready, self.last_error = True, ""
        self._ready_ms = self._heard_ms = now_ms
        self.counters["connects"] += 1
        for lane in self._lanes.values():
            lane.reconnected()

    def _lost(self, connection: Connection, reason: str, now_ms: int) -> None:
        """The connection is gone: choose when to try again, at random up to a bound that doubles."""
        if self.is_ready and now_ms - self._ready_ms >= STEADY_MS:
            self._failures = 0
        bound_ms = min(RECONNECT_MS << min(self._failures, 16), RECONNECT_MAX_MS)
        wait_ms = round(bound_ms * (0.1 + 0.9 * self._draw()))
        if reason != self.last_error:
            log.warning("%s: %s: %s; tries again, at least once a minute", self.device_id, self.broker, reason)
        self.counters["failures"] += 1
        self._count_dropped(connection)
        self._connection, self.is_ready, self.last_error = None, False, reason
        self._failures += 1
        self._connect_at_ms = now_ms + wait_ms

    def _look_after(self, connection: Connection, now_ms: int) -> None:
        """A connection that stands and never becomes ready is none."""
        self._count_dropped(connection)
        if not self.is_ready and now_ms - connection.began_ms >= READY_WITHIN_MS:
            self.counters["stuck"] += 1
            connection.abandon()
            self._lost(connection, f"no answer within {READY_WITHIN_MS // 1_000} s", now_ms)

    def _heard(self, heard: Heard, now_ms: int) -> None:
        if heard.topic == topics.config(self.device_id):
            if self._on_config is not None:
                self._on_config(heard.payload)
            return
        ack = read_ack(heard.payload) if heard.topic == topics.ack(self.device_id) else None
        if ack is None:
            self.counters["bad_acks"] += 1
        elif ack.stream_id in self._lanes:
            lane = self._lanes[ack.stream_id]
            stored = [(span.first, span.last) for span in ack.stored]
            rejected = [(span.first, span.last) for span in ack.rejected]
            try:
                released = lane.outbox.release(ack.stream_id, stored, rejected)
            except DiskError as error:
                self._disk_refuses(error, now_ms)
                return
            if released.rejected:
                self.counters["rejected"] += released.rejected
                log.warning("%s: the insurer refused %d messages", self.device_id, released.rejected)
            sent_ms = lane.acked(stored + rejected, now_ms)
            if ack.acked_at_ms > 0 and sent_ms is not None:
                self._times.append((ack.acked_at_ms, sent_ms))
            self._failures, self._heard_ms = 0, now_ms

    def _tell_time(self, now_ms: int) -> None:
        """Of acks that the step before found: `now_ms` is after they came, however long that step was held up."""
        times, self._times = self._times, []
        if self._on_time is not None:
            for acked_ms, sent_ms in times:
                self._on_time(acked_ms, sent_ms, now_ms)

    def _send(self, lane: Lane, connection: Connection, now_ms: int) -> None:
        silences = lane.silences
        try:
            for seq in lane.due(now_ms):
                payload = lane.outbox.payload(seq)
                if payload is None:
                    lane.lost(seq)
                elif not connection.publish(payload):
                    return
                elif lane.sent(seq, now_ms):
                    self.counters["resent"] += 1
        except DiskError as error:
            self._disk_refuses(error, now_ms)
        if lane.silences > silences:
            self.counters["silences"] += 1
            if now_ms - self._heard_ms >= SUSPECT_MS:
                connection.abandon()
                self._lost(connection, f"no ack for {(now_ms - self._heard_ms) // 1_000} s{NO_ACK}", now_ms)

    def _disk_refuses(self, error: DiskError, now_ms: int) -> None:
        """The outbox cannot be read or changed now: what stays in it is sent, and acked, once more."""
        self.counters["disk_refusals"] += 1
        self._send_at_ms = now_ms + DISK_PAUSE_MS
        if self.counters["disk_refusals"] == 1:
            log.warning("%s: %s", self.device_id, error)

    def _count_dropped(self, connection: Connection) -> None:
        if connection.dropped:
            dropped, connection.dropped = connection.dropped, 0
            self.counters["dropped"] += dropped
