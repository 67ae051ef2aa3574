"""Fixtures every test may use: recorded data, a free port, a real broker."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.mosquitto import Mosquitto, find_mosquitto
from tests.ports import free_port

if TYPE_CHECKING:
    from tests.reference_model import Reference

REPOSITORY = Path(__file__).resolve().parent.parent

# LightGBM's threads wait for each other without burning the core that another process needs; read when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# A shared machine makes single examples slow now and then: no profile has a deadline.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True, max_examples=50)
settings.register_profile("dev", deadline=None, print_blob=True, max_examples=50)
settings.register_profile("campaign", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


def pytest_collection_finish() -> None:
    """Libraries and 4,400 tests stay to the end: the collector need not look at them again and again."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """At the end it clears away what it was kept from."""
    gc.unfreeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings, which the project never copies into its own tree."""
    folder = Path(os.environ.get("UBI_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no recordings at {folder}; UBI_SHARED_DATA names another folder")
    return folder


@pytest.fixture(scope="session")
def reference(request: pytest.FixtureRequest) -> Reference:
    """A risk model to see prices move by; kept in the cache of pytest for as long as the code is the same."""
    from tests.reference_model import reference_model

    return reference_model(request.config.cache.mkdir("reference-model"))


@pytest.fixture(name="free_port")
def _free_port() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    return free_port()


@pytest.fixture
def mosquitto(tmp_path: Path, free_port: int) -> Iterator[Mosquitto]:
    """A running mosquitto of this test's own, without persistence."""
    binary = find_mosquitto()
    if binary is None:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto)")
    broker = Mosquitto(binary, tmp_path / "mosquitto", free_port)
    broker.start()
    yield broker
    broker.stop()
