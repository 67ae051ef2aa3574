"""What a driver installs, in an environment of its own: no data frames and no model in the car."""

from __future__ import annotations

import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.test_architecture import NOT_IN_THE_CAR, PACKAGES, ROOT

SHOW_IMPORTABLE = """
import importlib.util, sys
print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name)))
"""
IMPORT_ALL = """
import importlib, pkgutil, device
for module in pkgutil.walk_packages(device.__path__, "device."):
    importlib.import_module(module.name)
"""


def source_tree(target: Path) -> Path:
    """Copy what a wheel is built from, so that a build leaves nothing in the checkout."""
    target.mkdir()
    for file in (*ROOT.glob("*.py"), ROOT / "pyproject.toml", ROOT / "LICENSE"):
        shutil.copy(file, target)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, target / package, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.fixture(scope="module")
def car(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the programs of an environment that holds the extra `device` as locked, and ubi as built."""
    folder = tmp_path_factory.mktemp("car")
    venv.create(folder / "venv", with_pip=True)
    programs = folder / "venv" / "bin"
    pip: list[str | Path] = [
        programs / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, "--require-hashes", "-r", ROOT / "lock" / "device.txt"], check=True)
    source = source_tree(folder / "source")
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", source], check=True)
    return programs


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd)


@pytest.mark.timeout(300)
def test_the_device_extra_alone_runs_and_brings_no_data_frame_and_no_model(car, tmp_path):
    found = run(car / "python", "-c", SHOW_IMPORTABLE, *NOT_IN_THE_CAR, "obd", cwd=tmp_path)
    assert found.stdout == "obd\n", found

    every_module = run(car / "python", "-c", IMPORT_ALL, cwd=tmp_path)
    assert every_module.returncode == 0, every_module.stderr

    usage = run(car / "ubi", "device", "--help", cwd=tmp_path)
    assert usage.returncode == 0, usage.stderr
    assert usage.stdout.startswith("usage: ubi device")
