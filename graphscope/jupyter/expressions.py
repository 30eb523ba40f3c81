"""What stands after ``%graphscope`` -> the thing to be shown. A call of a model is traced, not called.

The expression is the user's own, typed into their own kernel: it is evaluated as IPython evaluates any line of theirs.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphscope.errors import GraphscopeError, InputMismatch, UnknownName, did_you_mean
from graphscope.graph import Graph, module_tree
from graphscope.jupyter.namespace import is_module, live_sessions, models_in, session_of
from graphscope.run import Run

if TYPE_CHECKING:
    from graphscope.session import Session
    from graphscope.training import Training

_INPUT = re.compile(r"^(?P<model>.*?)\s--input[ =]\s*(?P<input>.+)$", re.DOTALL)
"""``x --input y`` is no Python expression, so that it cannot be meant as one."""
_HOLE = "_graphscope_function"


class MagicError(UnknownName):
    """What a user typed after the magic makes no sense."""

    def _render_traceback_(self) -> list[str]:
        # IPython asks for this: the frames of a magic say nothing to the person who typed the line.
        return [str(self)]


@dataclass(frozen=True, slots=True)
class Shown:
    """What is to be shown."""

    source: Session | Training | Run | Graph
    problem: str = ""
    """Why it is only a part: the forward raised."""


def shown(text: str, namespace: dict[str, Any]) -> Shown:
    """An expression, perhaps with ``--input EXPR`` -> what to show.

    Raises: MagicError with one line: what was evaluated, what was found, what there is instead.
    """
    parts = _INPUT.match(text)
    code = (parts["model"] if parts else text).strip()
    thing = evaluate(code, namespace, trace_calls=parts is None)
    if isinstance(thing, Shown):
        return thing
    if parts is None:
        return of_value(code, thing, namespace)
    if not is_module(thing):
        raise MagicError(f"%graphscope {code} --input: {_found(thing)}, wanted a model.{_models(code, namespace)}")
    return _traced(code, thing, (evaluate(parts["input"].strip(), namespace),), {})


def of_value(code: str, thing: Any, namespace: Mapping[str, Any]) -> Shown:
    """A value -> what is shown of it: of a watched model its session, of another one its module tree."""
    if is_module(thing):
        session = session_of(thing)
        if session is not None:
            return Shown(session)
        from graphscope.capture.modules import read_modules

        return Shown(module_tree(read_modules(thing).infos))
    if isinstance(thing, (str, Path)):
        from graphscope.run import load

        return _guarded(code, lambda: Shown(load(thing)))
    if isinstance(thing, (Run, Graph)) or hasattr(type(thing), "subscribe") or hasattr(type(thing), "set_lr"):
        return Shown(thing)
    raise MagicError(
        f"%graphscope {code}: {_found(thing)}, wanted a model, a session, a run, a graph, a training, "
        f"or the path of a run.{_models(code, namespace)}"
    )


def evaluate(code: str, namespace: dict[str, Any], *, trace_calls: bool = False) -> Any:
    """The value of an expression; of a call of a model, if asked for, the Shown of its trace."""
    try:
        tree = ast.parse(code, mode="eval")
    except SyntaxError as error:
        raise MagicError(
            f"%graphscope {code}: not a Python expression ({error.msg}).{_models('', namespace)}"
        ) from None
    if not (trace_calls and isinstance(tree.body, ast.Call)):
        return _value(tree, code, namespace)
    function = _value(ast.Expression(tree.body.func), code, namespace)
    # The function is evaluated once; the call is then made with it, or with something that only keeps the arguments.
    call = ast.fix_missing_locations(
        ast.Expression(ast.Call(ast.Name(_HOLE, ast.Load()), tree.body.args, tree.body.keywords))
    )
    if not is_module(function):
        return _value(call, code, {**namespace, _HOLE: function})
    args, kwargs = _value(call, code, {**namespace, _HOLE: lambda *args, **kwargs: (args, kwargs)})
    return _traced(code, function, args, kwargs)


def _value(tree: ast.Expression, code: str, namespace: dict[str, Any]) -> Any:
    try:
        return eval(compile(tree, "<graphscope>", "eval"), namespace)
    except Exception as error:
        missing = error.name if isinstance(error, NameError) else None
        hint = _models(missing or "", namespace)
        raise MagicError(f"%graphscope {code}: {type(error).__name__}: {error}.{hint}") from error


def _traced(code: str, model: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Shown:
    from graphscope.capture.trace import trace

    try:
        return Shown(trace(model, *args, **kwargs))
    except InputMismatch as error:
        if isinstance(error.graph, Graph):
            return Shown(error.graph, problem=str(error))
        raise MagicError(f"%graphscope {code}: {error}") from error
    except GraphscopeError as error:
        raise MagicError(f"%graphscope {code}: {error}") from error


def _guarded(code: str, make: Any) -> Shown:
    try:
        shown_: Shown = make()
        return shown_
    except GraphscopeError as error:
        raise MagicError(f"%graphscope {code}: {error}") from error


def _found(thing: object) -> str:
    return f"found a {type(thing).__name__}"


def _models(wrong: str, namespace: Mapping[str, Any]) -> str:
    """`` Models here: net (Cnn), teacher (Vit). Did you mean "net"?``"""
    models = models_in(namespace)
    if not models:
        return " No model has a name in this notebook yet."
    listed = ", ".join(f"{m.name} ({type(m.model).__name__})" for m in models[:12])
    more = f" and {len(models) - 12} more" if len(models) > 12 else ""
    sessions = [session.name for session in live_sessions() if session.state in ("live", "paused")][:6]
    running = f" Sessions: {', '.join(sessions)}." if sessions else ""
    return f" Models here: {listed}{more}.{running}{did_you_mean(wrong, [m.name for m in models]) if wrong else ''}"
