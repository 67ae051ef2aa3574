"""The systemd unit of the agent, and the page that installs it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from device.cli import _parser
from device.config import KEYS
from device.systemd import ALIVE_EVERY_MS
from tests.conftest import REPOSITORY

UNIT = REPOSITORY / "device" / "units" / "ubi-device.service"
PAGE = REPOSITORY / "docs" / "install-raspberry-pi.md"


def setting(name: str) -> str:
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return str(value)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_understands_the_unit(tmp_path):
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/opt/ubi/bin/ubi", sys.executable))
    result = subprocess.run(["systemd-analyze", "verify", str(path)], capture_output=True, text=True, timeout=60)
    ours = [line for line in result.stderr.splitlines() if UNIT.stem in line]
    assert (result.returncode, ours) == (0, [])


def test_the_unit_runs_a_command_that_exists_and_waits_longer_than_the_agent_is_silent():
    words = setting("ExecStart").partition(" device ")[2].split()
    assert str(_parser().parse_args(words).config) == "/var/lib/ubi-device/device.toml"
    assert int(setting("WatchdogSec")) * 1_000 >= 5 * ALIVE_EVERY_MS
    assert "ProtectClock=yes" not in UNIT.read_text()  # adjtimex would be refused, and NTP never believed


def test_every_command_of_the_page_exists_and_every_key_is_one():
    page = PAGE.read_text(encoding="utf-8")
    for command in re.findall(r"bin/ubi device (.+)", page):
        if "--help" not in command:
            assert _parser().parse_args(command.split())
    keys = set(re.findall(r"^    (\w+) = ", page, re.MULTILINE)) | {"cut_off_v", "commit_s", "zone"}
    assert keys <= set(KEYS)
    assert all(f"`{key}" in page or f"    {key} = " in page for key in keys)
