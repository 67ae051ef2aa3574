from __future__ import annotations

import ubi
from tests.pricing.book import trained


def test_a_pack_of_two_scorings_is_not_written(tmp_path, capsys, monkeypatch):
    trained().model.save(tmp_path / "model")
    book = tmp_path / "out" / "book.json"
    book.parent.mkdir()
    book.write_text("of one scoring")
    monkeypatch.setattr("pricing.report.make.make_pack", lambda *_a, **_k: book.write_text("of the next scoring"))
    words = ["--model", str(tmp_path / "model"), "--factors", str(book.parent), "--out", str(tmp_path / "page")]
    assert ubi.main(["pricing", "report", *words]) == 75
    assert "book.json: was built again while it was read; run again" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()
