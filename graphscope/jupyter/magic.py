"""``%graphscope`` and ``%%graphscope``: a line or a cell of the user's -> the view of what they mean.

``%graphscope model``            the view of its session if it is watched, else its module tree
``%graphscope model(x)``         the graph of that call (traced: nothing is changed), also ``model --input x``
``%graphscope session``          likewise a run, a graph, a training, or the path of a run
``%graphscope``                  what there is
``%%graphscope [MODEL [OPTIMIZER]] [--every N] [--budget X] [--run-dir DIR]``
                                 the view, live, while the cell below runs unchanged
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import display

from graphscope.errors import GraphscopeError
from graphscope.jupyter import completion, sidebar
from graphscope.jupyter.expressions import MagicError, evaluate, shown
from graphscope.jupyter.namespace import is_module, live_sessions, mode_of, models_in, parameter_count
from graphscope.jupyter.widget import View

EXAMPLE = "%graphscope model    %graphscope model(x)    %%graphscope model"


@magics_class
class GraphScopeMagics(Magics):
    """The two magics; ``shell`` is the IPython they are registered in."""

    @no_var_expand
    @line_cell_magic
    def graphscope(self, line: str, cell: str | None = None) -> View | None:
        """Shows a model, its graph, a session or a recorded run; above a cell: trains it watched (see the module)."""
        if cell is not None:
            self._cell(line, cell)
            return None
        if not line.strip():
            print(listing(self._namespace))
            return None
        found = shown(line.strip(), self._namespace)
        view = View(found.source)
        if found.problem:
            # The exception is the user's model's own; the view shows what ran before it.
            display(view)
            raise MagicError(f"%graphscope {line.strip()}: {found.problem}")
        return view

    @property
    def _namespace(self) -> dict[str, Any]:
        assert self.shell is not None  # set when the magics are registered
        return self.shell.user_ns

    @magic_arguments()
    @argument("model", nargs="?", help="name of the model; may be left out if there is only one")
    @argument("optimizer", nargs="?", help="name of the optimizer, where the cell does not make it")
    @argument("--every", help="capture every N-th step; auto keeps within the budget")
    @argument("--budget", type=float, help="share of step time that watching may take, 0.01 is 1 %%")
    @argument("--run-dir", help="folder for the recorded run")
    def _arguments(self) -> None:
        """%%graphscope"""

    def _cell(self, line: str, cell: str) -> None:
        from graphscope.session import watch

        given = parse_argstring(self._arguments, line)
        namespace = self._namespace
        model = self._model(given.model)
        optimizer = evaluate(given.optimizer, namespace) if given.optimizer else None
        options = {"budget": given.budget, "run_dir": given.run_dir, "every": _every(given.every)}
        try:
            session = watch(model, optimizer, **{k: v for k, v in options.items() if v is not None})
        except GraphscopeError as error:
            raise MagicError(f"%%graphscope {line.strip()}: {error}") from error
        with session:
            display(View(session))
            assert self.shell is not None
            with quiet_errors(self.shell):
                result = self.shell.run_cell(cell)
            result.raise_error()

    def _model(self, code: str | None) -> Any:
        models = models_in(self._namespace)
        if code is None:
            if len(models) == 1:
                return models[0].model
            there = ", ".join(m.name for m in models) or "none yet"
            raise MagicError(f"%%graphscope: which model? There are {len(models)}: {there}. Write %%graphscope NAME.")
        value = evaluate(code, self._namespace)
        if not is_module(value):
            there = ", ".join(m.name for m in models) or "none yet"
            raise MagicError(
                f"%%graphscope {code}: found a {type(value).__name__}, wanted a model. Models here: {there}."
            )
        return value


def _every(text: str | None) -> int | str | None:
    if text is None or text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise MagicError(f'%%graphscope --every {text}: wanted a whole number of steps from 1 on, or "auto".')
    return int(text)


@contextmanager
def quiet_errors(shell: InteractiveShell) -> Iterator[None]:
    """While a cell runs inside a magic, its error is not printed: the magic raises it again, and once is enough.

    What the outer cell then prints is the traceback as the inner one would have: the user's lines, not those of magics.
    """

    def keep(*args: Any, **kwargs: Any) -> None:
        kind, error, trace = sys.exc_info()
        if kind is not None and error is not None:
            lines = shell.InteractiveTB.structured_traceback(kind, error, trace, tb_offset=1)
            error._render_traceback_ = lambda: lines  # type: ignore[attr-defined]

    # Attributes of this one shell, taken off again: no class is changed.
    vars(shell).update(showtraceback=keep, showsyntaxerror=lambda *args, **kwargs: None)
    try:
        yield
    finally:
        del shell.showtraceback, shell.showsyntaxerror  # those of the class are in force again


def listing(namespace: dict[str, Any]) -> str:
    """Models and sessions as a few lines of text."""
    lines = []
    for found in models_in(namespace):
        count = parameter_count(found.model)
        mode = {True: "train", False: "eval", None: "mode unknown"}[mode_of(found.model)]
        size = "parameters not known yet" if count is None else f"{count:,} parameters"
        lines.append(f"{found.name}: {type(found.model).__name__}, {size}, {mode}")
    for session in live_sessions():
        step = "no step yet" if session.step is None else f"step {session.step:,}"
        lines.append(f"{session.name}: session of {session.model_name}, {session.state}, {step}")
    if not lines:
        lines.append("No model has a name in this notebook yet, and nothing is watched.")
    return "\n".join([*lines, f"Show one: {EXAMPLE}"])


def load_ipython_extension(shell: InteractiveShell) -> None:
    """``%load_ext graphscope``: the magics, their completion, and the sidebar's way into this kernel."""
    shell.register_magics(GraphScopeMagics)
    completion.register(shell)
    sidebar.register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Takes all of it back; views that are open stay."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("graphscope", None)
    completion.unregister(shell)
    sidebar.unregister(shell)
