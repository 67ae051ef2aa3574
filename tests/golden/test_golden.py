from __future__ import annotations

import pytest

from tests.golden import FOLDER, files, makers


@pytest.mark.parametrize("maker", makers())
def test_golden_files_are_what_the_code_makes(maker):
    changed = [
        name
        for name, content in files(maker).items()
        if not (FOLDER / name).exists() or (FOLDER / name).read_bytes() != content
    ]
    assert changed == [], f"if the change is meant: make golden ARGS={maker}, and say in the commit what it means"
