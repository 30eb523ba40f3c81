"""The JupyterLab sidebar <-> kernel: what lives here, a glance at one session, and views opened in tabs of their own.

Two comm targets, opened by the page, which asks for them with one silent line (``register()``):
``graphscope.sidebar``  list -> KernelList, again whenever a session changes; open -> a glance at that session;
                        other commands go to that session
``graphscope.view``     open -> a Link as a notebook view has it
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from graphscope.errors import CommandRefused, GraphscopeError, did_you_mean
from graphscope.graph import module_tree
from graphscope.jupyter.commands import command_of
from graphscope.jupyter.comms import free_comm
from graphscope.jupyter.link import AWAY_SECONDS, LINKS, Link
from graphscope.jupyter.namespace import live_sessions, mode_of, models_in, parameter_count, session_of
from graphscope.jupyter.publisher import PUBLISHER, SEND_LOCK
from graphscope.jupyter.replies import framed
from graphscope.jupyter.snapshot import GLANCE, WHOLE, evenly
from graphscope.messages import CommandError, KernelList, ListKernel, Open, Ping, Pong, Reply, SessionStatus
from graphscope.run import Run

if TYPE_CHECKING:
    from graphscope.graph import Graph
    from graphscope.session import Session

SIDEBAR, VIEW = "graphscope.sidebar", "graphscope.view"
PUSH_SECONDS = 0.5
"""Least time between two lists that nobody asked for."""
LOSSES = 48
"""Points of a session's small loss line."""


def kernel_list(namespace: Mapping[str, Any]) -> KernelList:
    """What lives in the kernel now; one broken model costs its own row's numbers and no other row."""
    models = []
    for found in models_in(namespace):
        row: dict[str, Any] = {"name": found.name, "type": type(found.model).__name__}
        row.update(parameters=None, training=None, session="")
        with contextlib.suppress(Exception):  # unknown stays null: a half-built or exotic module must not hide the rest
            session = session_of(found.model)
            row.update(session=session.id if session else "", training=mode_of(found.model))
            row.update(parameters=parameter_count(found.model))
        models.append(row)
    return KernelList(models=models, sessions=[session_row(session) for session in live_sessions()])


def session_row(session: Session) -> dict[str, Any]:
    """Its status, with the last known loss, and besides:

    ``losses``  at most 48 values for a line a thumb wide
    ``views``   ids of the ipywidgets that show it, so that the page finds them before they are drawn
    """
    row = asdict(session.status())
    run = session.run
    values = run.scalars("loss")[1].tolist() if "loss" in run.scalar_names() else []
    if row["loss"] is None and values:  # it is known at captured steps only
        row["loss"] = values[-1]
    views = [link.widget_id for link in list(LINKS) if link.widget_id and link.session is session]
    return {**row, "losses": evenly(values, LOSSES), "views": views}


class SidebarPeer:
    """One sidebar of one page."""

    def __init__(self, comm: Any, namespace: Mapping[str, Any]) -> None:
        self._comm = comm
        self._namespace = namespace
        self._lock = threading.RLock()
        self._glance: Link | None = None
        self._sent: list[SessionStatus] | None = None
        self._next = 0.0
        self._heard = time.monotonic()
        self._served_aside = False

    def handle(self, content: object) -> None:
        """Serves one message of the page."""
        self._heard = time.monotonic()
        self._served_aside = self._served_aside or threading.current_thread() is not threading.main_thread()
        try:
            command = command_of(content)
            if isinstance(command, Ping):
                self._reply(Pong(request=command.request))
            elif isinstance(command, ListKernel):
                self._send_list(kernel_list(self._namespace))
            elif isinstance(command, Open):
                self._focus(command)
            elif self._glance is not None:
                self._glance.handle(content)
            else:
                raise CommandRefused(f"{command.kind}: no session is chosen in the sidebar.")
        except Exception as error:
            kind = content.get("kind") if isinstance(content, Mapping) else None
            text = str(error) if isinstance(error, GraphscopeError) else f"{type(error).__name__}: {error}"
            self._reply(CommandError(command=str(kind)[:80], text=text))

    def _focus(self, command: Open) -> None:
        source = source_of(command, self._namespace)
        with self._lock:
            if self._glance is not None:
                self._glance.close()
            focus = command.session or command.model

            def send(content: dict[str, Any], buffers: list[bytes]) -> None:
                self._comm.send({**content, "focus": focus}, buffers=buffers)

            self._glance = Link(source, send, extent=GLANCE, seconds=PUSH_SECONDS)
        self._glance.hello()

    def flush(self, now: float) -> bool:
        """Sends the list when a session began, ended or moved on."""
        if self._served_aside and now - self._heard > AWAY_SECONDS:
            # A page that was reloaded or shut leaves its comm behind; one that is only hidden opens another.
            self.close()
            self._comm.close()
            return False
        if now < self._next or self._sent is None:
            return False
        self._next = now + PUSH_SECONDS
        if [session.status() for session in live_sessions()] == self._sent:
            return False
        self._send_list(kernel_list(self._namespace))
        return True

    def _send_list(self, found: KernelList) -> None:
        self._sent = [session.status() for session in live_sessions()]
        self._next = time.monotonic() + PUSH_SECONDS
        self._reply(found)

    def _reply(self, reply: Reply) -> None:
        with SEND_LOCK:
            self._comm.send({"type": "frames"}, buffers=[framed(reply)])

    def close(self) -> None:
        """The page is gone, or chose another kernel."""
        PUBLISHER.remove(self)
        if self._glance is not None:
            self._glance.close()


