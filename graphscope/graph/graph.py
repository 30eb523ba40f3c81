"""GraphRecord columns <-> Graph: the ops of one pass, the tensors between them and the modules around them.

A Graph is a topology: its id hashes ops, attributes, edges and modules, not sizes, so that a short last batch is no
new graph. The sizes it shows are those of the pass at which it was first recorded. No torch here: a graph out of a
file is read where PyTorch is not installed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from graphscope.errors import UnknownName
from graphscope.graph.autograd import AutogradGraph
from graphscope.graph.columns import columns_of, parts_from_columns
from graphscope.graph.dot import dot_of
from graphscope.graph.nodes import Edge, ModuleCall, ModuleInfo, OpNode, Value
from graphscope.graph.topology import GraphDiff, difference, topology_hash
from graphscope.schema import GraphRecord

if TYPE_CHECKING:
    import graphviz
    import networkx


@dataclass(frozen=True)
class Graph:
    """The ops of one forward with its loss, in the order in which they ran."""

    modules: tuple[ModuleInfo, ...]
    calls: tuple[ModuleCall, ...] = ()
    nodes: tuple[OpNode, ...] = ()
    inputs: tuple[Value, ...] = ()
    outputs: tuple[Value, ...] = ()
    partial: str = ""
    """Why the pass ended early; empty if the model returned."""
    traced: bool = True
    """False for the mere module tree."""
    autograd: AutogradGraph | None = None
    """What its backward runs; None where that was not looked at."""

    @classmethod
    def later(cls, parts: Callable[[], Mapping[str, Any]], *, partial: str = "", traced: bool = True) -> Graph:
        """A Graph that asks for its parts (the other fields) when one of them is first read."""
        graph = object.__new__(cls)
        graph.__dict__.update(partial=partial, traced=traced, _parts=parts)
        return graph

    def __getstate__(self) -> dict[str, Any]:
        _ = self.modules  # what is not there yet cannot be pickled or copied
        return dict(self.__dict__)

    @cached_property
    def graph_id(self) -> str:
        """Sixteen hexadecimal digits, equal for equal topologies whatever their sizes."""
        return topology_hash(self)

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """Op to op; inputs, parameters and constants are values without an op that made them."""
        producer = {value.id: node.id for node in self.nodes for value in node.outputs}
        return tuple(
            Edge(producer[value.id], node.id, value)
            for node in self.nodes
            for value in node.inputs
            if value.id in producer and producer[value.id] != node.id
        )

    @property
    def parameter_count(self) -> int:
        """Number of parameter elements; a tied parameter counts once."""
        return sum(p.count for m in self.modules for p in m.parameters if p.tied_to is None)

    def modules_of(self, *types: str) -> Iterator[ModuleInfo]:
        """Modules whose class name is one of ``types``, in order of the tree."""
        return (module for module in self.modules if module.type in types)

    def module(self, fqn: str) -> ModuleInfo | None:
        """The module at a path, or None."""
        return self._modules_by_fqn.get(fqn)

    @cached_property
    def _modules_by_fqn(self) -> dict[str, ModuleInfo]:
        return {module.fqn: module for module in self.modules}

    def diff(self, other: Graph) -> GraphDiff:
        """Which ops ``other`` has more, less or changed, matched by module call, op name and order.

        Raises UnknownName for anything but a Graph.
        """
        if not isinstance(other, Graph):
            raise UnknownName(
                f"graph.diff({other!r:.60}): found {type(other).__name__}, wanted another Graph, such as "
                "run.graph_at(step) or graphscope.trace(model, ...)."
            )
        return difference(self, other)

    def to_dict(self) -> dict[str, Any]:
        """The columns of ``schema.GraphRecord`` as lists: plain JSON, the inverse of :meth:`from_dict`."""
        return columns_of(self)

    @classmethod
    def from_dict(cls, columns: Mapping[str, Any]) -> Graph:
        """Columns -> Graph. Raises RunFileError where they do not fit together."""
        return cls(**parts_from_columns(columns))

    def to_record(self) -> GraphRecord:
        """What is written into the run file."""
        return GraphRecord(**columns_of(self))

    @classmethod
    def from_record(cls, record: GraphRecord) -> Graph:
        """The inverse of :meth:`to_record`. Raises RunFileError where columns do not fit together."""
        return cls.from_dict({name: getattr(record, name) for name in GraphRecord.__dataclass_fields__})

    def to_dot(self) -> str:
        """DOT text with a cluster for each module call; needs no Graphviz program."""
        return dot_of(self)

    def to_graphviz(self) -> graphviz.Source:
        """The DOT text as a ``graphviz.Source``; drawing it needs the ``dot`` program."""
        import graphviz

        return graphviz.Source(self.to_dot())

    def to_networkx(self) -> networkx.MultiDiGraph:
        """A ``networkx.MultiDiGraph`` with one node an op; needs the networkx package."""
        import networkx

        graph = networkx.MultiDiGraph(graph_id=self.graph_id)
        for node in self.nodes:
            graph.add_node(node.id, op=node.op, fqn=node.fqn, call=node.call, source=node.source)
        for edge in self.edges:
            graph.add_edge(edge.source, edge.target, shape=edge.value.shape, dtype=edge.value.dtype)
        return graph

    def to_svg(self, *, dark: bool = False) -> str:
        """A layered drawing of the collapsed module graph as SVG text; needs no Graphviz program."""
        from graphscope.reports.svg import svg_of

        return svg_of(self, dark=dark)

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        from graphscope.jupyter.display import graph_mimebundle

        return graph_mimebundle(self, **kwargs)

    def __repr__(self) -> str:
        if not self.traced:
            return f"Graph({self.modules[0].type}: module tree, {len(self.modules)} modules, no pass recorded)"
        name = self.modules[0].type if self.modules else "no module"
        partial = f", ended early: {self.partial}" if self.partial else ""
        return f"Graph({name}: {len(self.nodes)} ops in {len(self.modules)} modules{partial}, id {self.graph_id})"


class _Part:
    """A field of Graph, for as long as it was not made: then the instance's own attribute hides this."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, graph: Graph | None, owner: type[Graph]) -> Any:
        if graph is None:
            return ()
        with _making:
            make = graph.__dict__.get("_parts")
            if make is not None:
                graph.__dict__.update(make())
                del graph.__dict__["_parts"]
        return graph.__dict__[self.name]


_making = threading.RLock()
for _name in ("modules", "calls", "nodes", "inputs", "outputs", "autograd"):
    setattr(Graph, _name, _Part(_name))


def module_tree(modules: Sequence[ModuleInfo]) -> Graph:
    """Modules alone, for a model of which no pass was recorded."""
    return Graph(modules=tuple(modules), traced=False)
