"""MQTT topics and the identifiers that appear in them."""

from __future__ import annotations

import re
from typing import Final

from device.contract.errors import UsageError

DEVICE_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
UP_FILTER: Final = "ubi/v1/+/up"


def checked_device_id(device_id: str) -> str:
    """Return the id if it may stand in a topic.

    Raises
    ------
    UsageError
        If it is not 1 to 64 letters, digits, `_` or `-`.
    """
    if not DEVICE_ID.fullmatch(device_id):
        raise UsageError(f"device id {device_id!r}: use 1 to 64 letters, digits, '_' or '-'")
    return device_id


def up(device_id: str) -> str:
    """Messages from the car."""
    return f"ubi/v1/{device_id}/up"


def ack(device_id: str) -> str:
    """Application acks to the car."""
    return f"ubi/v1/{device_id}/ack"


def status(device_id: str) -> str:
    """Retained status of the car, `online` or (last will) `offline`."""
    return f"ubi/v1/{device_id}/status"


def config(device_id: str) -> str:
    """Retained, signed configuration for the car."""
    return f"ubi/v1/{device_id}/config"


def device_of(topic: str) -> str | None:
    """Device id of an up topic, or None when it is not one."""
    parts = topic.split("/")
    if len(parts) != 4 or parts[:2] != ["ubi", "v1"] or parts[3] != "up" or not DEVICE_ID.fullmatch(parts[2]):
        return None
    return parts[2]
