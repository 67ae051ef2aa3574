"""Every counter that the code counts has its row in docs/operations.md: what it means, and what to do."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from ingest.vitals import COUNTERS
from tests.conftest import REPOSITORY
from tests.test_architecture import name, sources

# Mappings that counters live in, and methods that count; a name that is not written out is a pattern with *.
MAPPINGS = {"device": {"counters", "_counters", "counts", "_unsaved"}, "ingest": {"counters", "_counters"}}
METHODS = {"count", "_count"}


def counted(stage: str) -> Iterator[tuple[str, str]]:
    """File and counter of every place that counts; a part of the name that is computed is a *."""
    for file in sources(stage):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and called(node.value) in MAPPINGS[stage]:
                places = texts(node.slice)
            elif isinstance(node, ast.Call) and called(node.func) in METHODS and node.args:
                places = texts(node.args[0])
            else:
                continue
            yield from ((name(file), text) for text in places if re.search("[a-z]", text))


def called(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def texts(node: ast.expr) -> list[str]:
    """Texts that an expression may be; none where it is not written out at all."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        return ["".join(part.value if isinstance(part, ast.Constant) else "*" for part in node.values)]  # type: ignore[misc]
    if isinstance(node, ast.IfExp):
        return texts(node.body) + texts(node.orelse)
    return []


def documented() -> set[str]:
    """Names in the first column of the counters' tables. `a_b`, `_c` is a_b and a_c; a word in capitals is a *."""
    rows = re.findall(
        r"^\| (.+?) \|", (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    found: set[str] = set()
    for row in rows:
        first = ""
        for word in re.findall(r"[A-Za-z_]+", re.sub(r"\(.*\)", "", row)):
            first = first or word
            full = first.rpartition("_")[0] + word if word.startswith("_") else word
            found |= {re.sub(r"[A-Z]{2,}", "*", full)}
    return found


def matches(counter: str, known: set[str]) -> bool:
    """Whether a counter is documented, by itself or behind the name of its part, as health messages tell it."""
    pattern = re.compile(r"(\w+_)?" + r"[\w*]+".join(map(re.escape, counter.split("*"))))
    return any(pattern.fullmatch(row) for row in known)


@pytest.mark.parametrize("stage", ["device", "ingest"])
def test_every_counter_is_documented(stage):
    known = documented()
    assert sorted({row for row in counted(stage) if not matches(row[1], known)}) == []


def test_what_counts_is_found():
    assert {"received", "rejected_*", "acks_dropped", "acks", "connects"} <= {row[1] for row in counted("ingest")}
    assert {"obd_refused_*", "readings", "resent"} <= {row[1] for row in counted("device")}


def test_every_counter_of_a_worker_has_its_line_for_prometheus():
    ours = {row[1] for row in counted("ingest")} - {"rejected_*"}
    assert sorted(ours - set(COUNTERS)) == []


def test_a_counter_without_a_row_is_seen():
    known = {"uplink_resent", "obd_refused_length", "received"}
    assert matches("resent", known)
    assert matches("obd_refused_*", known)
    assert not matches("sent", known)
    assert not matches("lost", known)
