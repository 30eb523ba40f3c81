"""Everything captured in one step -> its records: graphs, addresses, passes, layer statistics and one table of rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from graphscope.capture.activations import Address, Key
from graphscope.capture.arrival import Deferred
from graphscope.capture.changes import Directions, Updates
from graphscope.capture.forward import ForwardCapture
from graphscope.capture.loss_ops import LossOp
from graphscope.capture.plan import STRUCTURE_ONLY, Selection
from graphscope.capture.summary import FIELDS, Row, collect, cosines_of, deferred, land, measure_all, stays
from graphscope.graph import Graph, OpNode, Value
from graphscope.schema import ROLES, AddressTable, GraphRecord, PassRecord, ScalarRecord, StepStats

BACKWARD = " with its backward"
"""Behind the id of a graph in the set of known ones: its autograd graph is recorded, too."""


class AddressNumbers:
    """Addresses -> their numbers in the run, and the ones that no record has named yet."""

    def __init__(self) -> None:
        self._numbers: dict[Address, int] = {}
        self._told = 0

    def __call__(self, address: Address) -> int:
        return self._numbers.setdefault(address, len(self._numbers))

    def news(self) -> AddressTable | None:
        """The addresses added since the last call, as a record."""
        new = list(self._numbers)[self._told :]
        if not new:
            return None
        start, self._told = self._told, len(self._numbers)
        fqn, call, output = zip(*new, strict=True)
        return AddressTable(start=start, fqn=fqn, call=call, output=output)


class ParameterCapture:
    """Parameters, their gradients and their updates around one optimizer step."""

    def __init__(self, selection: Selection, directions: Directions) -> None:
        self.selection = selection
        self.rows: dict[Key, Row] = {}
        self.state: str | None = None
        """What the gradients among the rows are: one of ``schema.GRADIENT_STATES``, or not known."""
        self._stepped = False
        self._directions = directions
        self._updates = Updates()

    def before(self, parameters: Mapping[str, nn.Parameter], state: str | None) -> None:
        """At the optimizer's step pre-hook: gradients are accumulated, unscaled and clipped by now."""
        chosen = {name: parameter for name, parameter in parameters.items() if self.selection.wants(name)}
        if not self._stepped:  # what was read after backward, before this optimizer was known, was not the last word
            self.rows = {key: row for key, row in self.rows.items() if key[1] != "parameter_gradient"}
        if self._read(chosen):  # of several optimizers in one step, all that agree
            self.state = state if not self._stepped or self.state == state else None
        self._stepped = True
        if "update" in self.selection.roles:
            self._updates.before(chosen)

    def after_backward(self, parameters: Mapping[str, nn.Parameter], state: str | None) -> None:
        """At the end of a backward, where no optimizer is: what there is by then."""
        if self._read({name: p for name, p in parameters.items() if self.selection.wants(name)}):
            self.state = state

    def _read(self, chosen: Mapping[str, nn.Parameter]) -> bool:
        """Rows of parameters and their gradients; whether there are any of those."""
        roles = self.selection.roles
        wanted: dict[Key, Tensor] = {}
        gradients: dict[str, Tensor] = {}
        for name, parameter in chosen.items():
            address = (name, 0, 0)
            if "parameter" in roles:
                wanted[address, "parameter"] = parameter
            if "parameter_gradient" in roles and parameter.grad is not None:
                wanted[address, "parameter_gradient"] = gradients[name] = parameter.grad
        again = [name for name in gradients if ((name, 0, 0), "parameter_gradient") in self.rows]
        self.rows.update(zip(wanted, measure_all(wanted.values()), strict=True))
        if gradients:
            self._directions.forget(again)
            rows = {name: self.rows[(name, 0, 0), "parameter_gradient"] for name in gradients}
            self._directions.cosines(gradients, rows)
        return bool(gradients)

    def after(self, parameters: Mapping[str, nn.Parameter]) -> None:
        """At the step post-hook: what changed."""
        for name, row in self._updates.after(parameters).items():
            self.rows[(name, 0, 0), "update"] = row


