"""Graph: what one pass of a model did, without torch."""

from graphscope.graph.graph import Graph, module_tree
from graphscope.graph.nodes import Edge, ModuleCall, ModuleInfo, OpNode, ParameterInfo, Value
from graphscope.graph.topology import GraphDiff

__all__ = ["Edge", "Graph", "GraphDiff", "ModuleCall", "ModuleInfo", "OpNode", "ParameterInfo", "Value", "module_tree"]
