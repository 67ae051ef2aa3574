"""The shape of the tree as rules: import directions, doors of I/O libraries, module size, no sleeps."""

from __future__ import annotations

import ast
import tomllib
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("device", "ingest", "features", "pricing")  # in the order of the data flow
PACKAGES = (*STAGES, "replay_data")
MAX_LINES = 350

# Library -> the files that may import it, tests aside. A new row is a decision: say in the commit why the
# library needs another door.
DOORS: dict[str, tuple[str, ...]] = {
    "amqtt": ("ingest/embedded.py",),
    "cryptography": ("device/contract/certificate.py", "device/contract/signing.py", "ingest/certificates.py"),
    "duckdb": ("ingest/query.py", "features/sql.py"),
    "elm": (),  # ELM327-emulator: licence CC BY-NC-SA, tests only
    "glum": ("pricing/tariff.py", "pricing/diagnostics/challengers.py"),
    "interpret": ("pricing/diagnostics/challengers.py",),
    "lightgbm": ("pricing/boosting.py",),
    "obd": ("device/sources/obd_adapter.py",),
    "paho": ("device/uplink_connection.py",),  # ingest has a receiver of its own: docs/decisions/0011
    "pickle": (),  # nothing stored or received is ever code
    "prometheus_client": ("ingest/monitor.py",),
    "pty": ("replay_data/pseudo_terminal.py",),
    "pynmeagps": ("device/sources/nmea.py",),
    "pyspark": ("features/spark.py",),
    "serial": ("device/sources/serial_port.py", "device/sources/protocol_watched.py"),
    "sqlite3": ("device/outbox_damage.py", "device/outbox_file.py"),  # the first reads what the second cannot open
    # python-OBD lives in a process that can be killed; the borders of the time zones in one that ends at once.
    "subprocess": ("device/sources/obd_process.py", "device/zone.py"),
    "tzfpy": ("device/zone.py",),
    "urllib.request": (),  # the only way out of the car is the uplink
    "zstandard": ("device/contract/*.py",),
}
# What may be done to files, in ingest, but for `ingest/contract/durable.py`. These keep files of their own beside the
# lake, or in it what is no table: keys, the registry, certificates, records of erasures and the lock of all workers.
FILE_VERBS = {"unlink", "glob", "rglob", "iterdir", "stat", "is_file", "mkdir", "write_bytes", "write_text"}
OWN_FILES = {f"ingest/{file}.py" for file in ("authority", "configure", "enrol", "registry")} | {
    f"ingest/contract/{file}.py" for file in ("durable", "erasure", "private")
}
# The car has none of these.
NOT_IN_THE_CAR = (
    "duckdb",
    "glum",
    "lightgbm",
    "numpy",
    "pandas",
    "polars",
    "pyarrow",
    "pyspark",
    "scipy",
    "sklearn",
)


def sources(*folders: str) -> list[Path]:
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    return [file for file in files if not file.name.endswith("_pb2.py")]


def top_level_modules() -> list[Path]:
    return sorted(ROOT.glob("*.py"))


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


@cache
def imports(file: Path) -> tuple[str, ...]:
    """Dotted names a file imports; `from a import b` gives `a.b`, whether b is a module or not."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            names += (f"{prefix}.{alias.name}" for alias in node.names)
    return tuple(names)


def is_within(dotted: str, package: str) -> bool:
    return dotted == package or dotted.startswith(f"{package}.")


def may_import(stage: str, dotted: str) -> bool:
    """Tell whether a file of `stage` may import `dotted`; what is not ours is judged by DOORS."""
    target = dotted.partition(".")[0]
    if target in {"", "ubi", "demo", "tests"}:
        return False
    if target not in PACKAGES or target == stage:
        return True
    if stage == "replay_data":
        return target == "device"
    if target == "replay_data":
        return False
    return STAGES.index(target) < STAGES.index(stage) and is_within(dotted, f"{target}.contract")


@pytest.mark.parametrize("stage", PACKAGES)
def test_a_stage_sees_only_the_contracts_of_earlier_stages(stage):
    wrong = [f"{name(f)}: {i}" for f in sources(stage) for i in imports(f) if not may_import(stage, i)]
    assert wrong == []


def test_the_rule_of_directions_itself():
    assert may_import("ingest", "device.contract.wire")
    assert may_import("pricing", "features.contract")
    assert may_import("replay_data", "device.motion")
    assert not may_import("ingest", "device.outbox")
    assert not may_import("ingest", "device")
    assert not may_import("device", "ingest.contract")
    assert not may_import("features", "replay_data.simulator")
    assert not may_import("replay_data", "ingest.contract")
    assert not may_import("pricing", "ubi")
    assert not may_import("device", ".outbox")


@pytest.mark.parametrize("library", DOORS)
def test_an_io_library_enters_by_its_doors_only(library):
    files = sources(*PACKAGES) + top_level_modules()
    users = {name(f) for f in files if any(is_within(i, library) for i in imports(f))}
    assert sorted(u for u in users if not any(fnmatch(u, door) for door in DOORS[library])) == []


def test_the_files_of_a_lake_are_touched_in_one_file():
    def touches(file: Path) -> list[str]:
        calls = (
            node.func for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
        )
        names = [ast.unparse(func) for func in calls]
        return [n for n in names if n.rpartition(".")[2] in FILE_VERBS or n.startswith(("os.open", "fcntl."))]

    files = [file for file in sources("ingest") if name(file) not in OWN_FILES]
    assert {name(file): found for file in files if (found := touches(file))} == {}


def test_the_car_has_no_data_frame_and_no_model():
    wrong = [f"{name(f)}: {i}" for f in sources("device") for i in imports(f) if i.partition(".")[0] in NOT_IN_THE_CAR]
    assert wrong == []


def test_no_module_holds_two_ideas():
    files = sources(*PACKAGES, "tests") + top_level_modules()
    lines = {name(f): len(f.read_text(encoding="utf-8").splitlines()) for f in files}
    assert {file: n for file, n in lines.items() if n > MAX_LINES} == {}


def test_no_test_sleeps():
    def sleeps(file: Path) -> bool:
        text = file.read_text(encoding="utf-8")
        if "sleep" not in text:
            return False
        calls = [ast.unparse(node.func) for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
        return "time.sleep" in calls or "time.sleep" in imports(file)

    assert [name(f) for f in sources("tests") if sleeps(f)] == []


def test_every_package_and_top_level_module_is_installed():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert sorted(setuptools["py-modules"]) == [f.stem for f in top_level_modules()]
    folders = {f.parent for f in sources(*PACKAGES)}
    assert [name(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []
    assert [n for n in PACKAGES if not any(fnmatch(n, p) for p in setuptools["packages"]["find"]["include"])] == []
