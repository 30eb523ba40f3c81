"""Where real data sets lie, for tests that use them when they are there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder that holds mnist/ with the four official files; the test is skipped where there is none."""
    given = os.environ.get("GRAPHSCOPE_TEST_DATA")
    folder = Path(given) if given else Path(__file__).parents[3] / "shared" / "data"
    if not (folder / "mnist" / "train-images-idx3-ubyte.gz").exists():
        pytest.skip(f"no MNIST files in {folder}; GRAPHSCOPE_TEST_DATA names another folder")
    return folder
