from __future__ import annotations

from pathlib import Path

import pytest

from ingest.contract import durable


@pytest.fixture
def synced(monkeypatch):
    folders = []
    real = durable.sync_folder
    monkeypatch.setattr(durable, "sync_folder", lambda folder: (folders.append(folder), real(folder)))
    return folders


def test_a_commit_into_a_known_folder_has_two_syncs(tmp_path, synced, monkeypatch):
    durable.commit({tmp_path / "day" / "a": b"1"})
    synced.clear()
    files, fsync = [], durable.os.fsync
    monkeypatch.setattr(durable.os, "fsync", lambda descriptor: (files.append(descriptor), fsync(descriptor)))
    durable.commit({tmp_path / "day" / "b": b"2"})
    assert synced == [tmp_path / "day"]
    assert len(files) == 2


def test_a_folder_that_another_process_just_made_is_brought_to_disk_by_us_too(tmp_path, synced):
    (tmp_path / "day").mkdir()  # by another, which has not synced yet
    durable.commit({tmp_path / "day" / "a": b"1"})
    assert synced == [tmp_path, tmp_path / "day"]


def test_a_folder_that_was_removed_is_made_again(tmp_path):
    durable.commit({tmp_path / "day" / "a": b"1"})
    (tmp_path / "day" / "a").unlink()
    (tmp_path / "day").rmdir()
    durable.commit({tmp_path / "day" / "a": b"2"})
    assert (tmp_path / "day" / "a").read_bytes() == b"2"


def test_what_happens_then_waits_for_every_file(tmp_path):
    seen = []
    files = {tmp_path / name / "f": name.encode() for name in ("a", "b")}
    durable.commit(files, then=lambda: seen.extend(path.read_bytes() for path in files))
    assert seen == [b"a", b"b"]


@pytest.mark.parametrize("fails_at", [None, "a", "b"])
def test_a_file_stands_there_while_some_names_are_new_and_others_old(tmp_path, monkeypatch, fails_at):
    mark, seen, real = tmp_path / "mark", [], Path.replace

    def replace(path, target):
        if target.name == fails_at:
            raise OSError("full")
        if target != mark:
            seen.append((target.name, mark.read_bytes()))
        return real(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    files = {tmp_path / name: name.encode() for name in ("a", "b")}
    if fails_at is None:
        durable.commit(files, meanwhile=(mark, b"not yet"))
        assert seen == [("a", b"not yet"), ("b", b"not yet")]
    else:
        with pytest.raises(OSError, match="full"):
            durable.commit(files, meanwhile=(mark, b"not yet"))
    assert mark.exists() is (fails_at is not None)


def test_nothing_stands_there_while_the_new_files_are_still_written(tmp_path):
    def pieces():
        yield b"1"
        assert not (tmp_path / "mark").exists()

    durable.commit({tmp_path / "a": pieces()}, meanwhile=(tmp_path / "mark", b"not yet"))
    assert (tmp_path / "a").read_bytes() == b"1"
