from __future__ import annotations

import pytest

from tests.golden import FOLDER, MAKERS, files, replay
from tests.golden.compare import compare
from tests.golden.tell import render


@pytest.mark.parametrize("maker", MAKERS)
def test_golden_files_are_what_the_code_makes(maker):
    changed = [
        name
        for name, content in files(maker).items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_bytes() != content
    ]
    told = f"if the change is meant: make golden ARGS={maker}, and say in the commit what it means"
    if maker == "replay" and changed:
        made = replay.recordings()
        told = f"{told}\n{render(compare(replay.references(made), made))}"
    assert changed == [], told


def test_every_reference_of_a_recording_has_its_recording():
    recorded = {path.stem for path in replay.TRIPS.iterdir()}
    assert sorted(path.stem for path in (FOLDER / "replay").iterdir() if path.stem not in recorded) == []
