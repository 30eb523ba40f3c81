"""Run -> TensorBoard event files: its scalars, the statistics and histograms of its tensors, its graph.

Only the messages are the tensorboard package's; an event file is the same frames of length, checksum and payload as a
run file (both are TFRecord), so a run of any length is written with the memory of one step.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from graphscope.errors import GraphscopeError
from graphscope.graph import Graph
from graphscope.run import Run, TensorSummary, frame, histogram_edges
from graphscope.schema import ROLES, StepStats

STATISTICS = ("mean", "std", "absmax", "l2", "zero_share")
"""Statistics of tensors that become scalars, as ``role/address/statistic``."""


def export_tensorboard(run: Run, directory: str | os.PathLike[str]) -> Path:
    """Writes one event file, or one in ``rank-N`` for each of several processes -> the directory.

    Raises GraphscopeError where the tensorboard package is not installed or the directory cannot be written.
    """
    target = Path(directory)
    protos = message_classes()
    try:
        ranks = [one.rank for one in run.ranks]
        if len(ranks) > 1:
            for rank in ranks:
                _write(run.rank(rank), target / f"rank-{rank}", protos)
        else:
            _write(run, target, protos)
    except OSError as error:
        raise GraphscopeError(
            f"export --tensorboard {str(target)!r}: the event file cannot be written ({error})."
        ) from None
    return target


def message_classes() -> Any:
    """Message classes of the tensorboard package. Raises GraphscopeError where it is not there."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.graph_pb2 import GraphDef
        from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary
    except ImportError as error:
        raise GraphscopeError(
            f"export --tensorboard: the tensorboard package cannot be imported ({error}). Install it "
            "(pip install tensorboard), or write --jsonl or a .csv file, which need nothing."
        ) from None
    return SimpleNamespace(Event=Event, GraphDef=GraphDef, HistogramProto=HistogramProto, Summary=Summary)


def _write(run: Run, directory: Path, protos: Any) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    began = _began(run)
    # TensorBoard looks for this word in the name; the number tells two exports apart.
    path = directory / f"events.out.tfevents.{int(began):010d}.{socket.gethostname()[:64]}.{os.getpid()}.graphscope"
    seconds = {record.step: record.seconds for record in run.step_records}
    with path.open("wb") as file:
        for step, value in _events(run, protos):
            time = began + seconds.get(step, 0.0)
            file.write(frame(protos.Event(wall_time=time, step=step, **value).SerializeToString()))


def _began(run: Run) -> float:
    """Wall time of the start in seconds; 0 where it is not known."""
    try:
        return datetime.fromisoformat(run.header.created).timestamp() if run.header is not None else 0.0
    except (ValueError, OverflowError, OSError):
        return 0.0


def _events(run: Run, protos: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """(step, what the event holds)."""
    yield 0, {"file_version": "brain.Event:2"}
    if (graph := run.graph) is not None:
        yield 0, {"graph_def": graph_def(graph, protos).SerializeToString()}
    value = protos.Summary.Value
    for name in run.scalar_names():
        for step, number in zip(*(column.tolist() for column in run.scalars(name)), strict=True):
            yield step, {"summary": protos.Summary(value=[value(tag=_text(name), simple_value=_single(number))])}
    for step in run.captured_steps:
        summaries = [one for stats in run.records_at(step) if isinstance(stats, StepStats) for one in _rows(run, stats)]
        yield step, {"summary": protos.Summary(value=list(_values(summaries, protos)))}


def _rows(run: Run, stats: StepStats) -> Iterator[TensorSummary]:
    for row, number in enumerate(stats.address.tolist()):
        if number < len(run.address_table) and stats.role[row] < len(ROLES):
            yield run.summary_of_row(stats, row)


def _values(summaries: Iterable[TensorSummary], protos: Any) -> Iterator[Any]:
    for one in summaries:
        place = one.fqn.replace(".", "/") or "(root)"
        place += f"/call{one.call}" * (one.call > 0) + f"/output{one.output}" * (one.output > 0)
        for name in STATISTICS:
            number = getattr(one, name)
            if not np.isnan(number):
                tag = _text(f"{one.role}/{place}/{name}")
                yield protos.Summary.Value(tag=tag, simple_value=_single(number))
        if (histogram := _histogram(one, protos)) is not None:
            yield protos.Summary.Value(tag=_text(f"{one.role}/{place}"), histo=histogram)


def _histogram(one: TensorSummary, protos: Any) -> Any:
    """Our log2 bins as TensorBoard's buckets; zeros, which we count apart, go into the one that ends at zero."""
    if one.histogram is None or np.isnan(one.mean) or one.zeros is None:
        return None
    counts, limits = one.histogram.astype(np.float64), histogram_edges()[1:]
    counts[len(counts) // 2 - 1] += one.zeros
    filled = np.flatnonzero(counts)
    first, last = (int(filled[0]), int(filled[-1])) if len(filled) else (0, 0)
    part = limits[first : last + 1].copy()
    part[-1] = min(part[-1], max(one.max, np.nextafter(part[-2], np.inf))) if len(part) > 1 else one.max
    finite = one.count - (one.nan or 0) - (one.inf or 0)
    return protos.HistogramProto(
        min=one.min,
        max=one.max,
        num=finite,
        sum=one.mean * finite,
        sum_squares=one.l2**2,
        bucket_limit=part.tolist(),
        bucket=counts[first : last + 1].tolist(),
    )


def graph_def(graph: Graph, protos: Any) -> Any:
    """The ops as nodes named by the path of their module, with what they read."""
    definition = protos.GraphDef()
    names: dict[int, str] = {}
    for node in graph.nodes:
        scope = node.fqn.replace(".", "/") + f"_call{node.call}" * (node.call > 0)
        name = _text(f"{scope}/{node.op}_{node.id}".lstrip("/"))
        made = definition.node.add(name=name, op=_text(node.op))
        for value in node.inputs:
            if value.id in names and names[value.id] != name and names[value.id] not in made.input:
                made.input.append(names[value.id])
            elif value.kind in ("input", "parameter", "buffer") and value.id not in names:
                source = _text(f"{value.kind}s/{value.name.replace('.', '/') or value.id}")
                names[value.id] = source
                definition.node.add(name=source, op=value.kind)
                made.input.append(source)
        names |= {value.id: name for value in node.outputs}
    return definition


def _single(number: float) -> float:
    """The nearest number of 32 bits, which is all that a scalar of an event has; too large is infinite."""
    with np.errstate(over="ignore"):
        return float(np.float32(number))


def _text(text: str) -> str:
    """Valid UTF-8, as messages want it; what is none is written as a question mark."""
    return text.encode("utf-8", "replace").decode("utf-8")
