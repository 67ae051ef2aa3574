"""A network that loses, doubles, reorders and cuts, between a replay's outboxes and the broker: `--faults` of the road.

Nothing of it is told to the outbox: what is lost is sent again because no insurer acknowledged it, as in a car.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from device.contract.broker import BrokerAddress
from device.uplink import Uplink
from device.uplink_connection import Connection, Inbox

RESEND_MS: Final = 1_000  # on such a road much is sent again: a replay is watched by somebody


class RoughUplink(Uplink):
    """An uplink whose connections are rough.

    Parameters
    ----------
    device_id : str
    broker : BrokerAddress
    ca_file : Path or None
    road : mapping of str to float
        Amounts of `faults.OF_THE_ROAD`: duplicate, reorder, drop, cut.
    seed : int
    """

    def __init__(
        self, device_id: str, broker: BrokerAddress, ca_file: Path | None, road: Mapping[str, float], seed: int
    ) -> None:
        super().__init__(device_id, broker, ca_file, RESEND_MS)
        self._road = road
        self._rng = random.Random(f"{seed} {device_id}")  # noqa: S311 repeatable on purpose

    def step(self, now_ms: int, wait_s: float = 0.0) -> None:
        """As of an uplink; what was held back goes on when nothing new comes to overtake it."""
        connection = self._connection
        told = connection.told if isinstance(connection, _RoughConnection) else 0
        super().step(now_ms, wait_s)
        if isinstance(connection, _RoughConnection) and connection is self._connection and connection.told == told:
            connection.release()

    def _connect(self, now_ms: int) -> Connection:
        return _RoughConnection(self.device_id, self.broker, self._tls, self._inbox, now_ms, self._road, self._rng)


class _RoughConnection(Connection):
    def __init__(
        self,
        device_id: str,
        broker: BrokerAddress,
        tls: ssl.SSLContext | None,
        inbox: Inbox,
        now_ms: int,
        road: Mapping[str, float],
        rng: random.Random,
    ) -> None:
        super().__init__(device_id, broker, tls, inbox, now_ms)
        self.told = 0  # payloads handed over
        self._drop, self._double = road.get("drop", 0.0), road.get("duplicate", 0.0)
        self._within, self._cut_after = round(road.get("reorder", 0)), road.get("cut")
        self._rng = rng
        self._held: list[bytes] = []

    def publish(self, payload: bytes) -> bool:
        self.told += 1
        if self._cut_after is not None and self.told > self._cut_after:
            self._client.disconnect()
            return False
        if self._rng.random() < self._drop:
            return True
        self._held += [payload] * (1 + (self._rng.random() < self._double))
        alive = True
        while len(self._held) > self._within and alive:
            alive = super().publish(self._held.pop(self._rng.randrange(len(self._held))))
        return alive

    def release(self) -> None:
        """Let go of what is held back, in any order."""
        self._rng.shuffle(self._held)
        while self._held:
            super().publish(self._held.pop())
