"""The report opened from disk: it shows its run, asks nobody anything, and without JavaScript there is the picture."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from graphscope.reports import report
from tests.reports.long_runs import long_run
from tests.reports.made_graphs import GraphMaker, transformer
from tests.reports.test_svg import HOSTILE

NAME = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"


@pytest.fixture(autouse=True)
def built() -> None:
    viewer = resources.files("graphscope") / "static" / "report.js"
    if not viewer.is_file() or len(viewer.read_bytes()) < 10_000:
        pytest.skip("the viewer is not built (make install)")


def opened(open_page: Callable[..., Page], path: Path) -> tuple[Page, list[str], list[str]]:
    """The page with every request it made and everything its console said."""
    page = open_page("about:blank")
    requests: list[str] = []
    said: list[str] = []
    page.on("request", lambda sent: requests.append(sent.url))
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    expect(page.locator("canvas[data-graphscope=graph]")).to_be_visible(timeout=20_000)
    page.wait_for_timeout(500)
    return page, requests, said


def test_a_run_opens_from_disk_without_a_request(open_page: Callable[..., Page], tmp_path: Path) -> None:
    path = report(long_run(400, finding=200), tmp_path / "report.html")
    page, requests, said = opened(open_page, path)
    assert said == []
    assert [url for url in requests if not url.startswith("blob:")] == [path.as_uri()]
    assert page.title() == "Net-1"
    expect(page.get_by_text("fc0").first).to_be_visible()
    expect(page.get_by_text("NaN begins here").first).to_be_visible()
    assert page.evaluate("fetch('data:text/plain,x').then(() => 'sent', () => 'refused')") == "refused"


def test_names_out_of_a_run_stay_text(open_page: Callable[..., Page], tmp_path: Path) -> None:
    make = GraphMaker(NAME)
    x = make.input(2, 3, name=NAME)
    for number, name in enumerate([NAME, *HOSTILE]):
        x = make.layer(f"{number} {name}", name, name, x, attrs=name)
    page, requests, said = opened(open_page, report(make.graph(x, partial=NAME), tmp_path / "report.html", title=NAME))
    assert said == [] and len([url for url in requests if not url.startswith("blob:")]) == 1
    assert page.evaluate("window.hacked") is None and page.title() == NAME


def test_without_javascript_there_is_the_picture(browser: Browser, tmp_path: Path) -> None:
    path = report(transformer(2), tmp_path / "report.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    expect(page.locator("noscript svg, svg").first).to_be_in_viewport()
    assert "blocks.0" in page.locator("body").inner_text()
    context.close()
