"""`ubi replay import`: recordings of any known format as .ubirec files."""

from __future__ import annotations

import pytest

import ubi
from device.contract.errors import UbiError
from replay_data import cli
from replay_data.player import read_recording
from tests.replay_data.test_player import recording


def test_import_writes_recordings_that_read_the_same(shared_data, tmp_path, capsys):
    source = shared_data / "kit-obd2" / "2017-07-31_Seat_Leon_KA_KA_Frei.csv"
    assert ubi.main(["replay", "import", str(source), "--out", str(tmp_path / "out")]) == 0
    target = tmp_path / "out" / f"{source.stem}.ubirec"
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{target}  KIT OBD-II CSV: readings ")
    before, after = read_recording(source), read_recording(target)
    assert (after.readings, after.device_id) == (before.readings, before.device_id)


def test_import_never_writes_two_recordings_to_one_file(tmp_path):
    (tmp_path / "x").mkdir()
    first, second = recording(tmp_path / "a.ubirec", 60), recording(tmp_path / "x" / "a.ubirec", 60, 2)
    with pytest.raises(UbiError, match=r"x/a\.ubirec: would write .*a\.ubirec, as .*a\.ubirec does; rename"):
        cli.main(["import", str(first), str(second), "--out", str(tmp_path / "out")])
