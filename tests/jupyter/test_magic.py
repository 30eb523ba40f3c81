"""The magics in a real IPython shell, with real models and real sessions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from torch import nn

import graphscope
import graphscope.jupyter.magic as magic
from graphscope.errors import GraphscopeError
from graphscope.graph import Graph
from graphscope.jupyter.completion import completions
from graphscope.session import Session

LOOP = """
for _ in range(4):
    optimizer.zero_grad()
    loss = model(torch.randn(8, 3)).square().mean()
    loss.backward()
    optimizer.step()
"""


class FakeView:
    """Notes what it was made of; the real one needs the built viewer."""

    made: list[Any] = []

    def __init__(self, source: Any) -> None:
        self.source = source
        FakeView.made.append(source)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(magic, "View", FakeView)
    FakeView.made = []
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "graphscope")
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    shell.user_ns.update(
        model=model, optimizer=torch.optim.SGD(model.parameters(), 0.1), torch=torch, nn=nn, x=torch.randn(2, 3)
    )
    yield shell
    shell.run_line_magic("unload_ext", "graphscope")
    InteractiveShell.clear_instance()


def error_of(shell: Any, line: str) -> str:
    with pytest.raises(GraphscopeError) as raised:
        shell.run_line_magic("graphscope", line)
    assert "\n" not in str(raised.value), "one line"
    return str(raised.value)


def test_a_model_shows_its_tree_and_a_call_of_it_its_graph(shell: Any) -> None:
    tree = shell.run_line_magic("graphscope", "model").source
    assert isinstance(tree, Graph) and not tree.traced and len(tree.modules) == 4
    state = torch.get_rng_state()
    for line in ("model(x)", "model --input x", "model --input=x", "model(torch.zeros(2, 3))", "model(input=x)"):
        graph = shell.run_line_magic("graphscope", line).source
        assert graph.traced and [node.op for node in graph.nodes] == ["linear", "relu", "linear"]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in shell.user_ns["model"].parameters())


def test_a_call_is_traced_once_and_its_function_evaluated_once(shell: Any) -> None:
    made: list[nn.Module] = []

    def make() -> nn.Module:
        made.append(nn.Linear(3, 1))
        return made[-1]

    shell.user_ns["make"] = make
    assert shell.run_line_magic("graphscope", "make()(x)").source.traced
    assert len(made) == 1
    assert not shell.run_line_magic("graphscope", "make()").source.traced
    assert len(made) == 2


def test_sessions_runs_graphs_and_paths_are_shown(shell: Any, tmp_path: Path) -> None:
    with graphscope.watch(shell.user_ns["model"], shell.user_ns["optimizer"], run_dir=tmp_path / "r") as session:
        exec(LOOP, shell.user_ns)
        assert shell.run_line_magic("graphscope", "model").source is session, "a watched model shows its session"
    shell.user_ns.update(session=session, run=session.run, graph=session.graph, path=tmp_path / "r")
    assert shell.run_line_magic("graphscope", "session").source is session
    assert shell.run_line_magic("graphscope", "run").source is session.run
    assert shell.run_line_magic("graphscope", "graph").source is session.graph
    for line in ("path", repr(str(tmp_path / "r"))):
        assert shell.run_line_magic("graphscope", line).source.captured_steps == session.run.captured_steps


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("modle", r'name \'modle\' is not defined.*Models here: model \(Sequential\)\. Did you mean "model"\?'),
        ("x", r"found a Tensor, wanted a model, a session"),
        ("model(", r"not a Python expression"),
        ("import os", r"not a Python expression"),
        ("model(y)", r"name \'y\' is not defined"),
        ("model.missing", r"AttributeError"),
        ("x --input x", r"found a Tensor, wanted a model"),
        ("'no/such/run'", r"no/such/run"),
        ("1 / 0", r"ZeroDivisionError"),
    ],
)
def test_what_cannot_be_shown_is_one_clear_line(shell: Any, line: str, words: str) -> None:
    assert re.search(words, error_of(shell, line))
    assert FakeView.made == []


def test_ipython_prints_no_traceback_for_it(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    result = shell.run_cell("%graphscope modle")
    assert not result.success
    printed = "".join(capsys.readouterr())
    assert printed.count("\n") == 1 and "modle" in printed and "Traceback" not in printed


def test_a_forward_that_raises_shows_what_ran_before(shell: Any) -> None:
    assert "mat1" in error_of(shell, "model(torch.zeros(2, 5))")
    (graph,) = FakeView.made
    assert graph.partial and graph.nodes[-1].failed


def test_braces_and_dollars_in_an_expression_are_not_ipythons(shell: Any) -> None:
    class Net(nn.Module):
        def forward(self, batch: dict[str, torch.Tensor]) -> torch.Tensor:
            return batch["x"] * 2

    shell.user_ns["net"] = Net()
    result = shell.run_cell("%graphscope net({'x': x})")
    assert [node.op for node in result.result.source.nodes] == ["mul"]


def test_alone_it_lists_what_there_is(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    session = graphscope.watch(shell.user_ns["model"])
    shell.run_line_magic("graphscope", "")
    printed = capsys.readouterr().out
    assert "model: Sequential, 26 parameters, train" in printed
    assert f"{session.name}: session of Sequential, live" in printed
    session.close()


def test_a_cell_runs_watched_and_unchanged(shell: Any, tmp_path: Path) -> None:
    shell.run_cell_magic("graphscope", "model optimizer --every 2 --budget 0.5 --run-dir here", LOOP + "answer = 6 * 7")
    (session,) = FakeView.made
    assert isinstance(session, Session) and session.state == "closed"
    assert session.run.steps == [0, 1, 2, 3] and session.run.captured_steps == [0, 2]
    assert session.run.header is not None and session.run.header.budget == 0.5
    assert (tmp_path / "here").is_dir()
    assert shell.user_ns["answer"] == 42 and not shell.user_ns["model"]._forward_hooks


def test_the_only_model_needs_no_name(shell: Any) -> None:
    shell.run_cell_magic("graphscope", "", LOOP)
    assert FakeView.made[0].model_name == "Sequential"
    shell.user_ns["teacher"] = nn.Linear(1, 1)
    with pytest.raises(GraphscopeError, match=r"which model\? There are 2: model, teacher"):
        shell.run_cell_magic("graphscope", "", LOOP)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("x", "found a Tensor, wanted a model"),
        ("nothing", "'nothing' is not defined"),
        ("model --every 0", "wanted a whole number of steps"),
        ("model --every often", "wanted a whole number of steps"),
        ("model --budget 7", "wanted a share of step time"),
        ("model x", "wanted a torch.optim.Optimizer"),
    ],
)
def test_a_cell_does_not_run_when_its_line_is_wrong(shell: Any, line: str, words: str) -> None:
    with pytest.raises(GraphscopeError, match=words):
        shell.run_cell_magic("graphscope", line, "ran = True")
    assert "ran" not in shell.user_ns and FakeView.made == []


def test_an_error_in_the_cell_is_raised_once_and_ends_the_session(
    shell: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    result = shell.run_cell(f"%%graphscope model\n{LOOP}\nraise KeyError('mine')")
    assert isinstance(result.error_in_exec, KeyError)
    printed = "".join(capsys.readouterr())
    assert printed.count("mine") == 2, "the line and the message, once each"
    assert "magic.py" not in printed
    assert FakeView.made[0].state == "closed" and FakeView.made[0].run.steps == [0, 1, 2, 3]
    assert "showtraceback" not in vars(shell)


def test_an_interrupt_ends_the_session_too(shell: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        shell.run_cell_magic("graphscope", "model", "raise KeyboardInterrupt")
    assert FakeView.made[0].state == "closed" and "showtraceback" not in vars(shell)


def test_a_syntax_error_in_the_cell_is_said_once(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    result = shell.run_cell("%%graphscope model\nfor in range(3): pass")
    assert isinstance(result.error_in_exec, SyntaxError)
    assert "".join(capsys.readouterr()).count("SyntaxError") == 1


def test_tab_completes_names_and_options(shell: Any) -> None:
    names = shell.user_ns
    names["mlp"] = nn.Linear(1, 1)
    assert completions("%graphscope m", "m", names) == ["model", "mlp"]
    assert completions("%%graphscope model --", "--", names) == ["--every", "--budget", "--run-dir"]
    assert completions("%graphscope model --", "--", names) == ["--input"]
    _, found = shell.complete("ml", line="%graphscope ml", cursor_pos=14)
    assert "mlp" in found


def test_unloading_takes_everything_back(shell: Any) -> None:
    shell.run_line_magic("unload_ext", "graphscope")
    assert "graphscope" not in shell.magics_manager.magics["line"]
    _, found = shell.complete("--b", line="%%graphscope model --b", cursor_pos=22)
    assert "--budget" not in found
    shell.run_line_magic("load_ext", "graphscope")