def stats_record(
    step: int,
    pass_index: int,
    rows: Mapping[Key, Row],
    numbers: Callable[[Address], int],
    gradient_state: str | None = None,
) -> StepStats | Deferred:
    """Rows -> one table; of rows on a device, what becomes one when their values have arrived."""
    keys, items = list(rows), list(rows.values())
    addresses = np.array([numbers(address) for address, _ in keys], dtype=np.uint32)
    roles = np.array([ROLES.index(role) for _, role in keys], dtype=np.uint8)
    waiting = deferred(items)
    if not waiting:
        return _table(step, pass_index, addresses, roles, items, gradient_state)

    def arrived(arrays: Sequence[np.ndarray]) -> list[Any]:
        land(items, arrays)
        stats = _table(step, pass_index, addresses, roles, items, gradient_state)
        norm = gradient_norm([stats])
        return [stats] if norm is None else [stats, ScalarRecord(step=step, scalars={"grad_norm": norm})]

    return Deferred(waiting, arrived)


def _table(
    step: int, pass_index: int, addresses: np.ndarray, roles: np.ndarray, items: list[Row], gradient_state: str | None
) -> StepStats:
    table, histogram_row, histogram = collect(items)
    dtypes = list(dict.fromkeys(row.dtype for row in items))
    columns = {name: table[:, i] for i, name in enumerate(FIELDS)}
    cosine = cosines_of(items)
    counts = {name: columns.pop(name).astype(np.int64) for name in ("zeros", "nan", "pos_inf", "neg_inf")}
    return StepStats(
        step=step,
        pass_index=pass_index,
        address=addresses,
        role=roles,
        flags=np.array([row.flags for row in items], dtype=np.uint8),
        dtype=np.array([dtypes.index(row.dtype) for row in items], dtype=np.uint8),
        ndim=np.array([len(row.shape) for row in items], dtype=np.uint8),
        sizes=np.array([size for row in items for size in row.shape], dtype=np.int64),
        count=np.array([row.count for row in items], dtype=np.int64),
        histogram_row=histogram_row,
        histogram=histogram,
        cosine=None if np.isnan(cosine).all() else cosine,
        dtypes=dtypes,
        unmeasured={str(i): row.unmeasured for i, row in enumerate(items) if row.unmeasured},
        gradient_state=gradient_state,
        **columns,
        **counts,
    )


def loss_nodes(capture: ForwardCapture, chain: Iterable[LossOp], line: tuple[str, int] | None) -> tuple[OpNode, ...]:
    """Ops behind the root's output as nodes of the root's scope, numbered after the forward's."""
    nodes: list[OpNode] = []
    made: dict[int, Value] = {}
    first = len(capture.ops.tape)

    def known(read: Any) -> bool:
        return isinstance(read, int) or id(read) in made

    for op in chain:
        table = capture.values
        inputs = tuple(table.value(r) if isinstance(r, int) else made[id(r)] for r in op.reads if known(r))
        value = Value(table.count, "op", "", op.shape, op.dtype, op.device, True)
        table.add(value)
        made[id(op)] = value
        nodes.append(
            OpNode(
                first + len(nodes), op.op, 0, "", 0, inputs, (value,), attrs=op.attrs, source=line,
                grad_fn=op.grad_fn, opaque=op.opaque,
            )
        )  # fmt: skip
    return tuple(nodes)


