"""watch(model) -> Session: hooks on the user's loop, a Run that grows, rules that read it and views that follow it."""

from __future__ import annotations

import atexit
import hashlib
import itertools
import operator
import os
import platform
import re
import secrets
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

import graphscope
from graphscope.capture.guard import Guard
from graphscope.capture.plan import Every, Schedule, Selection, checked_every
from graphscope.capture.summary import path_of
from graphscope.capture.trace import checked_model
from graphscope.capture.watcher import Watcher
from graphscope.errors import NoSuchStep, NotAModule, SessionClosed, UnknownAddress, UnknownName
from graphscope.graph import Graph, OpNode
from graphscope.messages import SessionState, SessionStatus
from graphscope.recorder import Recorder, Subscriber
from graphscope.run import Run
from graphscope.schema import MAX_RUN_MB, Finding, Note, RunHeader, ScalarRecord, StepRecord

if TYPE_CHECKING:
    from graphscope.jupyter.widget import View

_LIVE: dict[str, Session] = {}
"""Sessions under way: they live until they are closed, also when the user lost the name."""
_ALL: list[weakref.ref[Session]] = []
_NUMBERS: dict[str, itertools.count[int]] = {}


class Session:
    """A live watch of one model; a context manager, or close it with :meth:`close`."""

    def __init__(
        self, model: nn.Module, optimizer: Any, watcher_parts: Mapping[str, Any], run_dir: Path | None,
        max_mb: float = MAX_RUN_MB,
    ) -> None:  # fmt: skip
        number = next(_NUMBERS.setdefault(type(model).__name__, itertools.count(1)))
        self.model_name = type(model).__name__
        self.name = f"{self.model_name}-{number}"
        self.id = secrets.token_hex(8)
        self.trainer: Any = None
        """The Training that owns this session, if the built-in trainer runs it."""
        self.run_dir = run_dir if run_dir is not None else default_run_dir(self.name)
        self._guard: Guard = watcher_parts["guard"]
        self._guard.on_failure = self._went_off
        self._schedule: Schedule = watcher_parts["schedule"]
        self._recorder = Recorder(self.run_dir, self._header(model), self._guard, max_mb=max_mb)
        self._watcher = Watcher(model, optimizer, **watcher_parts, sink=self._recorder.put)
        self._watcher.bursts.on_anomaly = self._recorder.keep_recent
        self._closed = False
        self._began = time.perf_counter()
        self._finalizer = weakref.finalize(model, _close_by_id, self.id)
        self._watcher.attach()
        _LIVE[self.id] = self
        _ALL[:] = [ref for ref in _ALL if ref() is not None] + [weakref.ref(self)]

    def _header(self, model: nn.Module) -> RunHeader:
        parameter = next(model.parameters(), None)
        every = self._schedule.every
        return RunHeader(
            run_id=shared_run_id() or self.id,
            name=self.name,
            model=self.model_name,
            created=datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds"),
            rank=_environment_number("RANK", 0),
            world_size=_environment_number("WORLD_SIZE", 1),
            graphscope=graphscope.__version__,
            torch=str(torch.__version__),
            python=platform.python_version(),
            statistics=path_of(parameter),
            device="" if parameter is None else str(parameter.device),
            every="a function" if callable(every) else str(every),
            budget=self._schedule.budget,
        )

    # What was recorded.

    @property
    def run(self) -> Run:
        """All records up to the last step."""
        self._recorder.flush()
        return self._recorder.run

    @property
    def graph(self) -> Graph | None:
        """The newest graph; None before the first captured forward."""
        return self.run.graph

    @property
    def findings(self) -> list[Finding]:
        """What the rules found so far, errors first."""
        return self.run.findings

    @property
    def model(self) -> nn.Module | None:
        """The watched model; None once it is gone."""
        return self._watcher.root()

    @property
    def failure(self) -> str | None:
        """Traceback of the error of ours that switched recording off, if one did."""
        return self._guard.failure

    @property
    def step(self) -> int:
        """Optimizer steps done, or your own count: ``session.step = n`` numbers the step that begins now, and steps
        count on from there. While a step is under way (its forward was seen) it numbers the one after it.

        Steps rise: a number that was recorded, or is below one that was, raises NoSuchStep; UnknownName for anything
        that is no whole number.
        """
        return self._watcher.step

    @step.setter
    def step(self, value: int) -> None:
        try:
            number = operator.index(value)
        except TypeError:
            raise UnknownName(f"session.step = {value!r:.60}: wanted a whole number, such as 1000.") from None
        first = self._watcher.first_free
        if number == self._watcher.step:
            return
        if not first <= number < 2**53:
            raise NoSuchStep(
                f"session.step = {number}: steps rise, and this run has come to {self._watcher.step}. "
                f"Wanted {first} or more; to start again from a lower one, watch the model again."
            )
        self._watcher.count_from(number)

    @property
    def state(self) -> SessionState:
        if self._closed:
            return "closed"
        if self._guard.failure is not None:
            return "off"
        return "paused" if getattr(self.trainer, "state", "") == "paused" else "live"

    def status(self) -> SessionStatus:
        """How it is doing, for the views; waits for nothing."""
        run = self._recorder.run
        records: Sequence[StepRecord] = run.step_records
        last = records[-1] if records else None
        window = records[-32:]
        seconds = window[-1].seconds - window[0].seconds if len(window) > 1 else 0.0
        severities = [finding.severity for finding in run.findings]
        return SessionStatus(
            session=self.id,
            name=self.name,
            model=self.model_name,
            state=self.state,
            step=last.step if last else None,
            captured_steps=self._watcher.captured_steps,
            steps_per_second=(len(window) - 1) / seconds if seconds > 0 else None,
            overhead=self._schedule.overhead,
            steady_overhead=self._schedule.steady_overhead,
            loss=next((r.scalars["loss"] for r in reversed(window) if "loss" in r.scalars), None),
            epoch=last.epoch if last else None,
            errors=severities.count("error"),
            warnings=severities.count("warning"),
            infos=severities.count("info"),
            run_dir=str(self.run_dir),
            message=self._guard.failure.strip().splitlines()[-1] if self._guard.failure else "",
        )

    # What can be asked of it.

    def capture_next(self, steps: int = 1) -> None:
        """Capture the coming steps in full, whatever the schedule says.

        Raises SessionClosed, and UnknownName for anything but a whole number from 1.
        """
        if self._closed:
            raise SessionClosed(f"{self.name}.capture_next(): this session was closed. Watch the model again first.")
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
            raise UnknownName(f"{self.name}.capture_next({steps!r:.40}): wanted how many steps, a whole number from 1.")
        self._schedule.capture_next(steps)

    def look_inside(self, module: str | int | OpNode, call: int = 0) -> None:
        """Records the aten ops that run inside one call of a module, in order, on the coming captured step.

        ``module``  its path ("" is the root), or an op of ``session.graph`` or its number: then the module call in
        which that op ran. ``session.run.inside(fqn, call)`` reads them, ``inside.of_node(op)`` those of one op. A
        ``TorchDispatchMode`` is on while that call runs and never else. Of several requests each takes a step.
        Raises UnknownAddress, CannotLookInside (compiled or scripted), SessionClosed.
        """
        if self._closed:
            raise SessionClosed(f"{self.name}.look_inside(): this session was closed. Watch the model again first.")
        root = self._watcher.root()
        if root is None:
            raise SessionClosed(f"{self.name}.look_inside(): the watched model is gone.")
        if isinstance(module, int):
            nodes = () if self.graph is None else self.graph.nodes
            if not 0 <= module < len(nodes):
                raise UnknownAddress(f"look_inside({module}): the newest graph has {len(nodes)} ops, numbered from 0.")
            module = nodes[module]
        fqn, nth = (module.fqn, module.call) if isinstance(module, OpNode) else (module, call)
        self._schedule.capture_next(self._watcher.looks.ask(root, fqn, nth))

    def log(self, *, step: int | None = None, epoch: int | None = None, **scalars: float) -> None:
        """Your own numbers beside the loss, for the step under way or, with ``step``, for one that is done.

        ``epoch`` holds from then on. Raises SessionClosed, and UnknownName for a value that is no number.
        """
        if self._closed:
            raise SessionClosed(f"{self.name}.log(): this session was closed. Watch the model again first.")
        values = {}
        for name, value in scalars.items():
            try:
                values[name] = float(value)
            except (TypeError, ValueError):
                raise UnknownName(
                    f"log({name}={type(value).__name__}): wanted one number, such as loss.item() or a float."
                ) from None
        if epoch is not None:
            self._watcher.epoch = epoch
        if step is not None:
            self._recorder.put([ScalarRecord(step=step, scalars=values, epoch=epoch)])
        else:
            self._watcher.logged.update(values)

    def note(self, severity: str, text: str) -> None:
        """Says something about the recording in the run itself."""
        self._recorder.put([Note(severity=cast(Any, severity), text=text, step=self._watcher.step)])

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Calls ``subscriber(frames, records)`` after each batch, on the recorder's thread; returns what ends it."""
        return self._recorder.subscribe(subscriber)

    def widget(self) -> View:
        """The interactive view of this session."""
        from graphscope.jupyter.widget import View

        return View(self)

    def flush(self) -> bool:
        """Waits until every step done so far is in the file and in ``run``; False if that took over ten seconds."""
        return self._recorder.flush()

    def close(self) -> None:
        """Takes every hook off the model and ends the run file. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        self._watcher.detach()
        if self._watcher.logged:  # for a step that never came: it belongs to the last one done
            last = max(0, self._watcher.step - 1)
            self._recorder.put([ScalarRecord(step=last, scalars=self._watcher.logged, epoch=self._watcher.epoch)])
        self._finalizer.detach()
        _LIVE.pop(self.id, None)
        self._recorder.close()

    def _went_off(self, text: str) -> None:
        self._watcher.detach()
        self._recorder.put([Note(severity="error", text=text, step=self._watcher.step)])

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Session({self.name}: {self.state}, step {self.step}, {self.run_dir})"

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        from graphscope.jupyter.display import session_mimebundle

        return session_mimebundle(self, **kwargs)


def watch(
    model: nn.Module,
    optimizer: Any = None,
    *,
    loss_fn: Any = None,
    every: Every = "auto",
    budget: float = 0.01,
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    roles: Sequence[str] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    max_mb: float = MAX_RUN_MB,
    strict: bool | None = None,
) -> Session:
    """Watches a model while your own loop trains it; the loop stays as it is.

    Where the loop calls ``compiled = torch.compile(model)``, watch ``compiled``: a module inside it is not called by
    itself any more. The compiled code is one node of the graph.

    optimizer  whose steps are counted; None: the first that updates the model. A loop without one counts forwards.
    loss_fn    a loss module whose output is taken as the loss, where backward starts from another number (a loss that
               is divided for accumulation); None: the tensor on which backward is called, without a GradScaler's scale.
    every      "auto" (steps 0 to 20, then as often as ``budget`` allows), n for every n-th step, or f(step) -> bool.
    budget     share of step time that watching may take with "auto"; 0.01 is one percent.
    include, exclude   globs of module paths and parameter names (``layer1.*``): which have statistics taken; the graph
               is always whole. An ``include`` that matches nothing is refused, an ``exclude`` is noted.
    roles      which statistics: some of ``graphscope.schema.ROLES`` and ``op_gradient``, the gradient that flowed
               through each op. None: all; those of ops then only with "auto", at the first captured step, and at
               steps that were asked for with ``capture_next``.
    run_dir    where the run file goes; None: a new folder under ``runs/``.
    max_mb     cap of the run file in MB: as it fills, statistics of fewer steps are recorded, and the run says so.
               A full file takes findings alone, no steps and no loss; the step that fills it, findings and
               notes may lie above the cap.
    strict     True: errors of ours are raised; None: as GRAPHSCOPE_STRICT says.

    Raises NotAModule, UnknownName, RunDirectoryError. A second watch of the same model ends the first.
    """
    checked_model("watch(model, ...)", model)
    if optimizer is not None and not (hasattr(optimizer, "step") and hasattr(optimizer, "param_groups")):
        raise NotAModule(
            f"watch({type(model).__name__}, {type(optimizer).__name__}): wanted a torch.optim.Optimizer as the second "
            "argument. Inputs belong to graphscope.trace(model, x)."
        )
    if loss_fn is not None and not isinstance(loss_fn, nn.Module):
        raise NotAModule(
            f"watch(loss_fn={getattr(loss_fn, '__name__', type(loss_fn).__name__)}): only a loss module such as "
            "nn.CrossEntropyLoss() can be followed. Leave it out: the loss is then read where backward() starts."
        )
    if not isinstance(budget, int | float) or not 0 < budget <= 1:
        raise UnknownName(f"watch(budget={budget!r}): wanted a share of step time above 0 and up to 1, such as 0.01.")
    if not isinstance(max_mb, int | float) or isinstance(max_mb, bool) or not 0 < max_mb < float("inf"):
        raise UnknownName(f"watch(max_mb={max_mb!r:.40}): wanted a size in MB above 0, such as {MAX_RUN_MB:g}.")
    earlier = [session for session in _LIVE.values() if session._watcher.root() is model]
    if not earlier and "_compiled_call_impl" in model.__dict__:
        raise NotAModule(
            f"watch({type(model).__name__}): this model was compiled in place (model.compile()), so its forward cannot "
            "be followed. Compile a wrapper and watch that: compiled = torch.compile(model); watch(compiled, ...)."
        )
    for session in earlier:
        print(f"GraphScope: the earlier watch of this model ({session.name}) was ended.")
        session.close()
    selection = Selection.of(include, exclude, roles)
    names = {name: None for name, _ in (*model.named_modules(), *model.named_parameters())}
    idle = selection.checked(names.keys())
    parts = {
        "schedule": Schedule(checked_every(every), budget),
        "selection": selection,
        "guard": Guard(strict),
        "loss_fn": loss_fn,
    }
    session = Session(model, optimizer, parts, None if run_dir is None else Path(run_dir), max_mb)
    if idle:
        session.note("warning", f"exclude={idle!r} matches no module path or parameter name, so it leaves nothing out.")
    return session


def live_sessions() -> list[Session]:
    """Sessions of this process that are still referenced, the newest first; closed ones too."""
    found = [session for ref in _ALL if (session := ref()) is not None]
    return found[::-1]


def default_run_dir(name: str) -> Path:
    """``runs/<name>-<date>-<time>`` below the working directory, numbered if it exists."""
    stamp = datetime.now(timezone.utc).astimezone().strftime("%Y%m%d-%H%M%S")
    base = Path("runs") / f"{name}-{stamp}"
    path = base
    for number in itertools.count(2):
        if not path.exists():
            return path
        path = base.with_name(f"{base.name}-{number}")
    raise AssertionError


def shared_run_id() -> str | None:
    """The id that the processes of one run have in common, so that their files are merged; None for a lone process.

    GRAPHSCOPE_RUN_ID, where it is set; else made from what a launcher tells each process alike: no collective is
    needed, and a restarted process belongs to the same run.
    """
    given = os.environ.get("GRAPHSCOPE_RUN_ID", "")
    if re.fullmatch(r"[0-9A-Za-z_.-]{1,64}", given):
        return given
    world = _environment_number("WORLD_SIZE", 1)
    if world < 2:
        return None
    names = ("TORCHELASTIC_RUN_ID", "SLURM_JOB_ID", "MASTER_ADDR", "MASTER_PORT")
    told = [os.environ.get(name, "") for name in names]
    if _environment_number("LOCAL_WORLD_SIZE", 0) == world:
        told.append(str(os.getppid()))  # the launcher: tells two runs with the same address and port apart
    return hashlib.sha256("\0".join(told).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def _environment_number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


def _close_by_id(session_id: str) -> None:
    session = _LIVE.get(session_id)
    if session is not None:
        session.close()


def _close_all() -> None:
    for session in list(_LIVE.values()):
        session.close()


atexit.register(_close_all)
