"""A topology as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from graphscope.schema.words import I32, I64, U8, U32


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRecord:
    """One distinct topology, as columns. ``graphscope.graph.Graph`` is its readable form.

    A column ending in ``_ptr`` has one entry more than it has rows: row i owns ``[ptr[i], ptr[i+1])`` of the column
    of the same name without ``_ptr``. Texts are indexes into ``strings``; ``strings[0]`` is the empty text.
    """

    kind: ClassVar[str] = "graph"
    graph_id: str
    """Content hash over ops, attributes, edges and modules, without sizes."""
    partial: str
    """Why the pass ended before the model returned (the exception's type and text); empty if it returned."""
    traced: bool
    """Whether ops were recorded; False for the mere module tree."""
    strings: Sequence[str]
    module_fqn: U32
    """[m] text; the root's is the empty text. Parents come before children."""
    module_type: U32
    """[m] text, class name."""
    module_attrs: U32
    """[m] text, the module's ``extra_repr``."""
    module_parent: I32
    """[m] module, -1 for the root."""
    param_name: U32
    """[p] text: fqn of a parameter, as in ``state_dict``."""
    param_module: U32
    """[p] module that owns it."""
    param_ndim: U8
    param_sizes: I64
    """Sizes of all parameters one after the other; ``param_ndim`` says how many each has."""
    param_trainable: U8
    """[p] 1 if ``requires_grad``."""
    param_tied: I32
    """[p] the earlier parameter that is the same tensor, or -1."""
    call_module: U32
    """[c] module that was called. Call 0 is the root's; callers come before what they call."""
    call_index: U32
    """[c] n-th call of that module in the pass, from 0."""
    call_parent: I32
    """[c] call during which it was made, -1 for the root's."""
    call_opaque: U32
    """[c] text: why the inside of the call cannot be seen; empty if it can."""
    call_outputs_ptr: U32
    call_outputs: U32
    """Values that the call returned."""
    value_kind: U8
    """[v] index into VALUE_KINDS."""
    value_name: U32
    """[v] text: argument name of an input, fqn of a parameter or buffer."""
    value_dtype: U32
    """[v] text, for instance ``float32``."""
    value_device: U32
    """[v] text, for instance ``cuda:0``."""
    value_requires_grad: U8
    value_ndim: U8
    value_sizes: I64
    op_name: U32
    """[n] text: the public torch name (``conv2d``, ``relu``, ``add``)."""
    op_call: U32
    """[n] call in which it ran."""
    op_file: U32
    """[n] text: file of the user's line; empty if unknown."""
    op_line: U32
    op_grad_fn: U32
    """[n] text: name of the backward node; empty if none."""
    op_flags: U8
    """[n] bits INPLACE, FAILED, VIEW."""
    op_opaque: U32
    """[n] text: why its inside cannot be seen; empty if it can."""
    op_attrs: U32
    """[n] text: the arguments that are no tensors, as a JSON object."""
    op_inputs_ptr: U32
    op_inputs: U32
    """Values read."""
    op_outputs_ptr: U32
    op_outputs: U32
    """Values made."""
    op_params_ptr: U32
    op_params: U32
    """Parameters read (indexes into the param columns)."""
    inputs: U32
    """Values given to the root."""
    outputs: U32
    """Values returned by the root."""
    backward_name: U32 | None = None
    """[b] text: name of a backward node (``grad_fn``); these columns are there where the autograd graph was walked."""
    backward_op: I32 | None = None
    """[b] op that made it, -1 for a leaf or one that no recorded op made."""
    backward_variable: U32 | None = None
    """[b] text: fqn of the parameter, or name of the input, to whose gradient an AccumulateGrad adds; else empty."""
    backward_next_ptr: U32 | None = None
    backward_next: I32 | None = None
    """Nodes of ``next_functions``; -1 where no gradient goes."""
    backward_input: U32 | None = None
    """Which input of that node."""
    backward_roots: U32 | None = None
    """Nodes at which backward begins."""
    backward_cut: bool = False
    """Whether the autograd graph goes on behind the nodes that are here: only the first thousands are walked."""
