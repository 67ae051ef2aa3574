from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import ubi
from device.contract.errors import TryAgainError, UbiError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ubi", *arguments], capture_output=True, text=True, timeout=60)


@pytest.fixture
def command(monkeypatch):
    """Register a subcommand `trial` with this `main`."""

    def register(main):
        module = types.ModuleType("trial_cli")
        module.main = main
        monkeypatch.setitem(sys.modules, "trial_cli", module)
        monkeypatch.setitem(ubi.COMMANDS, "trial", ubi.Command("trial_cli", "insurer", "a trial"))

    return register


def test_the_command_itself_imports_no_library():
    script = "import sys, ubi; ubi.main([]); print({m.partition('.')[0] for m in sys.modules} & {*sys.argv})"
    libraries = ["polars", "numpy", "lightgbm", "duckdb", "google", "paho", "obd", "serial", "zstandard"]
    result = subprocess.run([sys.executable, "-c", script, *libraries], capture_output=True, text=True, timeout=60)
    assert result.stdout.endswith("\nset()\n"), result


def test_help_lists_every_command_in_80_columns():
    result = run("--help")
    assert result.returncode == 0
    assert result.stderr == ""
    for name, row in ubi.COMMANDS.items():
        assert f"{name:<10}{row.help}" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("device.cli", "_parser"),
        ("ingest.cli", "_parser"),
        ("features.arguments", "parser"),
        ("pricing.cli", "_parser"),
    ],
)
def test_help_of_every_subcommand_begins_with_what_it_does(module, name):
    parser = getattr(importlib.import_module(module), name)()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    told = {action.dest: f"{action.help[0].upper()}{action.help[1:]}." for action in commands._choices_actions}
    assert {name: command.description for name, command in commands.choices.items()} == told


def test_no_command_prints_the_help(capsys):
    assert ubi.main([]) == 0
    assert "commands:" in capsys.readouterr().out


def test_version_is_the_installed_one(capsys):
    with pytest.raises(SystemExit) as end:
        ubi.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"ubi {importlib.metadata.version('ubi')}\n"


@pytest.mark.parametrize("name", ubi.COMMANDS)
def test_every_command_tells_its_help(name):
    result = run(name, "--help")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"usage: ubi {name}")


def test_a_mistyped_command_is_answered_with_the_near_one(capsys):
    assert ubi.main(["pricng"]) == 2
    assert capsys.readouterr().err == ("ubi: error: there is no command 'pricng'; did you mean 'ubi pricing'?\n")


def test_arguments_after_the_command_reach_the_stage_untouched(command):
    seen = []
    command(lambda argv: seen.append(argv) or 7)
    assert ubi.main(["-v", "trial", "--help", "-v", "x", "--log-level", "y"]) == 7
    assert seen == [["--help", "-v", "x", "--log-level", "y"]]


@pytest.mark.parametrize(("error", "status"), [(UbiError, 1), (TryAgainError, 75)])
def test_an_error_of_ours_is_one_line_and_its_exit_code(command, capsys, error, status):
    def main(argv):
        raise error("lake/x.parquet row 3: speed_kmh is negative; fix the row")

    command(main)
    assert ubi.main(["trial"]) == status
    assert capsys.readouterr().err == "ubi: error: lake/x.parquet row 3: speed_kmh is negative; fix the row\n"


def test_a_missing_file_is_named_in_one_line(command, capsys, tmp_path):
    command(lambda argv: (tmp_path / "claims.csv").read_text())
    assert ubi.main(["trial"]) == 1
    assert capsys.readouterr().err == f"ubi: error: {tmp_path / 'claims.csv'}: No such file or directory\n"


def test_a_missing_library_names_the_extra(command, capsys):
    def main(argv):
        importlib.import_module("library_of_the_future")

    command(main)
    assert ubi.main(["trial"]) == 2
    assert capsys.readouterr().err == (
        "ubi: error: the library 'library_of_the_future' is not installed; run: pip install 'ubi[insurer]'\n"
    )


def test_a_missing_module_of_ours_is_a_bug_not_a_missing_extra(command):
    def main(argv):
        importlib.import_module("device.not_written")

    command(main)
    with pytest.raises(ModuleNotFoundError):
        ubi.main(["trial"])


def test_ctrl_c_is_130(command):
    def main(argv):
        raise KeyboardInterrupt

    command(main)
    assert ubi.main(["trial"]) == 130


def test_a_broken_pipe_that_is_not_stdout_is_an_error(command):
    def main(argv):
        raise BrokenPipeError

    command(main)
    with pytest.raises(BrokenPipeError):
        ubi.main(["trial"])


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_traceback(unbuffered):
    script = "import sys, ubi; sys.stdin.read(); sys.exit(ubi.main([]))"
    command = [sys.executable, "-c", script]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=-1, text=True, env=environment) as process:
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_under_stdout_is_one_line(unbuffered):
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        result = subprocess.run([sys.executable, "-m", "ubi"], stdout=full, stderr=-1, text=True, env=environment)
    assert (result.returncode, result.stderr) == (
        1,
        "ubi: error: what is written does not fit: no space left; make some\n",
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_stdout_cannot_show_is_escaped(encoding):
    script = r"import sys, ubi; ubi._call = lambda *_: print('\u6bd4\udcff') or 0; sys.exit(ubi.main(['demo']))"
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment)
    shown = "\u6bd4" if encoding == "utf-8" else "\\u6bd4"
    assert (result.returncode, result.stdout.decode(encoding)) == (0, f"{shown}\\udcff\n")
