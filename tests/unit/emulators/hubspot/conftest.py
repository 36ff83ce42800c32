"""A fresh portal inside the process for every test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.emulators.hubspot.inside import Inside


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    one = Inside(tmp_path)
    yield one
    one.close()
