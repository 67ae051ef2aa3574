"""Golden payloads to the car, version 1, as hex: acks and signed configurations; `tests/device/test_downlink.py`."""

from __future__ import annotations

from device.contract import wire_pb2 as pb
from device.contract.configuration import ConfigUpdate, sign_config
from device.contract.signing import Signer

INSURER = Signer.from_seed(bytes(range(64, 96)))
UPDATES = {
    "config": ConfigUpdate(
        device_id="golden",
        version=1_767_225_600,
        issued_at_ms=1_767_225_600_000,
        expires_at_ms=1_769_817_600_000,
        rules_version=1,
        location="coarse",
        motion="off",
        periods_ms={"rpm": 2_000, "speed_kmh": 200},
        batch_s=30,
        commit_s=20,
    ),
    "config_least": ConfigUpdate("golden", 1, 0, 0),
}
ACKS = {
    "ack": pb.Ack(
        stream_id=bytes(range(16)),
        stored=[pb.Range(first=1, last=7), pb.Range(first=9, last=9)],
        rejected=[pb.Range(first=8, last=8)],
    ),
    "ack_timed": pb.Ack(stream_id=bytes(range(16)), stored=[pb.Range(first=1, last=7)], acked_at_ms=1_767_225_600_000),
}


def files() -> dict[str, bytes]:
    """Name -> content."""
    payloads = {name: sign_config(update, INSURER.sign) for name, update in UPDATES.items()}
    payloads |= {name: ack.SerializeToString(deterministic=True) for name, ack in ACKS.items()}
    return {f"downlink/v1/{name}.hex": f"{payload.hex()}\n".encode() for name, payload in payloads.items()}
