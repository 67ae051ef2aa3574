"""docs/replay.md names every fault with its amount."""

from __future__ import annotations

from replay_data.faults import FAULTS
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "replay.md").read_text(encoding="utf-8")


def test_each_fault_has_its_row():
    assert [
        name for name, fault in FAULTS.items() if f"| `{name}` | {fault.unit} | {fault.usual:g} |" not in PAGE
    ] == []
