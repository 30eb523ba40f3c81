"""Backward nodes of the recorded ops -> the gradient that flowed through each op, and the op at which backward raised.

A prehook on an op's own backward node, put on when the op is recorded: what later writes into the tensor gives it
another node, and the gradient of the value before the write is still the op's own. No tensor and no node is kept; a
prehook that fires is reduced to a row at once.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor

from graphscope.capture.arrival import Deferred
from graphscope.capture.guard import Guard
from graphscope.capture.plan import Selection
from graphscope.capture.summary import FIELDS, Row, collect, deferred, land, measure
from graphscope.graph import OpNode
from graphscope.schema import HISTOGRAM_ESTIMATE, OpGradients

MOST_OPS = 5_000
"""Ops of a pass whose gradients are looked at."""


class Measured:
    """The gradient that was measured last: a module's output is also its last op's, and is read once."""

    def __init__(self) -> None:
        self._tensor: weakref.ref[Tensor] | None = None
        self._version = 0
        self._row: Row | None = None

    def row(self, gradient: Tensor, *, histogram: bool) -> Row:
        """Its statistics; those from before if it is the very tensor that was measured last."""
        row = self._row
        same = self._tensor is not None and self._tensor() is gradient and self._version == gradient._version
        if row is not None and same and (row.histogram is not None or not histogram):
            return row
        row = self._row = measure(gradient, histogram=histogram)
        self._tensor, self._version = weakref.ref(gradient), gradient._version
        return row

    def forget(self) -> None:
        """Keeps nothing."""
        self._tensor = self._row = None


class NodePrehook:
    """Called with the gradients of all outputs of one backward node, before it computes."""

    __slots__ = ("outputs", "tap", "wanted")

    def __init__(self, tap: OpGradientTap, output: int, value: int, wanted: bool) -> None:
        self.tap: OpGradientTap | None = tap
        self.outputs = [(output, value)]
        """(number of the node's output, number of the value that it is)."""
        self.wanted = wanted

    def __call__(self, gradients: tuple[Tensor | None, ...]) -> None:
        if self.tap is not None:
            self.tap.reached_by(self, gradients)


class OpGradientTap:
    """The gradients of one pass, by value."""

    def __init__(self, selection: Selection, guard: Guard, measured: Measured) -> None:
        self.selection = selection
        self.guard = guard
        self.measured = measured
        self.rows: dict[int, Row] = {}
        """Number of a value -> statistics of its gradient."""
        self.measures = True
        """Whether gradients are measured; which op backward came by last is known without that."""
        self.reached: int | None = None
        """The value whose gradient backward came by last."""
        self.left_out = 0
        self.self_seconds = 0.0
        self._hooks: list[NodePrehook] = []
        self._wanted: dict[str, bool] = {}

    def follow_one(self, node: Any, value: int, fqn: str) -> None:
        """The backward node of an op that made one tensor, the number of that value and the module it ran in."""
        if len(self._hooks) >= MOST_OPS:
            self.left_out += 1
            return
        hook = NodePrehook(self, 0, value, self._wants(fqn))
        node.register_prehook(hook)
        self._hooks.append(hook)

    def follow(self, tensors: Iterable[Tensor], values: Iterable[int], fqn: str, whole: bool) -> None:
        """All that one op made, and the numbers of these values; not ``whole``: its gradient is of more than that."""
        if len(self._hooks) >= MOST_OPS:
            self.left_out += 1
            return
        node = hook = None
        for tensor, value in zip(tensors, values, strict=False):
            found = tensor.grad_fn
            if found is None:
                continue
            if hook is not None and found is node:
                hook.outputs.append((tensor.output_nr, value))
                continue
            node, hook = found, NodePrehook(self, tensor.output_nr, value, whole and self._wants(fqn))
            node.register_prehook(hook)
            self._hooks.append(hook)

    def _wants(self, fqn: str) -> bool:
        wanted = self._wanted.get(fqn)
        if wanted is None:
            wanted = self._wanted[fqn] = self.selection.wants(fqn)
        return wanted

    def reached_by(self, hook: NodePrehook, gradients: tuple[Tensor | None, ...]) -> None:
        """Backward came by one op."""
        started = time.perf_counter()
        self.reached = hook.outputs[0][1]
        if hook.wanted and self.measures:
            self.guard.run(self._measure, hook, gradients)
        self.self_seconds += time.perf_counter() - started

    def _measure(self, hook: NodePrehook, gradients: tuple[Tensor | None, ...]) -> None:
        for output, value in hook.outputs:
            gradient = gradients[output] if output < len(gradients) else None
            if gradient is not None:  # no part of the loss reads that output
                self.rows[value] = self.measured.row(gradient, histogram=False)

    def finish(self) -> None:
        """Prehooks that are still on the user's graph do nothing from now on and hold nothing."""
        for hook in self._hooks:
            hook.tap = None
        self._hooks.clear()
        self.measured.forget()

    def records(
        self, step: int, pass_index: int, graph_id: str, nodes: Iterable[OpNode]
    ) -> list[OpGradients | Deferred]:
        """The rows as one record, in the order of the ops; of rows on a device, what becomes one when they arrive."""
        places = {value.id: (node.id, i) for node in nodes for i, value in enumerate(node.outputs)} if self.rows else {}
        found = sorted((*places[value], value) for value in self.rows if value in places)
        if not found:
            return []
        rows = [replace(self.rows[value], histogram=None) for _, _, value in found]
        left_out = self.left_out

        def made() -> OpGradients:
            table, _, _ = collect(rows)
            columns = {name: table[:, i] for i, name in enumerate(FIELDS)}
            counts = {name: columns.pop(name).astype(np.int64) for name in ("zeros", "nan", "pos_inf", "neg_inf")}
            return OpGradients(
                step=step,
                pass_index=pass_index,
                graph_id=graph_id,
                node=np.array([node for node, _, _ in found], dtype=np.uint32),
                output=np.array([output for _, output, _ in found], dtype=np.uint32),
                flags=np.array([row.flags & ~HISTOGRAM_ESTIMATE for row in rows], dtype=np.uint8),
                count=np.array([row.count for row in rows], dtype=np.int64),
                left_out=left_out,
                **columns,
                **counts,
            )

        def arrived(arrays: Sequence[np.ndarray]) -> list[OpGradients]:
            land(rows, arrays)
            return [made()]

        waiting = deferred(rows)
        return [Deferred(waiting, arrived)] if waiting else [made()]
