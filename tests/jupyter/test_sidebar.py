"""The kernel's side of the sidebar, against a comm that keeps what was sent."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

import graphscope.jupyter.sidebar as sidebar
from graphscope.graph import Graph
from graphscope.jupyter.comms import free_comm
from graphscope.jupyter.sidebar import SidebarPeer, ViewPeer, kernel_list, register, source_of, unregister
from graphscope.messages import Open
from tests.jupyter.fakes import FakeSession, Hand, Page, step_batch


class FakeComm:
    """A comm of ipykernel, with the page at its other end."""

    def __init__(self) -> None:
        self.page = Page()
        self.on_message: Any = None
        self.on_closed: Any = None
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def send(self, data: dict[str, Any], buffers: list[bytes]) -> None:
        self.page.send(data, buffers)

    def on_msg(self, callback: Any) -> None:
        self.on_message = callback

    def on_close(self, callback: Any) -> None:
        self.on_closed = callback

    def says(self, content: Any) -> None:
        """The page sends a message."""
        self.on_message({"content": {"data": content}})


class FakeManager:
    def __init__(self) -> None:
        self.targets: dict[str, Any] = {}

    def register_target(self, name: str, callback: Any) -> None:
        self.targets[name] = callback


@pytest.fixture
def comm() -> FakeComm:
    return FakeComm()


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch, hand: Hand) -> Hand:
    """All links of the sidebar are turned by hand."""
    monkeypatch.setattr(sidebar, "PUBLISHER", hand)
    original = sidebar.Link
    monkeypatch.setattr(sidebar, "Link", lambda *args, **kwargs: original(*args, publisher=hand, **kwargs))
    return hand


def watching(session: FakeSession, model: Any) -> FakeSession:
    session.model = model  # type: ignore[attr-defined]
    return session


def test_the_list_names_models_and_sessions(sessions: list[Any], session: FakeSession) -> None:
    model, lazy = nn.Linear(3, 2), nn.LazyLinear(2)
    for step in range(100):
        session.feed(step_batch(step))
    sessions.append(watching(session, model))
    found = kernel_list({"model": model, "lazy": lazy.eval(), "x": 3})
    assert found.models == [
        {"name": "model", "type": "Linear", "parameters": 8, "training": True, "session": session.id},
        {"name": "lazy", "type": "LazyLinear", "parameters": None, "training": False, "session": ""},
    ]
    (row,) = found.sessions
    assert (row["session"], row["state"], row["step"], row["captured_steps"]) == (session.id, "live", 99, 100)
    assert row["loss"] == pytest.approx(1 / 100), "the last that is known"
    assert len(row["losses"]) == 48 and row["losses"][0] == 1.0 and row["losses"][-1] == pytest.approx(1 / 100)


def test_a_session_names_the_widgets_that_show_it(sessions: list[Any], turned: Hand, session: FakeSession) -> None:
    sessions += [watching(session, None), watching(FakeSession("Other-1"), None)]
    shown, elsewhere = sidebar.Link(session, Page().send), sidebar.Link(session, Page().send)
    shown.widget_id = "widget-7"
    rows = {row["name"]: row["views"] for row in kernel_list({}).sessions}
    assert rows == {"Cnn-1": ["widget-7"], "Other-1": []}
    assert elsewhere.widget_id == ""


def test_one_broken_model_does_not_hide_the_others(sessions: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    broken, good = nn.Linear(1, 1), nn.Linear(2, 2)
    original = sidebar.parameter_count

    def count(model: nn.Module) -> int | None:
        if model is broken:
            raise RuntimeError("no")
        return original(model)

    monkeypatch.setattr(sidebar, "parameter_count", count)
    rows = kernel_list({"broken": broken, "good": good}).models
    assert [(row["name"], row["parameters"]) for row in rows] == [("broken", None), ("good", 6)]


def test_list_is_answered_and_pushed_when_a_session_moves(
    comm: FakeComm, sessions: list[Any], session: FakeSession, turned: Hand
) -> None:
    peer = SidebarPeer(comm, {})
    turned.add(peer)
    sessions.append(watching(session, None))
    assert turned.turn() == 0, "nobody asked yet"
    peer.handle({"kind": "list"})
    assert [len(reply.sessions) for reply in comm.page.of("kernel_list")] == [1]
    turned.now = 1e9
    assert turned.turn() == 0, "nothing changed"
    session.feed(step_batch(0))
    assert turned.turn() == 1
    assert comm.page.of("kernel_list")[-1].sessions[0]["step"] == 0
    session.feed(step_batch(1))
    assert turned.turn(0.1) == 0, "at most two a second"
    assert turned.turn(0.6) == 1
    sessions.clear()
    assert turned.turn(1) == 1
    assert comm.page.of("kernel_list")[-1].sessions == ()


def test_a_chosen_session_is_glanced_at_and_takes_commands(
    comm: FakeComm, sessions: list[Any], session: FakeSession, turned: Hand
) -> None:
    peer = SidebarPeer(comm, {})
    for step in range(20):
        session.feed(step_batch(step))
    sessions.append(watching(session, None))
    peer.handle({"kind": "capture_next"})
    assert "no session is chosen" in comm.page.of("command_error")[0].text
    peer.handle({"kind": "open", "session": session.id})
    turned.turn()
    assert {content.get("focus") for content in comm.page.contents if "focus" in content} == {session.id}
    assert [record.step for record in comm.page.of("step_stats")] == [19], "a glance is the last step alone"
    assert len(comm.page.of("step")) == 20 and len(comm.page.of("graph")) == 1
    peer.handle({"kind": "capture_next"})
    assert session.captures == 1


def test_choosing_another_session_ends_the_first_glance(comm: FakeComm, sessions: list[Any], turned: Hand) -> None:
    first, second = FakeSession("A-1"), FakeSession("B-1")
    sessions += [watching(first, None), watching(second, None)]
    peer = SidebarPeer(comm, {})
    peer.handle({"kind": "open", "session": first.id})
    peer.handle({"kind": "open", "session": second.id})
    assert first.subscribers == [] and len(second.subscribers) == 1
    peer.close()
    assert second.subscribers == []


def test_a_sidebar_that_nobody_looks_at_any_more_is_let_go(
    comm: FakeComm, sessions: list[Any], session: FakeSession, turned: Hand
) -> None:
    peer = SidebarPeer(comm, {})
    turned.add(peer)
    sessions.append(watching(session, None))
    subshell = threading.Thread(target=peer.handle, args=({"kind": "list"},))
    subshell.start()
    subshell.join()
    turned.now = time.monotonic()
    turned.turn(100)
    assert not comm.closed
    turned.turn(100)
    assert comm.closed and turned._peers == []


def test_ping_is_answered(comm: FakeComm) -> None:
    SidebarPeer(comm, {}).handle({"kind": "ping", "request": 5})
    assert comm.page.of("pong")[0].request == 5


@pytest.mark.parametrize("content", [None, {"kind": "x"}, {"kind": "open", "session": "gone"}, {"kind": "open"}])
def test_the_sidebar_survives_anything(comm: FakeComm, sessions: list[Any], content: Any) -> None:
    peer = SidebarPeer(comm, {"model": nn.Linear(1, 1)})
    peer.handle(content)
    assert len(comm.page.of("command_error")) == 1
    peer.handle({"kind": "list"})
    assert comm.page.of("kernel_list")[0].models[0]["name"] == "model"


def test_a_view_opens_a_session_or_a_model(sessions: list[Any], session: FakeSession, turned: Hand) -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    sessions.append(watching(session, model))
    namespace = {"model": model, "other": nn.Linear(2, 2)}
    assert source_of(Open(session=session.id), namespace) is session
    assert source_of(Open(model="model"), namespace) is session, "a watched model is shown by its session"
    graph = source_of(Open(model="other"), namespace)
    assert isinstance(graph, Graph) and [module.type for module in graph.modules] == ["Linear"]
    comm = FakeComm()
    ViewPeer(comm, namespace).handle({"kind": "open", "model": "other"})
    turned.turn()
    assert [record.kind for record in comm.page.records] == ["graph"]
    comm.says({"kind": "ping", "request": 9})
    assert comm.page.of("pong")[0].request == 9


def test_a_view_of_what_is_gone_says_what_there_is(sessions: list[Any], comm: FakeComm) -> None:
    ViewPeer(comm, {"model": nn.Linear(1, 1)}).handle({"kind": "open", "model": "modle"})
    assert 'There are: model. Did you mean "model"?' in comm.page.of("command_error")[0].text
    comm.says({"kind": "ping", "request": 1})
    assert "open a session or a model first" in comm.page.of("command_error")[1].text


def test_names_are_looked_up_in_the_list_alone(sessions: list[Any], comm: FakeComm) -> None:
    """A page cannot reach what is no model: not an attribute, not an expression, not another object by its name."""
    namespace = {"model": nn.Linear(1, 1), "secret": object(), "__builtins__": {}}
    for name in ("secret", "__builtins__", "model.weight", "model[0]", "__import__('os')", ""):
        peer_comm = FakeComm()
        ViewPeer(peer_comm, namespace).handle({"kind": "open", "model": name})
        assert [record.kind for record in peer_comm.page.records] == ["command_error"]


def test_registering_twice_is_registering_once(sessions: list[Any], turned: Hand) -> None:
    manager = FakeManager()
    shell = SimpleNamespace(kernel=SimpleNamespace(comm_manager=manager), user_ns={"m": nn.Linear(1, 1)})
    assert register(shell) and register(shell)
    assert sorted(manager.targets) == ["graphscope.sidebar", "graphscope.view"]
    comm = FakeComm()
    manager.targets["graphscope.sidebar"](comm, {})
    comm.says({"kind": "list"})
    assert comm.page.of("kernel_list")[0].models[0]["name"] == "m"
    comm.on_closed({})
    assert turned._peers == []
    unregister(shell)
    assert manager.targets == {}


def test_outside_a_kernel_there_is_nothing_to_register() -> None:
    assert register(SimpleNamespace()) is False


def test_a_comm_answers_on_the_shell_the_page_chose() -> None:
    """ipykernel 7.4 would route to the shell that published last: the one that trains."""

    class Comm74:
        def _reply_subshell_for(self, data: Any, default: Any) -> Any:
            return "main shell"

    comm = Comm74()
    assert free_comm(comm)
    assert comm._reply_subshell_for({}, "subshell-1") == "subshell-1"
    assert not free_comm(None) and not free_comm(object())


def test_this_ipykernel_has_what_free_comm_changes() -> None:
    """If this fails, ipykernel changed: run tests/browser, where clicks during training are tried for real."""
    import ipykernel
    from ipykernel.comm.comm import BaseComm

    if tuple(map(int, ipykernel.__version__.split(".")[:2])) >= (7, 4):
        assert hasattr(BaseComm, "_reply_subshell_for")
