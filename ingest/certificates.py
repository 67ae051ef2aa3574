"""X.509 certificates of cars, broker and workers: two authorities, what they sign, and the list of what is revoked.

    cars      signs the cars' certificates: who shows one is a device
    services  signs the broker's and the workers': who shows one is ours

All keys are P-256, which every TLS library speaks. Times and randomness of serial numbers are the caller's and the
system's; nothing here writes a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from device.contract.errors import UsageError

AUTHORITY_DAYS: Final = 3_650
# A list that has run out locks every car out. It is handed to our own broker, so its age says nothing: ten years.
LIST_DAYS: Final = 3_650
_HOST: Final = re.compile(r"[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")
SKEW: Final = timedelta(hours=1)  # a clock that is a little behind takes a new certificate all the same
CLIENT: Final = ExtendedKeyUsageOID.CLIENT_AUTH
SERVER: Final = ExtendedKeyUsageOID.SERVER_AUTH


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, PEM."""

    certificate: bytes
    key: bytes

    @property
    def serial(self) -> str:
        """Serial number of the certificate, hex."""
        return f"{x509.load_pem_x509_certificate(self.certificate).serial_number:x}"

    @property
    def expires_at(self) -> datetime:
        """When the certificate runs out, UTC."""
        return x509.load_pem_x509_certificate(self.certificate).not_valid_after_utc


def new_authority(name: str, now: datetime) -> Pair:
    """Make a self-signed authority.

    Parameters
    ----------
    name : str
        Its common name.
    now : datetime
        UTC.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pair(certificate, key)


def issue(
    authority: Pair,
    name: str,
    now: datetime,
    days: int,
    purposes: Sequence[x509.ObjectIdentifier],
    hosts: Sequence[str] = (),
) -> Pair:
    """Make a key and a certificate of an authority.

    Parameters
    ----------
    authority : Pair
    name : str
        Common name: of a car its device id, which the broker takes for its user name.
    now : datetime
        UTC.
    days : int
        How long it is valid.
    purposes : sequence of ObjectIdentifier
        `CLIENT`, `SERVER`.
    hosts : sequence of str
        Names and addresses under which a server is reached.
    """
    signer = x509.load_pem_x509_certificate(authority.certificate)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(signer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_authority_identifier(signer), critical=False)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
    return _pair(builder.sign(_key(authority), hashes.SHA256()), key)


def revocation_list(authority: Pair, now: datetime, serials: Iterable[str] = (), before: bytes | None = None) -> bytes:
    """Make the list of revoked certificates, PEM.

    Parameters
    ----------
    authority : Pair
    now : datetime
        UTC.
    serials : iterable of str
        Hex serial numbers revoked now.
    before : bytes or None
        The list so far, PEM: what it names stays revoked.
    """
    signer = x509.load_pem_x509_certificate(authority.certificate)
    revoked = {entry.serial_number: entry for entry in x509.load_pem_x509_crl(before)} if before is not None else {}
    for serial in serials:
        number = int(serial, 16)
        new = x509.RevokedCertificateBuilder().serial_number(number).revocation_date(now).build()
        revoked.setdefault(number, new)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.subject)
        .last_update(now - SKEW)
        .next_update(now + timedelta(days=LIST_DAYS))
        .add_extension(_authority_identifier(signer), critical=False)
        .add_extension(x509.CRLNumber(int(now.timestamp() * 1_000)), critical=False)
    )
    for number in sorted(revoked):
        builder = builder.add_revoked_certificate(revoked[number])
    return builder.sign(_key(authority), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def revoked_serials(listed: bytes) -> set[str]:
    """Hex serial numbers on a list of revoked certificates."""
    return {f"{entry.serial_number:x}" for entry in x509.load_pem_x509_crl(listed)}


def _pair(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private)


def _key(authority: Pair) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(authority.key, password=None)
        certificate = x509.load_pem_x509_certificate(authority.certificate)
    except (ValueError, TypeError) as error:
        raise UsageError(f"the authority's key or certificate cannot be read: {error}") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise UsageError("the authority's key is not the key of its certificate; put back the pair that 'ca' made")
    return key


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_identifier(signer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    named = signer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(named)


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    if not _HOST.fullmatch(host):
        raise UsageError(f"host {host!r}: write a DNS name such as broker.example, or an address")
    return x509.DNSName(host)
