"""Session, Run or Graph <-> one page: a snapshot when it says hello, then what is new; its commands come back checked.

Commands are served on whatever thread the kernel hands them to, usually a subshell beside the training cell: a handler
reads snapshots or puts something into a queue, and touches neither model nor optimizer nor autograd.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from graphscope.errors import CommandRefused, GraphscopeError
from graphscope.graph import Graph
from graphscope.jupyter.commands import command_of
from graphscope.jupyter.outbox import MESSAGE_BYTES, Item, Outbox
from graphscope.jupyter.publisher import PUBLISHER, SEND_LOCK, Publisher
from graphscope.jupyter.replies import framed, look_records, report_path, series_reply
from graphscope.jupyter.snapshot import WHOLE, Extent, snapshot
from graphscope.messages import (
    CaptureNext,
    Command,
    CommandError,
    Hello,
    Look,
    LookInside,
    Ping,
    Pong,
    Reply,
    SaveReport,
    Select,
    SessionStatus,
    ShowRank,
    TrainerBreak,
    TrainerDropout,
    TrainerLayer,
    TrainerMomentum,
    TrainerPause,
    TrainerRestart,
    TrainerSamples,
    TrainerSet,
    TrainerStart,
    TrainerStatus,
    TrainerStep,
    TrainerStop,
)
from graphscope.run import Run
from graphscope.run.ranks import ranks_reply
from graphscope.schema import LayerStats, Note, OpGradients, RunRecord, StepStats

if TYPE_CHECKING:
    from graphscope.session import Session
    from graphscope.training import Training

Send: TypeAlias = Callable[[dict[str, Any], list[bytes]], None]
"""Content and buffers of one message to the page; may be called from several threads, one at a time."""

STATUS_SECONDS = 0.5
"""Least time between two statuses of a session."""
AWAY_SECONDS = 150.0
"""Silence after which a page counts as gone. It pings every 2 s; browsers let a hidden tab do so once a minute."""

LINKS: weakref.WeakSet[Link] = weakref.WeakSet()
"""All that exist, for the sidebar to find the views of a session."""


class Link:
    """One view's connection.

    source: what is shown. A Training shows its session; a new session of the same Training takes its place.
    send: gets content ``{"type": "frames"}`` and one buffer of frames.
    """

    def __init__(
        self,
        source: Session | Training | Run | Graph,
        send: Send,
        *,
        extent: Extent = WHOLE,
        seconds: float = 0.0,
        publisher: Publisher = PUBLISHER,
    ) -> None:
        self.widget_id = ""
        """Id of the ipywidget whose view this is; empty for a view of another kind."""
        self._source = source
        self._send_message = send
        self._extent = extent
        self._seconds = seconds
        self._publisher = publisher
        self._rank: int | None = None
        """Process of the run that is shown; None: all, merged."""
        self._outbox = Outbox()
        self._lock = threading.RLock()
        self._meanwhile: list[Item] | None = None
        self._greeted = False
        self._closed = False
        self._missed = False
        self._heard = time.monotonic()
        self._served_aside = False
        self._next_message = 0.0
        self._next_status = 0.0
        self._told_dropped = 0
        self._sent_status: dict[type, Reply] = {}
        self._unsubscribe: Callable[[], None] = lambda: None
        self._session: Session | None = None
        self._follows = self._owner()
        self._follow_session()
        LINKS.add(self)

    # What is shown

    @property
    def session(self) -> Session | None:
        """The live or finished session behind it; None for a Run or a Graph."""
        return self._session

    @property
    def run(self) -> Run | None:
        """What is read; None for a mere Graph."""
        if isinstance(self._source, Run):
            return self._source if self._rank is None else self._source.rank(self._rank)
        return None if self._session is None else self._session.run

    @property
    def training(self) -> Training | None:
        """The built-in trainer, if one drives the session."""
        return self._follows or (None if self._session is None else self._session.trainer)

    def _owner(self) -> Training | None:
        """The trainer whose newest session is shown: the source itself, or whose session it is at this moment."""
        source: Any = self._source
        if hasattr(source, "set_lr"):
            training: Training = source
            return training
        owner = getattr(source, "trainer", None)
        return owner if owner is not None and owner.session is source else None

    def _follow_session(self) -> bool:
        """Takes the session that is to be shown now; True if it is another one than before."""
        if isinstance(self._source, Run | Graph):
            return False
        source: Any = self._source if self._follows is None else self._follows.session
        if source is self._session:
            return False
        self._unsubscribe()
        self._session, self._unsubscribe = source, lambda: None
        return True

    # Kernel -> page

    def hello(self) -> None:
        """Sends what there is, and from then on what is new."""
        self._follow_session()
        # Outside our lock: the session holds its own while it calls _on_records, which takes ours.
        self._unsubscribe()
        with self._lock:
            if self._closed:
                return
            self._outbox.clear()
            self._missed = False
            self._sent_status = {}
            self._meanwhile = []
        # The lock is free while the snapshot is made: the recorder's thread must never wait for a page.
        if self._session is not None:
            self._unsubscribe = self._session.subscribe(self._on_records)
        items = self._snapshot()
        with self._lock:
            self._outbox.put(items)
            # What came meanwhile may be in the snapshot too: the page takes a record twice as once.
            self._outbox.put(self._meanwhile or [])
            self._meanwhile = None
            self._greeted = True
        self._publisher.add(self)

    def _snapshot(self) -> list[Item]:
        if isinstance(self._source, Graph):
            return [Item(framed(self._source.to_record()), None)]
        pairs = [] if self.run is None else snapshot(self.run, self._extent)
        ranks = ranks_reply(self._source.ranks, self._rank) if isinstance(self._source, Run) else None
        first = [] if ranks is None else [Item(framed(ranks), None)]  # says of which what follows is
        return first + [Item(framed(record), step) for record, step in pairs]

    def _on_records(self, framed: list[bytes], records: list[RunRecord]) -> None:
        """Called on the recorder's thread after each batch was written."""
        items = [
            Item(frame, record.step if isinstance(record, StepStats | OpGradients | LayerStats) else None)
            for frame, record in zip(framed, records, strict=True)
        ]
        with self._lock:
            if self._meanwhile is not None:
                self._meanwhile += items
                return
            self._outbox.put(items)
        self._publisher.wake()

    def flush(self, now: float) -> bool:
        """Sends at most one message: what waits and, where it changed, the newest status."""
        if not self._greeted or self._closed or now < self._next_message:
            return False
        if self._follow_session():
            self.hello()
        if self._away(now):
            self._outbox.clear()
            self._missed = True
            return False
        news = self._statuses(now) + self._dropped()
        message = self._outbox.take(MESSAGE_BYTES - len(news)) + news
        if not message:
            return False
        self._next_message = now + self._seconds
        self._send(message)
        return True

    def _away(self, now: float) -> bool:
        """Whether nobody reads any more. A page whose commands wait for the cell cannot be told from a closed one."""
        return self._served_aside and now - self._heard > AWAY_SECONDS

    def _statuses(self, now: float) -> bytes:
        """Frames of the statuses that changed since they were last sent."""
        if now < self._next_status:
            return b""
        self._next_status = now + STATUS_SECONDS
        current: list[SessionStatus | TrainerStatus] = []
        if self._session is not None:
            current.append(self._session.status())
        if self.training is not None:
            current.append(self.training.status())
        changed: list[Reply] = [status for status in current if self._sent_status.get(type(status)) != status]
        samples = self.training.samples() if self.training is not None and self._extent is WHOLE else None
        if samples is not None and samples is not self._sent_status.get(TrainerSamples):
            changed.append(samples)
        self._sent_status.update({type(status): status for status in changed})
        return b"".join(framed(status) for status in changed)

    def _dropped(self) -> bytes:
        """A note when statistics were left out; the next one when twice as many were."""
        count = self._outbox.dropped_steps
        if count <= 2 * self._told_dropped:
            return b""
        self._told_dropped = count
        text = f"Statistics of {count:,} captured steps were not sent here at once: this page did not keep up. "
        return framed(Note(severity="info", text=text + "They are recorded; rest on a step to fetch them."))

    def _send(self, message: bytes) -> None:
        with SEND_LOCK:
            if not self._closed:
                self._send_message({"type": "frames"}, [message])

    def _reply(self, *records: RunRecord | Reply) -> None:
        self._send(b"".join(framed(record) for record in records))

    # Page -> kernel

    def handle(self, content: object) -> None:
        """Serves one message of the page; whatever goes wrong becomes a CommandError for the person who clicked."""
        self._heard = time.monotonic()
        self._served_aside = self._served_aside or threading.current_thread() is not threading.main_thread()
        kind = content.get("kind") if isinstance(content, Mapping) else None
        try:
            command = command_of(content)
            if self._missed:
                self.hello()
            handler = HANDLERS.get(type(command))
            if handler is None:
                raise CommandRefused(f"{command.kind}: a view has no use for this command; the sidebar has.")
            handler(self, command)
        except GraphscopeError as error:
            self._reply(CommandError(command=str(kind)[:80], text=str(error)))
        except Exception as error:
            text = f"{kind} failed: {type(error).__name__}: {error}. This is a bug of GraphScope; training goes on."
            self._reply(CommandError(command=str(kind)[:80], text=text))

    def _hello(self, _: Hello) -> None:
        self.hello()

    def _ping(self, command: Ping) -> None:
        self._reply(Pong(request=command.request))

    def _select(self, command: Select) -> None:
        self._reply(series_reply(self._run_for(command), command))

    def _look(self, command: Look) -> None:
        outbox = Outbox()
        outbox.put(Item(framed(record), None) for record in look_records(self._run_for(command), command))
        while message := outbox.take():
            self._send(message)

    def _show_rank(self, command: ShowRank) -> None:
        if not isinstance(self._source, Run):
            raise CommandRefused(f"{command.kind}: only a run read from its files has the records of other ranks.")
        if command.rank >= 0:
            self._source.rank(command.rank)  # refuses one that is not there
        self._rank = command.rank if command.rank >= 0 else None
        self.hello()

    def _capture_next(self, command: CaptureNext) -> None:
        self._session_for(command).capture_next()

    def _look_inside(self, command: LookInside) -> None:
        self._session_for(command).look_inside(command.fqn, command.call)

    def _save_report(self, _: SaveReport) -> None:
        # Its own thread: a report of a long run takes seconds, and the view asks other things meanwhile.
        threading.Thread(target=self._write_report, name="graphscope-report", daemon=True).start()

    def _write_report(self) -> None:
        try:
            import graphscope

            path = graphscope.report(self._session or self._source, report_path(self._session or self._source))
            self._reply(Note(severity="info", text=f"Report written to {path}"))
        except Exception as error:
            self._reply(CommandError(command=SaveReport.kind, text=f"The report was not written: {error}"))

    def _trainer_start(self, command: TrainerStart) -> None:
        self._training_for(command).start(command.settings)

    def _trainer_pause(self, command: TrainerPause) -> None:
        self._training_for(command).pause()

    def _trainer_step(self, command: TrainerStep) -> None:
        self._training_for(command).step()

    def _trainer_layer(self, command: TrainerLayer) -> None:
        self._training_for(command).step_to(command.fqn, command.direction)

    def _trainer_stop(self, command: TrainerStop) -> None:
        self._training_for(command).stop()

    def _trainer_restart(self, _: TrainerRestart) -> None:
        training = self._training_for(_)
        # Its own thread: it waits for the batch under way, and the view asks other things meanwhile.
        threading.Thread(target=training.restart, name="graphscope-restart", daemon=True).start()

    def _trainer_set(self, command: TrainerSet) -> None:
        self._training_for(command).set_lr(command.lr)

    def _trainer_momentum(self, command: TrainerMomentum) -> None:
        self._training_for(command).set_momentum(command.momentum)

    def _trainer_dropout(self, command: TrainerDropout) -> None:
        self._training_for(command).set_dropout(command.fqn, command.p)

    def _trainer_break(self, command: TrainerBreak) -> None:
        self._training_for(command).set_break(command.condition)

    def _run_for(self, command: Command) -> Run:
        if self.run is None:
            raise CommandRefused(f"{command.kind}: this is a graph alone; no step of it was recorded.")
        return self.run

    def _session_for(self, command: Command) -> Session:
        if self._session is None:
            raise CommandRefused(f"{command.kind}: this view shows a recorded run; only a live session can do that.")
        return self._session

    def _training_for(self, command: Command) -> Training:
        if self.training is None:
            raise CommandRefused(
                f"{command.kind}: this session watches your own loop, which only your own code starts and stops. "
                "graphscope.train(...) has these controls."
            )
        return self.training

    def close(self) -> None:
        """Sends nothing more; the session goes on."""
        self._closed = True
        self._unsubscribe()
        self._outbox.clear()
        self._publisher.remove(self)


HANDLERS: dict[type, Callable[[Link, Any], None]] = {
    Hello: Link._hello,
    Ping: Link._ping,
    Select: Link._select,
    Look: Link._look,
    ShowRank: Link._show_rank,
    CaptureNext: Link._capture_next,
    LookInside: Link._look_inside,
    SaveReport: Link._save_report,
    TrainerStart: Link._trainer_start,
    TrainerPause: Link._trainer_pause,
    TrainerStep: Link._trainer_step,
    TrainerLayer: Link._trainer_layer,
    TrainerStop: Link._trainer_stop,
    TrainerRestart: Link._trainer_restart,
    TrainerSet: Link._trainer_set,
    TrainerMomentum: Link._trainer_momentum,
    TrainerDropout: Link._trainer_dropout,
    TrainerBreak: Link._trainer_break,
}
"""Command -> what serves it: a page can reach these methods and no others."""
