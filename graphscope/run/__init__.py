"""Runs: written while a model trains, read back without torch, asked the same questions live and later."""

from graphscope.run.addresses import Address
from graphscope.run.codec import UnknownRecord, decode, encode
from graphscope.run.files import load
from graphscope.run.frames import frame, split
from graphscope.run.ranks import RankSeen
from graphscope.run.reader import RunReader
from graphscope.run.run import Run
from graphscope.run.summary import TensorSummary, histogram_edges
from graphscope.run.writer import RunWriter

__all__ = [
    "Address",
    "RankSeen",
    "Run",
    "RunReader",
    "RunWriter",
    "TensorSummary",
    "UnknownRecord",
    "decode",
    "encode",
    "frame",
    "histogram_edges",
    "load",
    "split",
]
