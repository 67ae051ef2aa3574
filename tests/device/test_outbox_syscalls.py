"""The disk fails, or the process is killed, at the Nth call into the kernel: strace makes it so, nothing is patched."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.device.outbox_victim import told_of
from tests.device.test_outbox_kill import check_survivor

STRACE = shutil.which("strace")
# Calls that SQLite makes, and which of a life, about; the first of pread64 are those of the loader.
CALLS = {"pwrite64": (1, 250), "fdatasync": (1, 60), "pread64": (60, 120), "ftruncate": (1, 6), "unlink": (1, 4)}
ERRORS = ("EIO", "ENOSPC", "EROFS")


def run(folder: Path, fault: str) -> subprocess.CompletedProcess[str]:
    """A victim's life with a fault; what it wrote on stderr is kept."""
    folder.mkdir()
    assert STRACE is not None
    command = [STRACE, "-f", "-qq", "-o", "/dev/null", "-e", f"inject={fault}", sys.executable]
    return subprocess.run(
        [*command, "-m", "tests.device.outbox_victim", "patient", str(folder)],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip


def suffer(folder: Path, draw: random.Random, *, lasts: bool) -> None:
    call = draw.choice(list(CALLS))
    number, error = draw.randrange(*CALLS[call]), draw.choice(ERRORS)
    fault = f"{call}:error={error}:when={number}{'+' if lasts else ''}"
    ended = run(folder, fault)
    assert "Traceback" not in ended.stderr, f"{fault}: {ended.stderr}"
    assert ended.returncode in (0, 1, 75), f"{fault}: {ended.stderr}"
    if ended.returncode == 0 and not lasts:
        assert told_of(folder) > 0, fault
    check_survivor(folder, unreadable=call == "pread64")


def be_killed(folder: Path, draw: random.Random) -> None:
    call = draw.choice(list(CALLS))
    fault = f"{call}:signal=KILL:when={draw.randrange(*CALLS[call])}"
    assert run(folder, fault).returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL), fault
    check_survivor(folder)


def trial(folder: Path, number: int) -> None:
    draw = random.Random(number)
    if number % 3:
        suffer(folder, draw, lasts=number % 3 == 1)
    else:
        be_killed(folder, draw)


pytestmark = pytest.mark.skipif(STRACE is None, reason="strace is not installed")


def test_no_fault_of_the_disk_at_any_call_stops_the_outbox_or_breaks_it(tmp_path):
    for number in range(12):
        trial(tmp_path / str(number), number)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_faults_at_calls_into_the_kernel(tmp_path):
    for number in range(1_000, 2_000):
        trial(tmp_path / "car", number)
        shutil.rmtree(tmp_path / "car")
