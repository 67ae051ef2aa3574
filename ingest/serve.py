"""The running worker: reads from a broker, flushes when due, until it is told to stop or nothing comes any more."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from device.contract.broker import BrokerAddress, ClientCertificate
from device.contract.errors import TryAgainError, UbiError, UsageError
from ingest.broker import Broker
from ingest.contract import durable
from ingest.contract.lake import Lake
from ingest.gate import Gate
from ingest.monitor import MonitorAddress, monitor
from ingest.systemd import Systemd
from ingest.vitals import Vitals
from ingest.worker import Limits, Worker

log = logging.getLogger(__name__)

TURN_S: Final = 0.1  # longest wait for the network before the clock and the stop sign are looked at


def serve(
    lake: Lake,
    address: BrokerAddress,
    stop: threading.Event,
    *,
    until_idle_s: float | None = None,
    insecure: bool = False,
    ca_file: Path | None = None,
    client: ClientCertificate | None = None,
    registry: Path | None = None,
    limits: Limits | None = None,
    ready: threading.Event | None = None,
    monitor_at: MonitorAddress | None = None,
) -> Counter[str]:
    """Run one worker until `stop` is set; what it holds then is written and acknowledged.

    Parameters
    ----------
    lake : Lake
    address : BrokerAddress
    stop : threading.Event
    until_idle_s : float or None
        Also stop when connected and nothing came for this long.
    insecure : bool
        Accept unregistered devices from beyond this machine.
    ca_file : Path or None
        Certificates of the authorities to trust; None = the system's.
    client : ClientCertificate or None
        Our own certificate, where the broker asks for one.
    registry : Path or None
        Devices whose messages are taken, with their consent; None = all that the broker lets in.
    limits : Limits or None
    ready : threading.Event or None
        Set once subscribed: a message published before waits for its device to send it again.
    monitor_at : MonitorAddress or None
        Where /metrics and /health are answered; None = nowhere.

    Returns
    -------
    Counter
        The worker's counters.

    Raises
    ------
    UsageError
        If devices from beyond this machine would be accepted without `insecure`, or a file cannot be used.
    UbiError
        If the lake cannot be written, or the broker refuses.
    TryAgainError
        If no broker answers, or the disk refuses while running.
    """
    gate = Gate(lake.root, registry)
    if registry is None:
        _check_devices(address, insecure=insecure)
    name = os.urandom(4).hex()
    _check_writable(lake, name)
    received = 0

    def take(topic: str, payload: bytes) -> None:
        nonlocal received
        received += 1
        worker.take(topic, payload, _utc_ms())

    broker = Broker(address, take, ca_file, client)
    worker = Worker(lake, name, broker.publish, limits, gate)
    systemd = Systemd()
    vitals = Vitals([worker.counters, broker.counters], time.monotonic())
    with ExitStack() as stack:
        if monitor_at is not None:
            log.info("watched at %s", stack.enter_context(monitor(vitals, monitor_at)))
        broker.connect()
        stack.callback(broker.close)
        systemd.ready()
        if ready is not None:
            ready.set()
        heard, heard_at_s = 0, time.monotonic()
        while not stop.is_set():
            broker.step(TURN_S)
            if worker.due(_utc_ms()):
                with vitals.commit(time.monotonic):
                    worker.flush(_utc_ms())
                vitals.clock_disagreement = worker.clocks.share
            now_s = time.monotonic()
            vitals.turn(
                now_s, connected=broker.is_connected, held=worker.held, held_s=worker.held_ms(_utc_ms()) / 1_000
            )
            systemd.alive(now_s)
            if received != heard:
                heard, heard_at_s = received, now_s
            elif until_idle_s is not None and now_s - heard_at_s >= until_idle_s:
                break
        systemd.stopping()
        worker.flush(_utc_ms())
        if not broker.is_connected and not stop.is_set():
            raise TryAgainError(
                f"{address}: the broker went away and did not come back within {until_idle_s:g} s; "
                "what had come is on disk, the devices send the rest again"
            )
    told = ", ".join(f"{key} {value}" for key, value in sorted(worker.counters.items()))
    log.info("stopped: %s", told, extra={"facts": dict(worker.counters)})
    return worker.counters


def _check_devices(address: BrokerAddress, *, insecure: bool) -> None:
    if not address.is_loopback and not insecure:
        raise UsageError(
            f"{address}: without a registry, unknown devices are accepted from a broker on this machine only; "
            "name one with --registry FILE, or say --insecure to accept every device that this broker lets in"
        )
    log.warning("no registry: every device that %s lets in is accepted", address)


def _check_writable(lake: Lake, name: str) -> None:
    probe = lake.root / "messages" / f".{name}.probe"
    try:
        durable.commit({probe: b""})
        durable.delete(probe)
    except OSError as error:
        raise UbiError(
            f"{lake.root}: cannot be written ({error.strerror}); nothing was taken from the broker"
        ) from error


def _utc_ms() -> int:
    return time.time_ns() // 1_000_000
