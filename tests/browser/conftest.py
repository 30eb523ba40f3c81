"""A real JupyterLab server and a real Chromium -> fixtures `lab`, `open_page`, `notebook` and `screenshot`.

Every page records requests that leave the machine (`page.external`) and uncaught errors (`page.errors`); both
must stay empty. When a test fails, its pages are kept as pictures in test-artifacts/failures/.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
# As root Chromium has no sandbox; the others keep it from talking to anyone.
CHROMIUM_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync", "--disable-quic", "--disable-dev-shm-usage",
)  # fmt: skip
OWN_URLS = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "file:", "about:")
STARTUP_SECONDS = 90
PAGES = pytest.StashKey[list[Page]]()


class Lab(NamedTuple):
    """A running JupyterLab: its address, its token, the folder it serves, the environment it was started with."""

    url: str
    token: str
    root: Path
    env: dict[str, str]


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One server for all tests, with a random token and none of the user's own settings."""
    # The server runs in the notebooks' folder: next to a checkout, `%load_ext graphscope` would find the folder.
    root, home = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("home")
    config = home / "config" / "labconfig"
    config.mkdir(parents=True)
    news = "@jupyterlab/apputils-extension:announcements"  # asks the network, and its pop-up covers the page
    (config / "page_config.json").write_text(json.dumps({"disabledExtensions": {news: True}}))
    folders = {
        "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
    }  # fmt: skip
    env = dict(os.environ, **{name: str(home / folder) for name, folder in folders.items()})
    token = secrets.token_hex(16)
    process, url = _started(root, home / "lab.log", token, env)
    try:
        yield Lab(url, token, root, env)
    finally:
        process.terminate()  # the server shuts its kernels down itself
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _started(root: Path, log: Path, token: str, env: dict[str, str]) -> tuple[subprocess.Popen[bytes], str]:
    for _ in range(3):  # between choosing a free port and using it, another program may take it
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
            "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root}",
            "--LabApp.expose_app_in_browser=True",
        ]  # fmt: skip
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, cwd=root, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + STARTUP_SECONDS
        request = urllib.request.Request(f"{url}/api/status", headers={"Authorization": f"token {token}"})
        while process.poll() is None and time.monotonic() < deadline:
            try:
                urllib.request.urlopen(request, timeout=2).read()
                return process, url
            except OSError:
                time.sleep(0.2)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            break
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, from $CHROMIUM or PATH; without one the tests are skipped, and fail where $CI is set."""
    names = ("chromium", "chromium-browser", "google-chrome")
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if program is None:
        reason = "no Chromium: install one (apt install chromium) or name it in $CHROMIUM"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """open_page(url, width=1500, height=900, dark=False) -> a page of its own, with `external` and `errors`."""
    pages = request.node.stash[PAGES] = []

    def opened(url: str, *, width: int = 1500, height: int = 900, dark: bool = False) -> Page:
        scheme = "dark" if dark else "light"
        page: Any = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
        pages.append(page)
        page.external, page.errors = [], []
        page.on("request", lambda sent: sent.url.startswith(OWN_URLS) or page.external.append(sent.url))
        page.on("websocket", lambda socket: socket.url.startswith(OWN_URLS) or page.external.append(socket.url))
        page.on("pageerror", lambda error: page.errors.append(str(error)))
        page.goto(url)
        return page

    yield opened
    for page in pages:
        page.context.close()


class Notebook:
    """One notebook, open in JupyterLab; cells are counted from 0."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def cell(self, index: int) -> Locator:
        """The code cell and its output."""
        return self.panel.locator(".jp-CodeCell").nth(index)

    def status(self, wanted: str, timeout: float = 60_000) -> None:
        """Waits until the kernel is `idle`, `busy` or (after a reload while busy) `unknown`."""
        self.panel.locator(f".jp-Notebook-ExecutionIndicator[data-status='{wanted}']").wait_for(timeout=timeout)

    def is_busy(self) -> bool:
        """Whether a cell runs now, without waiting."""
        return self.panel.locator(".jp-Notebook-ExecutionIndicator").get_attribute("data-status") == "busy"

    def start(self, index: int) -> None:
        """Runs a cell and does not wait. By command: a click into the editor and Ctrl+Enter are lost now and then."""
        self.page.evaluate(
            """async index => {
                const panel = window.jupyterapp.shell.currentWidget;
                await panel.sessionContext.ready;
                panel.content.activeCellIndex = index;
                panel.content.deselectAll();
                void window.jupyterapp.commands.execute('notebook:run-cell');
            }""",
            index,
        )

    def finished(self, index: int, timeout: float = 60_000) -> Locator:
        """Waits until a started cell has its number; an exception in it fails the test."""
        cell = self.cell(index)
        expect(cell.locator(".jp-InputArea-prompt")).to_have_text(re.compile(r"\[\d+\]:"), timeout=timeout)
        failure = cell.locator(
            "[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr']"
        )
        traceback = " ".join(text for text in failure.all_inner_texts() if "Traceback" in text or "Error" in text)
        assert not traceback, f"cell {index} raised:\n{traceback}"
        return cell

    def run(self, index: int, timeout: float = 60_000) -> Locator:
        """Runs a cell to its end -> the cell."""
        self.start(index)
        return self.finished(index, timeout)

    def theme(self, name: str) -> None:
        """`JupyterLab Dark` or `JupyterLab Light`."""
        self.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
        light = str("Dark" not in name).lower()
        self.page.wait_for_selector(f"body[data-jp-theme-light='{light}']", state="attached")


@pytest.fixture
def notebook(
    lab: Lab, open_page: Callable[..., Page], request: pytest.FixtureRequest
) -> Iterator[Callable[..., Notebook]]:
    """notebook(*cells, **of_open_page) -> a Notebook with these code cells, open and its kernel idle."""
    made: list[Notebook] = []

    def opened(*cells: str, **options: Any) -> Notebook:
        name = f"{_file_name(request.node.nodeid)}-{len(made)}.ipynb"
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=kernel)
        nbformat.write(content, lab.root / name)
        page = open_page(f"{lab.url}/lab/tree/{name}?token={lab.token}&reset", **options)
        page.wait_for_selector("#jupyterlab-splash", state="detached", timeout=60_000)
        made.append(Notebook(page))
        made[-1].status("idle")
        return made[-1]

    yield opened
    for one in made:  # a kernel left running would slow the next test down
        one.page.evaluate("() => window.jupyterapp.commands.execute('notebook:shutdown-kernel')")


@pytest.fixture
def screenshot() -> Callable[[Page, str], Path]:
    """screenshot(page, name) -> test-artifacts/screenshots/<name>.png, for a person to look at."""
    return lambda page, name: _picture(page, ARTIFACTS / "screenshots" / f"{_file_name(name)}.png")


def _picture(page: Page, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path, animations="disabled")
    return path


def _file_name(text: str) -> str:
    return re.sub(r"[^\w-]+", "_", text).strip("_")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    if report.when == "call" and report.failed:  # before the fixtures close what is to be seen
        for number, page in enumerate(item.stash.get(PAGES, [])):
            _picture(page, ARTIFACTS / "failures" / f"{_file_name(item.nodeid)}-{number}.png")
    return report
