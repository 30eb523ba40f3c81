"""Statistics of one step that hold NaN or Inf -> the place where the first of them came from, as a Finding.

In the order of a step: parameters as they were before it, activations, the loss, gradients on their way back,
gradients of parameters, updates. The first of these that is not finite is the origin; what follows only inherits it.
Where some of them were not measured at that very step, no place is named: what is missing is said instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from graphscope.graph import Graph, OpNode
from graphscope.rules.calls import CallOrder
from graphscope.rules.flow import at, where
from graphscope.rules.measured import WATCH_NEXT, Measured, measured
from graphscope.rules.news import News
from graphscope.rules.risky_ops import MASKS, RISKY
from graphscope.rules.sizes import OUTPUT
from graphscope.run import Address
from graphscope.schema import ROLES, Finding, Severity, StepStats

_WHY = (
    "Every number computed from a NaN is NaN: one step with a NaN gradient makes the weights NaN, and nothing that "
    "follows can repair them. -inf alone is fine where a mask puts it in front of a softmax."
)


ORDINARY = 1e4
"""Magnitude up to which an output is not accused of a loss that overflows: its square is far from it in float32."""


IN_PARAMETERS = " in parameters"


@dataclass(frozen=True, slots=True)
class _Bad:
    """One tensor that is not finite."""

    address: Address
    nan: int
    pos_inf: int
    neg_inf: int
    count: int
    dtype: str

    @property
    def number(self) -> int:
        return self.nan + self.pos_inf + self.neg_inf

    @property
    def what(self) -> str:
        return "NaN" if self.nan else "Inf" if self.pos_inf else "-Inf"

    @property
    def share(self) -> str:
        return f"{self.number:,} of {self.count:,} values"


def origin(news: News, stats: StepStats, loss: float | None) -> Finding | None:
    """Where NaN or Inf began in this step; None if all is finite, or only masked with -inf.

    ``loss`` is the step's loss where that is not finite.
    """
    bad = _bad_rows(news, stats)
    if not bad and loss is None:
        return None
    graph = news.graph_at(stats.step)
    order = CallOrder(graph) if graph is not None else None
    step, known = stats.step, measured(news, stats)
    if found := bad.get("parameter"):
        return _in_parameters(found, step, graph)
    activations = [b for b in bad.get("activation", []) if not _is_mask(b, order)]
    if activations:
        return _in_activations(activations, step, loss, graph, order, news, stats, known)
    if loss is not None:
        return _in_loss(loss, step, graph, news.sizes.at(OUTPUT, step), known)
    if found := bad.get("gradient"):
        return _in_gradients(found, step, graph, order, news, known)
    for role, what in (("parameter_gradient", "gradient"), ("update", "update")):
        if found := bad.get(role):
            return _of_parameter(found, step, what, graph, known)
    return None


def in_parameters(finding: Finding) -> bool:
    """Whether a Finding tells of weights that were not finite before their step: an earlier one made them so."""
    return finding.title.endswith(IN_PARAMETERS)


def _bad_rows(news: News, stats: StepStats) -> dict[str, list[_Bad]]:
    rows = np.flatnonzero((stats.nan > 0) | (stats.pos_inf > 0) | (stats.neg_inf > 0))
    table = news.run.address_table
    bad: dict[str, list[_Bad]] = {}
    for row in rows.tolist():
        number, role = int(stats.address[row]), int(stats.role[row])
        if number >= len(table) or role >= len(ROLES):
            continue
        nan, pos, neg, count = (int(column[row]) for column in (stats.nan, stats.pos_inf, stats.neg_inf, stats.count))
        dtype = stats.dtypes[int(stats.dtype[row])]
        bad.setdefault(ROLES[role], []).append(_Bad(table[number], nan, pos, neg, count, dtype))
    return bad


def _is_mask(bad: _Bad, order: CallOrder | None) -> bool:
    """-inf that a mask op put there on purpose."""
    if bad.nan or bad.pos_inf or order is None:
        return False
    call = order.call(bad.address)
    return call is not None and any(op.op in MASKS for op in order.ops(call))


def _finding(
    severity: Severity, title: str, message: str, advice: str, graph: Graph | None, bad: _Bad | None,
    value: float | None = None,
) -> Finding:  # fmt: skip
    return Finding(
        rule="nonfinite",
        severity=severity,
        title=title,
        message=message,
        advice=advice,
        why=_WHY,
        graph_id=graph.graph_id if graph is not None else None,
        value=float(bad.number) if bad is not None else value,
    )


def _at_op(finding: Finding, op: OpNode | None, **facts: object) -> Finding:
    if op is not None:
        file, line = where(op)
        facts = {"node": op.id, "file": file, "line": line, "fix": RISKY[op.op].fix if op.op in RISKY else "", **facts}
    return replace(finding, **facts)  # type: ignore[arg-type]


def _in_activations(
    bad: list[_Bad], step: int, loss: float | None, graph: Graph | None, order: CallOrder | None, news: News,
    stats: StepStats, known: Measured,
) -> Finding:  # fmt: skip
    first = min(bad, key=lambda b: order.finished(b.address)) if order is not None else bad[0]
    name = first.address.fqn or (graph.modules[0].type if graph is not None else "the model")
    between: list[OpNode] = []
    inside: list[OpNode] = []
    if graph is not None and order is not None and (call := order.call(first.address)) is not None:
        finite = _finite_outputs(news, stats, order, {b.address for b in bad})
        between, inside = order.fed_by(call, finite, news.flow(graph)), order.ops(call)
    suspect = next((op for op in [*between, *inside] if op.op in RISKY), inside[-1] if inside else None)
    message = f"{first.share} of the output of {name} are {first.what} at step {step:,}{known.last_pass}"
    if between:
        ops = ", ".join(op.op + at(op) for op in between[:4])
        message += f". The outputs of all modules before it are finite; between them and {name} ran {ops}"
    elif inside:
        message += "; what other modules gave it is finite"
    message += "." if loss is None else f", and the loss is {'NaN' if math.isnan(loss) else 'Inf'}."
    advice = RISKY[suspect.op].advice if suspect is not None and suspect.op in RISKY else (
        "Look at what this module computes and at the model's input, which is not measured: NaN in the data come out "
        "of the first module."
    )  # fmt: skip
    # An infinity that nothing turned into NaN has done no harm yet.
    severity: Severity = "error" if first.nan or loss is not None else "warning" if first.pos_inf else "info"
    finding = _finding(severity, f"{first.what} begins here", message, advice, graph, first)
    return _at_op(finding, suspect, fqn=first.address.fqn, call=first.address.call)


def _finite_outputs(news: News, stats: StepStats, order: CallOrder, bad: set[Address]) -> set[int]:
    """Values that were measured and are finite."""
    table = news.run.address_table
    numbers = stats.address[stats.role == ROLES.index("activation")].tolist()
    measured = {table[n] for n in numbers if n < len(table)} - bad
    calls = (order.call(address) for address in measured)
    return {value.id for call in calls if call is not None for value in order.graph.calls[call].outputs}


def _in_loss(loss: float, step: int, graph: Graph | None, largest: float | None, known: Measured) -> Finding:
    what = "NaN" if math.isnan(loss) else "Inf"
    if known.gap:
        message = f"The loss of step {step:,} is {what}. {known.gap}"
        if known.activations:
            message += " They are finite: it began in an earlier pass, or in the loss."
        return _finding("error", f"Loss is {what}", message, WATCH_NEXT, graph, None, loss)
    op = None
    if graph is not None:
        roots = [n for n in graph.nodes if n.scope == 0]
        op = next((n for n in reversed(roots) if "loss" in n.op or "entropy" in n.op), roots[-1] if roots else None)
    message = f"The loss of step {step:,} is {what}, though every measured activation is finite: it begins in the loss"
    message += f" ({op.op}{at(op)})." if op is not None else "."
    if largest is not None and largest > ORDINARY:
        message += f" The model's outputs reach {largest:.3g} (limit {ORDINARY:g}), from which a loss can overflow."
        advice = "Scale inputs and targets, and check the initial weights: the outputs are large without any training."
    else:
        message += f" The model's outputs are of ordinary size (up to {largest:.3g})." if largest is not None else ""
        advice = RISKY[op.op].advice if op is not None and op.op in RISKY else (
            "Check the targets (range, empty batch, all ignored) and any log, division or square root in the loss."
        )  # fmt: skip
    return _at_op(_finding("error", f"Loss is {what}", message, advice, graph, None), op, value=loss)


def _in_gradients(
    bad: list[_Bad], step: int, graph: Graph | None, order: CallOrder | None, news: News, known: Measured
) -> Finding:  # fmt: skip
    first = max(bad, key=lambda b: order.made(b.address)) if order is not None else bad[0]
    reader: OpNode | None = None
    if graph is not None and order is not None and (call := order.call(first.address)) is not None:
        readers = [n for v in graph.calls[call].outputs for n in news.flow(graph).readers.get(v.id, [])]
        reader = next((n for n in readers if n.op in RISKY), readers[0] if readers else None)
    name = first.address.fqn or "the model's output"
    message = f"{first.share} of the gradient of {name} are {first.what} at step {step:,}{known.last_pass}"
    if finite := known.finite("activations", "loss"):
        message += f". What was measured before it is finite ({finite}): it begins on the way back"
    else:
        message += f". {known.gap} It is in a gradient on the way back"
    message += f", in the op that reads this output: {reader.op}{at(reader)}." if reader is not None else "."
    scaled = not first.nan and first.dtype == "float16"
    advice = (
        "With GradScaler a scaled float16 gradient overflows now and then; it skips the step and lowers the scale."
        if scaled
        else RISKY[reader.op].advice
        if reader is not None and reader.op in RISKY
        else "Look for an op with an infinite slope there: sqrt or norm at 0, log near 0, a power below 1, x / x."
    )
    finding = _finding("info" if scaled else "error", f"{first.what} in gradients", message, advice, graph, first)
    return _at_op(finding, reader, fqn=first.address.fqn, call=first.address.call)


def _in_parameters(bad: list[_Bad], step: int, graph: Graph | None) -> Finding:
    first = bad[0]
    others = f" and {len(bad) - 1:,} more parameters" if len(bad) > 1 else ""
    message = f"{first.share} of {first.address.fqn}{others} were {first.what} before step {step:,} began: an "
    message += "earlier update, or the initial values, put them there."
    advice = "Start again from a state before it; watch every step (every=1) to see which gradient it came from."
    finding = _finding("error", f"{first.what}{IN_PARAMETERS}", message, advice, graph, first)
    return _at_op(finding, None, fqn=_owner(first.address.fqn, graph))


def _of_parameter(bad: list[_Bad], step: int, what: str, graph: Graph | None, known: Measured) -> Finding:
    """Of a gradient or an update: a place only where one tensor stands out, or all that comes before it is finite."""
    first = bad[0]
    others = f" and of {len(bad) - 1:,} more parameters" if len(bad) > 1 else ""
    message = f"{first.share} of the {what} of {first.address.fqn}{others} are {first.what} at step {step:,}"
    owner = _owner(first.address.fqn, graph)
    advice = "The optimizer made it: check its learning rate and eps, and what scales gradients before the step."
    if what == "gradient":
        if known.gap:
            message += f". {known.gap}"
            if known.activations:
                message += (
                    " They are finite: it began in an earlier pass, or where a parameter is used beside its module."
                )
            # Many are what one NaN anywhere before them leaves behind: none of their modules stands out.
            owner, advice = owner if len(bad) == 1 else "", WATCH_NEXT
        else:
            message += f". What was measured before it is finite ({known.finite('activations', 'loss', 'gradients')})."
            advice = "Look at how this parameter is used beside its module, for instance in a penalty of its norm."
    finding = _finding("error", f"{first.what} in {what}s", message, advice, graph, first)
    return _at_op(finding, None, fqn=owner)


def _owner(parameter: str, graph: Graph | None) -> str:
    """Path of the module that owns a parameter."""
    if graph is not None:
        for module in graph.modules:
            if any(p.name == parameter for p in module.parameters):
                return module.fqn
    return parameter.rpartition(".")[0]