class Pass:
    """One forward of a captured step with what its backward showed."""

    def __init__(
        self,
        capture: ForwardCapture,
        index: int,
        training: bool,
        grad_enabled: bool,
        topology: int | None = None,
        on_failure: Callable[[], None] | None = None,
    ) -> None:
        self.capture = capture
        self.index = index
        self.training = training
        self.grad_enabled = grad_enabled
        self.topology = topology
        self.graph_id = ""
        """Known once its records were made."""
        self.chain: list[LossOp] = []
        self.line: tuple[str, int] | None = None
        self.backward = ""
        """``running`` from when it reached the root's output until autograd was ``done`` with it or it ``failed``."""
        self.walks = False
        """Whether the autograd graph is to be walked when backward begins."""
        self._on_failure = on_failure
        self._thread = threading.get_ident()

    @property
    def unplanned(self) -> bool:
        """Whether it was recorded for its graph alone, in a step that is not captured."""
        return self.capture.selection is STRUCTURE_ONLY

    def look_behind(self, roots: Iterable[Tensor]) -> None:
        """The autograd graph behind what backward was called on; ``chain`` is known."""
        if self.walks:
            first = self.capture.values.count  # what ``loss_nodes`` will number them from
            made = {op.sequence: (op.grad_fn, first + i) for i, op in enumerate(self.chain)}
            self.capture.look_behind(roots, made)

    def backward_done(self) -> None:
        """Called by autograd."""
        self.backward = "done"

    def backward_failed(self) -> None:
        """Called while the exception is on its way to the user."""
        self.backward = "failed"
        # Another thread of autograd's leaves it to the end of the step.
        if threading.get_ident() == self._thread and self._on_failure is not None:
            self._on_failure()

    def _backward_error(self, graph: Graph) -> tuple[str | None, int | None]:
        """What is known of the exception that ended the backward, and the op at which it was raised."""
        if self.backward not in ("running", "failed"):
            return None, None
        reached = self.capture.gradients.reached
        node = next((n for n in graph.nodes if any(v.id == reached for v in n.outputs)), None)
        if node is not None:
            return f"{node.grad_fn} raised: the backward of {node.op} in {node.fqn or graph.modules[0].type}", node.id
        last = self.capture.activations.last_gradient
        where = f"; the last gradient seen was that of {last[0] or graph.modules[0].type}" if last else ""
        return f"something in it raised{where}", None

    def records(
        self, known_graphs: set[str], numbers: Callable[[Address], int], train_mode_layers: Sequence[str] = ()
    ) -> list[Any]:
        """[GraphRecord if new], PassRecord, gradients of its ops, layer statistics."""
        capture = self.capture
        graph = capture.graph(loss_nodes(capture, self.chain, self.line))
        backward_error, backward_node = self._backward_error(graph)
        error, error_fqn = capture.error, capture.error_fqn
        if error is None and backward_error is not None:
            last = capture.activations.last_gradient
            error, error_fqn = f"backward ended early: {backward_error}", last[0] if last else None
        records: list[GraphRecord | Any] = []
        self.graph_id = graph.graph_id
        with_backward = graph.graph_id + BACKWARD
        if graph.graph_id not in known_graphs or (graph.autograd is not None and with_backward not in known_graphs):
            known_graphs.add(graph.graph_id)
            if graph.autograd is not None:
                known_graphs.add(with_backward)
            records.append(graph.to_record())
        records.append(
            PassRecord(
                step=capture.step,
                pass_index=self.index,
                graph_id=graph.graph_id,
                training=self.training,
                grad_enabled=self.grad_enabled,
                input_shapes=[list(value.shape) for value in capture.inputs],
                error=error,
                error_fqn=error_fqn,
                train_mode_layers=train_mode_layers,
                topology=None if capture.error else self.topology,
                backward_error=backward_error,
                backward_node=backward_node,
            )
        )
        records += capture.gradients.records(capture.step, self.index, graph.graph_id, graph.nodes)
        records += capture.more_records(self.index, graph.graph_id)
        records += [record for pending in capture.pending for record in ready(pending)]
        capture.finish()
        return records


def ready(pending: Deferred) -> Sequence[Any]:
    """What a layer recorded of itself: its record, or where that is on a device, what becomes one."""
    return [pending] if any(stays(t) for t in pending.tensors) else pending.now()


def gradient_norm(records: Sequence[Any]) -> float | None:
    """L2 norm over all parameter gradients of the step, as the optimizer saw them."""
    role = ROLES.index("parameter_gradient")
    norms = [r.l2[r.role == role] for r in records if isinstance(r, StepStats)]
    squares = sum(float((n**2).sum()) for n in norms)
    return squares**0.5 if any(len(n) for n in norms) else None
