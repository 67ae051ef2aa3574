from __future__ import annotations

import json
import sys
import types

from tests.bench import __main__ as bench
from tests.bench.row import Row


def test_a_benchmark_prints_its_table_and_writes_its_rows(monkeypatch, tmp_path, capsys):
    trial = types.ModuleType("trial")
    trial.run = lambda: [
        Row("scan", 2.5, "s", anchor=1.0, goal="at most 3x", met=True),
        Row("rows", 7, "1", met=False),
    ]
    monkeypatch.setitem(sys.modules, "tests.bench.trial", trial)
    monkeypatch.setattr(bench.pkgutil, "iter_modules", lambda path: [types.SimpleNamespace(name="trial")])
    monkeypatch.chdir(tmp_path)
    assert bench.main(["trial"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[1:] == [
        "trial",
        "name  value  unit  spread  anchor  goal        met",
        "scan  2.5    s     -       1       at most 3x  yes",
        "rows  7      1     -       -       -           NO",
    ]
    scan, rows = json.loads((tmp_path / "bench-results/trial.json").read_text())
    assert list(scan) == ["name", "value", "unit", "spread", "anchor", "goal", "met"]
    assert (scan["value"], scan["spread"], scan["met"], rows["met"]) == (2.5, None, True, False)


def test_an_unknown_benchmark_is_named_with_those_there_are(capsys):
    assert bench.main(["no_such"]) == 2
    assert "there is no benchmark 'no_such'; there are:" in capsys.readouterr().err
