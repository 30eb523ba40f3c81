"""Pictures through the dot program: drawn where it is, replaced by our own where it is not, and bounded."""

from __future__ import annotations

import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import graphscope.reports.dot as dot_module
from graphscope.errors import GraphscopeError
from graphscope.reports.dot import picture
from tests.reports.made_graphs import chain, residual_block

PROGRAM = """#!{python}
import sys, time
text = sys.stdin.buffer.read().decode()
assert text.startswith("digraph"), text[:20]
{body}
"""


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program called dot that does as told."""
    program = tmp_path / "dot"
    program.write_text(PROGRAM.format(python=sys.executable, body=body))
    program.chmod(0o755)
    monkeypatch.setattr(dot_module.shutil, "which", lambda name: str(program) if name == "dot" else None)


def uninstall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dot_module.shutil, "which", lambda name: None)


def test_dot_gets_the_text_and_the_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "print(sys.argv[1:], 'conv2d' in text)")
    assert picture(residual_block(), tmp_path / "a.pdf").read_text() == "['-Tpdf'] True\n"


def test_without_dot_our_own_drawing_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uninstall(monkeypatch)
    with pytest.warns(UserWarning, match="dot program of Graphviz is not installed"):
        path = picture(residual_block(), tmp_path / "a.svg")
    assert path.read_text(encoding="utf-8") == residual_block().to_svg()
    with pytest.raises(GraphscopeError, match="apt install graphviz"):
        picture(residual_block(), tmp_path / "a.png")


def test_a_graph_that_is_too_large_for_dot_is_not_given_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "print('drawn')")
    monkeypatch.setattr(dot_module, "MOST_OPS", 10)
    with pytest.warns(UserWarning, match="40 ops are too many"):
        assert "drawn" not in picture(chain(20), tmp_path / "a.svg").read_text()


def test_dot_that_fails_or_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, monkeypatch, "sys.exit('Error: syntax error in line 1')")
    with pytest.raises(GraphscopeError, match="dot failed: Error: syntax error"):
        picture(residual_block(), tmp_path / "a.svg")
    install(tmp_path, monkeypatch, "time.sleep(60)")
    monkeypatch.setattr(dot_module, "SECONDS", 1)
    with pytest.raises(GraphscopeError, match="did not finish"):
        picture(residual_block(), tmp_path / "a.svg")
    assert not (tmp_path / "a.svg").exists()


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.svg.exe"])
def test_other_endings_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(GraphscopeError, match=r"ends in \.svg, \.pdf, \.png"):
        picture(residual_block(), tmp_path / name)


@pytest.mark.skipif(shutil.which("dot") is None, reason="the dot program is not installed")
def test_the_real_dot_draws_it(tmp_path: Path) -> None:
    ET.parse(picture(residual_block(), tmp_path / "a.svg"))
