"""No rule accuses a training that works, however its loss swings."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.rules.trainings import HEALTHY


@pytest.mark.parametrize("name", HEALTHY)
def test_no_finding(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    run = HEALTHY[name](tmp_path / "run")
    assert len(run.captured_steps) >= 40, "every step was looked at"
    assert [(finding.rule, finding.message) for finding in run.findings] == []
