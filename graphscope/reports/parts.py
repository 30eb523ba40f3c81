"""A thing of the outline -> a part of the picture: its kind, name, short detail and tooltip."""

from __future__ import annotations

from dataclasses import dataclass, field

from graphscope.graph import Graph, ModuleInfo, Value
from graphscope.reports.boxes import Level
from graphscope.reports.details import CLOSED, DETAILS, module_detail
from graphscope.reports.outline import Thing
from graphscope.reports.words import count_text, shape_text

NODE_HEIGHT = 24


@dataclass(slots=True, eq=False)
class Part:
    """A box of the picture with its place."""

    kind: str
    """``op``, ``call``, ``fold``, ``more``, ``join``, ``input``, ``output`` or ``frame``."""
    label: str
    detail: str = ""
    title: str = ""
    failed: bool = False
    parent: Part | None = None
    children: list[Part] = field(default_factory=list)
    x: int = 0
    y: int = 0
    width: int = 0
    height: int = NODE_HEIGHT
    fqn: str = ""
    """Path of the module whose frame it is."""
    call: int = 0
    """Which call of it."""
    level: Level | None = None
    links: dict[tuple[int, int, int], list[Value]] = field(default_factory=dict)
    """Of a frame: (source, target, net) -> what flows. Ends are numbers of children, or of ports from -1 down."""
    ports_in: list[int] = field(default_factory=list)
    ports_out: list[int] = field(default_factory=list)
    """Nets that enter and leave a frame."""


def part_of(graph: Graph, modules: dict[str, ModuleInfo], parent: Part, thing: Thing) -> Part:
    """The part for a thing inside the frame ``parent``."""
    op = thing.ops[0]
    outputs = thing.ops[-1].outputs
    made = f"\noutput {shape_text(outputs[0].shape)} {outputs[0].dtype}" if outputs else ""
    if thing.kind == "more":
        label, detail = f"{count_text(thing.count)} more", f"{count_text(len(thing.ops))} ops"
        return Part("more", label, detail, "left out of the picture", thing.failed, parent)
    if thing.kind == "op":
        where = f"\n{op.source[0].rpartition('/')[2]}:{op.source[1]}" if op.source else ""
        label, detail = op.op, "inside not visible" if op.opaque else ""
        return Part("op", label, detail, f"{op.op}{made}{where}", thing.failed, parent)
    if thing.call is None:  # a fold of ops
        label = f"{op.op} × {thing.count}"
        return Part("fold", label, "", f"{thing.count} times in a row", thing.failed, parent, height=NODE_HEIGHT + 8)
    call = graph.calls[thing.call]
    module = modules.get(call.fqn, ModuleInfo(call.fqn, "", "", None))
    label = _below(call.fqn, parent.fqn) or module.type
    if thing.kind == "fold":
        last = thing.members[-1]
        types = ", ".join(_type_of(graph, modules, member) for member in thing.members[: thing.period])
        last_name = graph.calls[last.call].fqn.rpartition(".")[2] if last.call is not None else last.ops[0].op
        label = f"{label} … {last_name}" if len(thing.members) > 1 else label
        title = f"{thing.count} times in a row: {types}"
        return Part("fold", f"{label} × {thing.count}", types, title, thing.failed, parent, height=NODE_HEIGHT + 8)
    # Said once: what a second call calls is its second call too.
    label += f" · call {call.call + 1}" if call.call and call.call != parent.call else ""
    parameters = _parameters(graph, call.fqn) if len(thing.ops) > 1 else 0
    size = f", {count_text(parameters)} parameters" if parameters else ""
    title = f"{call.fqn or module.type}: {module.type}({module.attrs}){size}{made}"
    if thing.inside is not None:
        detail = f"{module.type}{size}"
        return Part("frame", label, detail, title, thing.failed, parent, fqn=call.fqn, call=call.call)
    inner = module if module.type in CLOSED else modules.get(op.fqn, module)
    if len(thing.ops) > 1 and module.type not in CLOSED:
        detail = f"{module.type}, {count_text(parameters)}" if parameters else module.type
    else:
        detail = module_detail(inner)
        # A place in a Sequential says nothing about the layer.
        if module.name.isdigit() and inner.type in DETAILS and not detail.startswith(("BN", "LN", inner.type)):
            detail = f"{inner.type} {detail}"
    return Part("call", label, detail, title, thing.failed, parent)


def _type_of(graph: Graph, modules: dict[str, ModuleInfo], thing: Thing) -> str:
    module = modules.get(graph.calls[thing.call].fqn) if thing.call is not None else None
    return module.type if module is not None else thing.ops[0].op


def _below(fqn: str, above: str) -> str:
    """A path as seen from a module above it."""
    return fqn[len(above) + 1 :] if above and fqn.startswith(f"{above}.") else fqn


def _parameters(graph: Graph, fqn: str) -> int:
    return sum(
        p.count
        for module in graph.modules
        if module.fqn == fqn or not fqn or module.fqn.startswith(f"{fqn}.")
        for p in module.parameters
        if p.tied_to is None
    )
