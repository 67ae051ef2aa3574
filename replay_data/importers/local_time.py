"""The zone that a user tells for files that do not: local starts become UTC, UTC starts get their local time."""

from __future__ import annotations

import dataclasses
from zoneinfo import ZoneInfo

from device.contract.recording import RecordingHead
from replay_data.importers.clock import LOCAL_START, local_parts, started, utc_offset_min


def in_zone(head: RecordingHead, zone: str) -> RecordingHead:
    """Complete what a file left open; what it told itself stays.

    Parameters
    ----------
    head : RecordingHead
    zone : str
        IANA name.
    """
    if head.utc_offset_min is not None:
        return head
    notes = {name: note for name, note in head.notes.items() if name != LOCAL_START} | {"zone": ZoneInfo(zone).key}
    if head.started_at_ms is not None:
        return dataclasses.replace(head, utc_offset_min=utc_offset_min(head.started_at_ms, zone), notes=notes)
    if LOCAL_START not in head.notes:
        return head
    started_at_ms, offset_min = started(*local_parts(head.notes[LOCAL_START]), zone)
    return dataclasses.replace(head, started_at_ms=started_at_ms, utc_offset_min=offset_min, notes=notes)
