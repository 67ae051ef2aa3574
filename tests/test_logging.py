from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

import ubi


def record(message, *arguments, level=logging.INFO, **fields):
    made = logging.LogRecord("ingest.serve", level, __file__, 1, message, arguments, fields.pop("exc_info", None))
    made.created = 1_767_225_600.25
    made.__dict__.update(fields)
    return json.loads(ubi.JsonLines().format(made))


def run(*arguments):
    return subprocess.run([sys.executable, "-m", "ubi", *arguments], capture_output=True, text=True, timeout=60)


def test_a_record_is_one_object_with_time_level_logger_message_and_facts():
    assert record("stopped: %s", "received 3", facts={"received": 3}) == {
        "time": "2026-01-01T00:00:00.250Z",
        "level": "info",
        "logger": "ingest.serve",
        "message": "stopped: received 3",
        "facts": {"received": 3},
    }


def test_a_traceback_and_line_breaks_stay_in_the_line():
    error = ValueError("first\nsecond")
    told = record("a\nb", exc_info=(ValueError, error, None))
    assert told["message"] == "a\nb"
    assert told["traceback"].endswith("ValueError: first\nsecond")


@pytest.mark.parametrize("arguments", [("ingest", "status", "--lake", "/none"), ("pricng",)])
def test_the_last_error_of_a_command_is_an_object_too(arguments):
    plain, structured = run(*arguments), run("--log-format", "json", *arguments)
    (line,) = structured.stderr.splitlines()
    told = json.loads(line)
    assert plain.stderr == f"ubi: error: {told['message']}\n"
    assert told["facts"] == {"exit_status": structured.returncode}
    assert structured.returncode == plain.returncode == 2
