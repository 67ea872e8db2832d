"""What every test may rely on: an environment of its own, a ledger, and rehearsal over real HTTP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from thousandfold.gen.ledger import Ledger

from ._runs import Server, serving

# Neither a deadline nor the speed of making examples: both would test how busy the machine is.
settings.register_profile("thousandfold", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("thousandfold")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    """No key, option or proxy of whoever runs the tests changes what they see."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("OPENAI_", "THOUSANDFOLD_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def rehearsal_server() -> Iterator[Server]:
    """One server for the whole session; its counts only grow."""
    with serving() as server:
        yield server


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(tmp_path / "ledger.sqlite") as book:
        yield book
