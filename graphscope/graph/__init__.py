"""Graph: what one pass of a model did, without torch."""

from graphscope.graph.autograd import AutogradEdge, AutogradGraph, AutogradNode, Boundary
from graphscope.graph.graph import Graph, module_tree
from graphscope.graph.nodes import Edge, ModuleCall, ModuleInfo, OpNode, ParameterInfo, Value
from graphscope.graph.topology import GraphDiff

__all__ = [
    "AutogradEdge",
    "AutogradGraph",
    "AutogradNode",
    "Boundary",
    "Edge",
    "Graph",
    "GraphDiff",
    "ModuleCall",
    "ModuleInfo",
    "OpNode",
    "ParameterInfo",
    "Value",
    "module_tree",
]