def source_of(command: Open, namespace: Mapping[str, Any]) -> Session | Run | Graph:
    """What a page wants to see, found among what the kernel listed.

    Raises: CommandRefused where it is not there any more.
    """
    if command.session:
        for session in live_sessions():
            if session.id == command.session:
                return session
        raise CommandRefused(f"open: there is no session {command.session!r} any more. Refresh the list.")
    models = {found.name: found.model for found in models_in(namespace)}
    if command.model not in models:
        there = ", ".join(models) or "none"
        hint = did_you_mean(command.model, models)
        raise CommandRefused(f"open: no model is called {command.model!r}. There are: {there}.{hint}")
    model = models[command.model]
    watching = session_of(model)
    if watching is not None:
        return watching
    from graphscope.capture.modules import read_modules

    return module_tree(read_modules(model).infos)


def register(shell: Any = None) -> bool:
    """Makes both targets known to this kernel; True if there is a kernel. Doing it twice is doing it once."""
    if shell is None:
        from IPython import get_ipython

        shell = get_ipython()
    manager = getattr(getattr(shell, "kernel", None), "comm_manager", None)
    if manager is None:
        return False

    def open_sidebar(comm: Any, _: Any) -> None:
        free_comm(comm)
        peer = SidebarPeer(comm, shell.user_ns)
        comm.on_msg(lambda message: peer.handle(message["content"]["data"]))
        comm.on_close(lambda _: peer.close())
        PUBLISHER.add(peer)

    def open_view(comm: Any, message: Any) -> None:
        free_comm(comm)
        ViewPeer(comm, shell.user_ns).handle(message["content"]["data"])

    manager.register_target(SIDEBAR, open_sidebar)
    manager.register_target(VIEW, open_view)
    return True


def unregister(shell: Any) -> None:
    """Makes them unknown again; what is open stays open."""
    manager = getattr(getattr(shell, "kernel", None), "comm_manager", None)
    for target in (SIDEBAR, VIEW):
        if manager is not None:
            manager.targets.pop(target, None)


class ViewPeer:
    """A tab of its own on the page: the first message says of what, the rest is a Link's."""

    def __init__(self, comm: Any, namespace: Mapping[str, Any]) -> None:
        self._comm = comm
        self._namespace = namespace
        self._link: Link | None = None
        comm.on_msg(lambda message: self.handle(message["content"]["data"]))
        comm.on_close(lambda _: self._link and self._link.close())

    def handle(self, content: object) -> None:
        """Serves one message of the page."""
        if self._link is None:
            try:
                command = command_of(content)
                if not isinstance(command, Open):
                    raise CommandRefused(f"{command.kind}: open a session or a model first.")
                source = source_of(command, self._namespace)
            except GraphscopeError as error:
                refusal = framed(CommandError(command=Open.kind, text=str(error)))
                with SEND_LOCK:
                    self._comm.send({"type": "frames"}, buffers=[refusal])
                return
            self._link = Link(source, lambda data, buffers: self._comm.send(data, buffers=buffers), extent=WHOLE)
            self._link.hello()
            return
        self._link.handle(content)
