"""What a device's certificate says of itself."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

from device.contract.errors import UsageError


class Certificate(NamedTuple):
    """Name of the subject, and when the certificate runs out, UTC."""

    name: str
    expires_at: datetime


def read_certificate(path: Path) -> Certificate:
    """Read the first certificate of a PEM file.

    Raises
    ------
    UsageError
        It cannot be read, or is no certificate.
    """
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read as a PEM certificate: {error}") from error
    names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Certificate(str(names[0].value) if names else "", found.not_valid_after_utc)
