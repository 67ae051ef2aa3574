from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults.disk import Disk

WRITER = """\
import sys
for line in sys.stdin:
    try:
        with open(sys.argv[1], "ab", buffering=0) as file:
            whole = file.write(bytes(100_000)) == 100_000
        print("written" if whole else "refused", flush=True)
    except OSError as error:
        print("refused", flush=True)
"""


@pytest.fixture(params=[True, False], ids=["tmpfs", "plain folder"])
def disk_and_try(request, tmp_path):
    """A disk, and a function that lets another process write to it."""
    disk = Disk(tmp_path / "disk", lambda: [writer.pid], may_mount=request.param)
    with disk:
        if request.param and not os.path.ismount(disk.folder):
            pytest.skip("this process may not mount")
        command = [sys.executable, "-c", WRITER, str(disk.folder / "file")]
        with subprocess.Popen(command, stdin=-1, stdout=-1, text=True) as writer:

            def write():
                writer.stdin.write("x\n")
                writer.stdin.flush()
                return writer.stdout.readline().strip()

            yield disk, write
            writer.stdin.close()


def test_a_full_disk_refuses_until_it_is_healed(disk_and_try):
    disk, write = disk_and_try
    assert write() == "written"
    assert disk.fill()
    assert not disk.fill()
    assert write() == "refused"
    disk.heal()
    assert write() == "written"


def test_a_read_only_disk_refuses_until_it_is_healed(disk_and_try):
    disk, write = disk_and_try
    if not disk.freeze():
        pytest.skip("root writes to any plain folder")
    assert write() == "refused"
    disk.heal()
    assert write() == "written"
