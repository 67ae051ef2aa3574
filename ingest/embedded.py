"""A small MQTT broker inside this process, for the demo and for trying things out without installing one.

MQTT 3.1.1 on the loopback, no accounts, nothing kept over a restart. Not for real cars: run mosquitto for those.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from types import TracebackType
from typing import Any, Final, Self

from amqtt.broker import Broker
from amqtt.contexts import BrokerConfig, ListenerConfig
from amqtt.errors import AMQTTError, BrokerError

from device.contract.errors import TryAgainError, UbiError

log = logging.getLogger(__name__)

START_WITHIN_S: Final = 10.0
STOP_WITHIN_S: Final = 10.0
HOST: Final = "127.0.0.1"


class EmbeddedBroker:
    """A broker in a thread of its own, as a context.

    Parameters
    ----------
    port : int
        TCP port of the loopback; 0 takes a free one.

    Attributes
    ----------
    url : str
        Address for `--broker`, known once the context is entered.

    Raises
    ------
    TryAgainError
        On entering, if the port is taken.
    """

    def __init__(self, port: int = 0) -> None:
        self._port = port
        self._ready = threading.Event()
        self._error: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="embedded-broker", daemon=True)

    @property
    def url(self) -> str:
        """Address of the broker."""
        return f"mqtt://{HOST}:{self._port}"

    def __enter__(self) -> Self:
        self._port = free_port(self._port)
        for chatty in ("amqtt", "transitions"):  # they tell of every client that leaves, with a traceback
            logging.getLogger(chatty).setLevel(logging.CRITICAL)
        self._thread.start()
        if not self._ready.wait(START_WITHIN_S) or self._error is not None:
            raise TryAgainError(f"{self.url}: the embedded broker did not start ({self._error}); try again")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(STOP_WITHIN_S)
        if self._thread.is_alive():
            raise UbiError(f"{self.url}: the embedded broker did not stop within {STOP_WITHIN_S:.0f} s")

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (AMQTTError, BrokerError, OSError) as error:
            self._error = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        # amqtt lets the error of a client that leaves in its greeting go unhandled
        self._loop.set_exception_handler(lambda _loop, context: log.debug("%s", context))
        broker = _Broker(_config(self._port))
        await broker.start()
        self._ready.set()
        await self._stop.wait()
        await broker.shutdown()


class _Broker(Broker):  # type: ignore[misc]
    """amqtt forgets connections that never got past their greeting, and their sockets."""

    async def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> None:
        try:
            await super().stream_connected(reader, writer, listener_name)
        finally:
            writer.close()

    async def shutdown(self) -> None:
        await super().shutdown()
        leftovers = asyncio.all_tasks() - {asyncio.current_task()}
        for task in leftovers:
            task.cancel()
        await asyncio.gather(*leftovers, return_exceptions=True)
        await asyncio.sleep(0)  # the turn of the loop in which their sockets close


def free_port(port: int = 0) -> int:
    """Check that a TCP port of the loopback can be had; 0 looks for one.

    Raises
    ------
    TryAgainError
        If it is taken.
    """
    try:
        with socket.create_server((HOST, port)) as server:
            free: int = server.getsockname()[1]
    except OSError as error:
        raise TryAgainError(f"{HOST}:{port}: {os.strerror(error.errno or 0)}; name another port") from error
    return free


def _config(port: int) -> Any:
    return BrokerConfig(
        listeners={"default": ListenerConfig(bind=f"{HOST}:{port}")},
        plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    )
