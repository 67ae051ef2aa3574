"""The locks hold what pyproject.toml asks for, with hashes, and name no registry."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.test_architecture import ROOT

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
LOCKS = ("device", "dev", "peers", "spark")


def pins(lock: str) -> dict[str, set[str]]:
    """Versions by name; a version may differ by Python."""
    found: dict[str, set[str]] = {}
    for name, version in re.findall(
        r"^([a-z0-9-]+)==([^ ;]+)", (ROOT / "lock" / f"{lock}.txt").read_text(), re.MULTILINE
    ):
        found.setdefault(name, set()).add(version)
    return found


@pytest.mark.parametrize("extra", LOCKS)
def test_a_lock_holds_its_extra_within_the_ranges(extra):
    pinned = pins(extra) | {"ubi": {importlib.metadata.version("ubi")}}
    for requirement in map(Requirement, EXTRAS[extra]):
        versions = pinned[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(v) for v in versions), requirement


def test_the_locks_agree_with_each_other():
    dev = pins("dev")
    for lock in ("device", "peers", "spark"):
        assert {n: v for n, v in pins(lock).items() if dev.get(n, v) != v} == {}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_a_hash_and_no_registry_is_named(lock):
    text = (ROOT / "lock" / f"{lock}.txt").read_text()
    assert "://" not in text
    assert "--index" not in text
    blocks = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
    assert [b.split("==")[0] for b in blocks if "--hash=sha256:" not in b] == []


def test_the_emulator_with_a_non_commercial_licence_is_in_no_extra_of_a_user():
    assert [e for e, rows in EXTRAS.items() if any("elm327" in row.lower() for row in rows)] == ["dev"]
    assert "elm327-emulator" not in pins("device") | pins("spark")
