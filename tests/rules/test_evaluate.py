"""evaluate: only what is new is looked at, a broken rule harms nobody, a run out of a file is not counted twice."""

from __future__ import annotations

import time

import pytest

import graphscope.rules as rules
from graphscope.rules import RULES, evaluate
from graphscope.rules.news import News
from graphscope.run import Run
from graphscope.schema import Finding
from tests.reports.made_graphs import chain
from tests.rules.made_runs import RunMaker


def test_every_rule_is_in_the_list_and_has_help() -> None:
    import importlib
    import pkgutil

    files = {name for _, name, _ in pkgutil.iter_modules(rules.__path__)}
    helpers = {"calls", "flow", "news", "measured", "nonfinite_origin", "risky_ops", "sizes"}
    assert {rule.__name__ for rule in RULES} == files - helpers, "every file is in the list"
    for rule in RULES:
        module = importlib.import_module(f"graphscope.rules.{rule.__name__}")
        help_text = module.__doc__ or ""
        assert help_text.startswith(f"{rule.__name__.replace('_', '-')}: ")
        assert "\nWhy it matters: " in help_text and "\nWhen it is fine: " in help_text


def test_an_empty_run_has_nothing_to_say() -> None:
    assert evaluate(Run()) == []


def test_a_broken_rule_raises_in_strict_mode_and_warns_once_for_users(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(news: News) -> list[Finding]:
        raise KeyError("boom")

    monkeypatch.setattr(rules, "RULES", (broken, *RULES))
    make = RunMaker()
    make.nan_loss(1)
    with pytest.raises(KeyError, match="boom"):
        evaluate(make.run)
    monkeypatch.setenv("GRAPHSCOPE_STRICT", "0")
    other = RunMaker()
    other.nan_loss(1)
    with pytest.warns(UserWarning, match="broken failed"):
        (finding,) = evaluate(other.run)
    assert finding.rule == "nonfinite", "the other rules go on"


def test_findings_read_from_a_file_are_not_counted_again() -> None:
    make = RunMaker()
    for step in range(5):
        make.nan_loss(step)
    for finding in evaluate(make.run):
        make.run.add(finding)
    again = Run()
    for record in make.run.records():
        again.add(record)
    assert evaluate(again) == [], "all of it is in the file"


def test_a_look_costs_the_step_and_not_the_run() -> None:
    make = RunMaker(chain(20))
    rows = [(f"fc{i}", "activation") for i in range(20)]

    def look(step: int) -> float:
        make.passed(step)
        make.stats(step, *rows)
        make.step(step, 1.0, captured=True)
        start = time.perf_counter()
        assert evaluate(make.run) == []
        return time.perf_counter() - start

    early = sorted(look(step) for step in range(200))[100]
    for step in range(200, 2_000):
        look(step)
    late = sorted(look(step) for step in range(2_000, 2_200))[100]
    assert late < 5 * early + 0.002


def test_two_runs_do_not_mix() -> None:
    one, two = RunMaker(), RunMaker()
    one.nan_loss(3)
    two.nan_loss(8)
    assert [f.step for f in evaluate(one.run)] == [3]
    assert [f.step for f in evaluate(two.run)] == [8]
