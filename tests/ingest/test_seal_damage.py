"""A sealed file that is damaged stops sealing with its name, and is made again once it is out of the way."""

from __future__ import annotations

import pytest

from device.contract.errors import UbiError
from ingest.contract.lake import Lake
from ingest.seal import seal
from ingest.worker import Worker
from tests.ingest.drive import START_MS, Drive


def test_a_sealed_file_that_is_damaged_is_named_and_made_again_once_it_is_moved_away(tmp_path):
    lake = Lake(tmp_path)
    worker = Worker(lake, "w", lambda topic, payload: None)
    for message in Drive("car").trip():
        worker.take(message.topic, message.payload, START_MS)
    worker.flush(START_MS)
    seal(lake, START_MS)
    (damaged,) = lake.sealed_files("trips")
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:100])
    with pytest.raises(UbiError, match=rf"{damaged.name}: cannot be read; .* move it away"):
        seal(lake, START_MS)
    damaged.unlink()
    seal(lake, START_MS)
    assert damaged.read_bytes() == whole
