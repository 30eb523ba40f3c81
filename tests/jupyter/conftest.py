"""The fakes as fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.jupyter.fakes import FakeSession, Hand, Page


@pytest.fixture
def session() -> FakeSession:
    return FakeSession()


@pytest.fixture
def page() -> Page:
    return Page()


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The kernel's list of sessions, for a test to fill."""
    import graphscope.jupyter.namespace as namespace
    import graphscope.jupyter.sidebar as sidebar

    found: list[Any] = []
    for module in (namespace, sidebar):
        monkeypatch.setattr(module, "live_sessions", lambda: list(found))
    yield found
