"""Addresses of MQTT brokers: TLS everywhere, plain text on the loopback only."""

from __future__ import annotations

import ssl
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from device.contract.errors import UsageError

DEFAULT_PORTS: Final = {"mqtts": 8883, "mqtt": 1883}


class BrokerAddress(NamedTuple):
    """Where a broker listens, and whether to speak TLS with it."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        """The address as a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the broker is on this very machine."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


class ClientCertificate(NamedTuple):
    """Who we are to a broker that asks: a certificate and its private key, PEM files."""

    cert_file: Path
    key_file: Path


def parse_broker(url: str, *, insecure: bool = False) -> BrokerAddress:
    """Read `mqtts://host[:port]`, or `mqtt://host[:port]` for a plain connection.

    Parameters
    ----------
    url : str
    insecure : bool
        Accept a plain connection that leaves the machine.

    Raises
    ------
    UsageError
        If the address is none, or plain and not on the loopback.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError as error:
        raise UsageError(f"broker {url!r}: {error}; write mqtts://HOST[:PORT]") from None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname:
        raise UsageError(f"broker {url!r}: write mqtts://HOST[:PORT], or mqtt://localhost[:PORT]")
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        raise UsageError(f"broker {url!r}: has more than a host and a port; write mqtts://HOST[:PORT]")
    if port == 0:
        raise UsageError(f"broker {url!r}: nothing listens on port 0; write mqtts://HOST[:PORT]")
    tls = parts.scheme == "mqtts"
    address = BrokerAddress(parts.hostname, port or DEFAULT_PORTS[parts.scheme], tls)
    if not tls and not insecure and not address.is_loopback:
        raise UsageError(f"broker {url!r}: plain MQTT leaves this machine; use mqtts://, or say --insecure")
    return address


def tls_context(ca_file: Path | None, client: ClientCertificate | None = None) -> ssl.SSLContext:
    """Whom to trust: the authorities of a PEM file, None = the system's; and what to show, where the broker asks.

    Raises
    ------
    UsageError
        If a file cannot be read, or the key is not the certificate's.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{ca_file}: cannot be read as PEM certificates: {error}") from error
    if client is not None:
        try:
            context.load_cert_chain(client.cert_file, client.key_file)
        except (OSError, ssl.SSLError) as error:
            raise UsageError(
                f"{client.cert_file} and {client.key_file}: cannot be read as a certificate and its key: {error}"
            ) from error
    return context
