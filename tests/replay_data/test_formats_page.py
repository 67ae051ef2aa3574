"""docs/formats.md is complete, and the format it shows how to add works as it stands there."""

from __future__ import annotations

import re
import types
from pathlib import Path

import pytest

from replay_data import importers
from replay_data.importers import FORMATS, load
from tests.replay_data.tables import written

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
COUNTER = re.compile(r"repairs\[f?\"(\w+)")


@pytest.mark.parametrize("name", sorted({importer.NAME for importer in FORMATS} - {"ubirec"}))
def test_each_format_has_its_row(name):
    assert f"| `{name}` |" in PAGE


def test_each_repair_has_its_row():
    sources = (ROOT / "replay_data" / "importers").glob("*.py")
    counters = {name for source in sources for name in COUNTER.findall(source.read_text(encoding="utf-8"))}
    assert len(counters) > 12
    assert sorted(name for name in counters if f"| `{name}" not in PAGE and not name.startswith("gnss_refused")) == []


def test_the_format_of_the_page_is_one(tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    acme = types.ModuleType("acme")
    exec(compile(example, "docs/formats.md", "exec"), acme.__dict__)
    monkeypatch.setattr(importers, "FORMATS", (*FORMATS, acme))
    lines = ["When;Speed [mph];Revs [rpm]", "2026-11-22T10:00:00.000;10;900", "2026-11-22T10:00:00.200;10,5;"]
    head, readings = load(written(tmp_path / "drive.csv", lines))
    assert [(r.t_ms, r.signal, r.value) for r in readings] == [
        (0, "speed_kmh", 16.09),
        (0, "rpm", 900.0),
        (200, "speed_kmh", 16.9),
    ]
    assert (head.source, head.repairs) == ("acme", {"decimal_commas": 1})
    assert head.notes == {"local_start": "2026-11-22T10:00:00"}
