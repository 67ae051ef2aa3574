"""`ubi ingest forget`, `retain`, `erasures`: command lines to calls, and what is told of them."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from device.contract.errors import UsageError
from ingest.authority import Authority
from ingest.contract.erasure import Erasures
from ingest.contract.lake import Lake
from ingest.forget import Places, forget, forgotten_in
from ingest.retain import read_retention, retain

log = logging.getLogger(__name__)

Facts = dict[str, Any]


def forget_devices(options: argparse.Namespace, now_ms: int) -> list[Facts]:
    """Erase devices one after the other; without a name those that were erased before and have come back."""
    if options.ca is not None and options.registry is None:
        raise UsageError("ubi ingest forget: --ca revokes the certificates that the registry names; say --registry too")
    lake = Lake.existing(options.lake)
    for folder in options.features:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder; name the output of 'ubi features build'")
    authority = Authority(options.ca) if options.ca is not None else None
    places = Places(lake, options.features, options.registry, authority)
    done = []
    for device in dict.fromkeys(options.device or forgotten_in(lake)):
        done.append(forget(places, device, now_ms))
        if not any(done[-1].erased.values()):
            log.warning(
                "erasure %s: nothing of this device was here; is its name right? Its messages are refused from now on",
                done[-1].erasure,
            )
    return [{"erasure": one.erasure, "searched_files": one.searched_files, **one.erased} for one in done]


def retain_tables(options: argparse.Namespace, now_ms: int) -> Facts:
    """Let go of what is older than the retention says."""
    return retain(Lake.existing(options.lake), read_retention(options.config), now_ms)


def list_erasures(options: argparse.Namespace, _now_ms: int) -> list[Facts]:
    """Tell of each erasure of a lake; of whom is not known."""
    return [
        {
            "erasure": record.name,
            "begun_at_ms": record.begun_at_ms,
            "done_at_ms": record.done_at_ms,
            "rows": sum(record.erased.values()),
            "searched_files": record.searched_files,
        }
        for record in Erasures(Lake.existing(options.lake).root).read_all()
    ]


def add_forget(parser: argparse.ArgumentParser) -> None:
    """Arguments of `forget`."""
    parser.add_argument(
        "device",
        nargs="*",
        metavar="DEVICE",
        help="without one: those that were erased before and are back, from a backup that was restored",
    )
    parser.add_argument(
        "--features",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="feature tables to erase from as well; may be repeated",
    )
    parser.add_argument(
        "--registry", type=Path, metavar="FILE", help="devices: the line goes too, and tells the driver"
    )
    parser.add_argument("--ca", type=Path, metavar="DIR", help="folder of 'ubi ingest ca': revokes the certificates")


def add_retain(parser: argparse.ArgumentParser) -> None:
    """Arguments of `retain`."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="days by table (TOML)")
