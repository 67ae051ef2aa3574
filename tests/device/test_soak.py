"""The soak of the agent: `python -m tests.device.soak` prints its table."""

from __future__ import annotations

import random

import pytest

from tests.device.soak import FAULTS, OUTCOMES, Account, Soak


def account_of(folder, hours: float, seed: int) -> Account:
    soak = Soak(folder, hours, seed)
    try:
        soak.run()
        return Account(soak)
    finally:
        soak.computer.cut()


def check(account: Account, seed: int) -> None:
    assert not any(account.faults.values()), (seed, account.faults)
    for drive, verdict in zip(account.soak.drives, account.verdicts, strict=True):
        assert verdict in OUTCOMES[:3], (seed, drive)


@pytest.mark.parametrize("seed", [11, 12])
def test_every_drive_of_hours_with_faults_is_accounted_for(tmp_path, seed):
    account = account_of(tmp_path, 3.0, seed)
    check(account, seed)
    assert "whole" in account.verdicts
    assert len({row["fault"] for row in account.table() if row["times"]}) >= 8


def test_without_faults_every_drive_is_one_trip_and_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(Soak, "_next", lambda self, _fault, _now_ms: self.drives[-1].end_ms + 1)
    account = account_of(tmp_path, 2.0, 7)
    check(account, 7)
    assert set(account.verdicts) == {"whole"}
    assert len(account.trips) == len(account.soak.drives)


@pytest.mark.long
def test_every_drive_of_a_day_with_faults_is_accounted_for(tmp_path):
    seed = random.SystemRandom().randrange(2**32)
    account = account_of(tmp_path, 24.0, seed)
    check(account, seed)
    assert all(row["times"] for row in account.table()), seed
    assert len(FAULTS) == len(account.table())
