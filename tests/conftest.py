"""What holds for every test: our own failures raise, nothing draws on a screen, and browser tests come last."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

BROWSER_TESTS = Path(__file__).parent / "browser"

os.environ["GRAPHSCOPE_STRICT"] = "1"  # a failure of ours raises; for users it only switches recording off
os.environ["MPLBACKEND"] = "Agg"
# Small tensors are slower on many threads, and on a busy machine very much so. Before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A slow machine is no failed property; in CI the examples are the same in every run.
hypothesis.settings.register_profile("graphscope", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("graphscope")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks follow the folder; a GPU test without a GPU is skipped; the order is quick, notebooks, browser.

    Browser last also because Playwright keeps an event loop running in this thread, and code that wants to
    start its own (asyncio.run) would fail after it.
    """
    for item in items:
        if item.path.is_relative_to(BROWSER_TESTS):
            item.add_marker(pytest.mark.browser)
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
    items.sort(
        key=lambda item: (
            item.get_closest_marker("browser") is not None,
            item.get_closest_marker("notebook") is not None,
        )
    )


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
