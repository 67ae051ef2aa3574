"""A mosquitto that speaks TLS, with a certificate that serves as authority, server and client."""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.mosquitto import Mosquitto
from tests.ports import free_ports


class TlsBroker(NamedTuple):
    """A running broker: a plain port, a TLS port, and its certificate."""

    plain_port: int
    port: int
    cert_file: Path
    key_file: Path


@contextmanager
def tls_broker(binary: str, folder: Path, *, asks: bool = False, from_day: int = -1) -> Iterator[TlsBroker]:
    """Run a broker; `asks` for a client certificate by the same authority; its own is valid for two days."""
    cert, key = certificate(folder, from_day)
    plain, tls = free_ports(2)
    lines = [
        f"user {getpass.getuser()}",  # started by root it would become a user who may not read the folder
        f"listener {tls} 127.0.0.1",
        f"certfile {cert}",
        f"keyfile {key}",
        *([f"cafile {cert}", "require_certificate true"] if asks else []),
        "allow_anonymous true",
    ]
    broker = Mosquitto(binary, folder / "tls", plain, "\n".join(lines))
    broker.start()
    try:
        yield TlsBroker(plain, tls, cert, key)
    finally:
        broker.stop()


def certificate(folder: Path, from_day: int = -1) -> tuple[Path, Path]:
    """A self-signed certificate of localhost, valid for two days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1)
        .not_valid_before(now + timedelta(days=from_day))
        .not_valid_after(now + timedelta(days=from_day + 2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(encoding))
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"
