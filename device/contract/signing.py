"""Ed25519 signatures, the key files they are made with, and hashes that only the holder of a key can make."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from device.contract.errors import DiskError, UsageError

KEY_BYTES: Final = 32


class Signer:
    """Signs message hashes with a device's private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def from_seed(cls, seed: bytes) -> Signer:
        """Key from 32 bytes: a replayed recording signs with a key derived from its own content."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def from_file(cls, path: Path) -> Signer:
        """Read a 32-byte raw private key; make one, readable by its owner only, where there is none.

        Raises
        ------
        UsageError
            The file does not hold exactly 32 bytes, or this user may not read or make it.
        DiskError
            The disk gives or takes nothing now.
        """
        try:
            if not path.exists():
                _make_key(path)
            seed = path.read_bytes()
        except (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            told = f"{path}: {error.strerror}; name a file for the device's key that this user may read, or make"
            raise UsageError(told) from error
        except OSError as error:
            raise DiskError(f"{path}: {error.strerror or error}; check the card and its free space") from error
        if len(seed) != KEY_BYTES:
            raise UsageError(
                f"{path}: a device key has {KEY_BYTES} bytes, this file has {len(seed)}; enrol the device again"
            )
        return cls.from_seed(seed)

    @property
    def public_key(self) -> bytes:
        """Raw public key, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Signature over a message hash, or any other bytes; 64 bytes."""
        return self._key.sign(message)

    def vin_hash(self, vin: str) -> bytes:
        """Keyed hash of a VIN, 32 bytes: equal for the same car and device, of no use to who lacks this key."""
        secret = hashlib.sha256(b"ubi/v1/vin\n" + self._key.private_bytes_raw()).digest()
        return hmac.digest(secret, vin.strip().upper().encode(), "sha256")


def _make_key(path: Path) -> None:
    """Write a new key whole or not at all: half of one after a power cut would stop the agent for ever."""
    part = path.with_name(f".{path.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(os.urandom(KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature over the bytes was made by the key; False for any malformed input."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
