"""What was exported is read back by TensorBoard's own reader and compared with the run."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphscope.errors import GraphscopeError
from graphscope.reports.export_tensorboard import export_tensorboard
from graphscope.run import Run, RunWriter, load
from tests.golden import make_golden, small_cnn

GOLDEN = Path(make_golden.__file__).parent


def test_without_the_package_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "tensorboard.compat.proto.event_pb2", raising=False)
    with pytest.raises(GraphscopeError, match=r"the tensorboard package cannot be imported.*pip install tensorboard"):
        export_tensorboard(Run(), tmp_path / "tb")
    assert not (tmp_path / "tb").exists()


@pytest.fixture
def accumulator() -> Any:
    module = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

    def read(directory: Path) -> Any:
        everything = dict.fromkeys(("scalars", "histograms", "tensors", "graph"), 0)
        made = module.EventAccumulator(str(directory), size_guidance=everything)
        made.Reload()
        return made

    return read


def test_tensorboard_reads_scalars_histograms_and_graph(tmp_path: Path, accumulator: Any) -> None:
    run = load(GOLDEN / "small_cnn.gscope")
    read = accumulator(export_tensorboard(run, tmp_path / "tb"))
    for name in run.scalar_names():
        steps, values = run.scalars(name)
        events = read.Scalars(name)
        assert [event.step for event in events] == steps.tolist()
        np.testing.assert_array_equal([event.value for event in events], values.astype(np.float32))
    seconds = [record.seconds for record in run.step_records]
    began = read.Scalars("loss")[0].wall_time - seconds[0]
    assert began == 1767323045.0, "2026-01-02T03:04:05+00:00"
    steps, values = run.series("conv1", "std")
    assert [event.step for event in read.Scalars("activation/conv1/std")] == steps.tolist()
    for event in read.Histograms("activation/conv1"):
        got = event.histogram_value
        want = small_cnn.values("activation", "conv1", event.step)
        finite = np.array([v for v in want if np.isfinite(v)])
        assert got.num == len(finite) == sum(got.bucket) and got.max == max(finite) and got.min == min(finite)
        np.testing.assert_allclose([got.sum, got.sum_squares], [sum(finite), sum(v * v for v in finite)], rtol=1e-9)
        limits = np.array(got.bucket_limit)
        assert (np.diff(limits) > 0).all()
        # As TensorBoard has them: a bucket holds what is above the limit before it, up to its own.
        lows = [-np.inf, *limits[:-1]]
        counts = [((finite > low) & (finite <= high)).sum() for low, high in zip(lows, limits, strict=True)]
        power = [v for v in finite if v and np.log2(abs(v)).is_integer()]  # ours begin at their low limit
        assert np.abs(np.array(counts) - got.bucket).sum() <= 2 * len(power)
    graph = read.Graph()
    assert run.graph is not None and {node.op for node in run.graph.nodes} <= {node.op for node in graph.node}
    names = {node.name for node in graph.node}
    assert all(source in names for node in graph.node for source in node.input)


def test_each_of_several_processes_has_a_directory(tmp_path: Path, accumulator: Any) -> None:
    for rank in (0, 1):
        writer = RunWriter(tmp_path / "run", dataclasses.replace(small_cnn.HEADER, rank=rank, world_size=2))
        writer.append(small_cnn.whole_run()[1 : 20 + rank])
        writer.close()
    export_tensorboard(load(tmp_path / "run"), tmp_path / "tb")
    for rank in (0, 1):
        assert "activation/conv1" in accumulator(tmp_path / "tb" / f"rank-{rank}").Tags()["histograms"]


def test_odd_names_and_numbers_are_written(tmp_path: Path, accumulator: Any) -> None:
    read = accumulator(export_tensorboard(load(GOLDEN / "odd_values.gscope"), tmp_path / "tb"))
    assert np.isnan(read.Scalars("nan")[0].value) and read.Scalars("-inf")[0].value == -np.inf
    large = accumulator(export_tensorboard(load(GOLDEN / "large_counts.gscope"), tmp_path / "large"))
    assert sum(large.Histograms("activation/a")[0].histogram_value.bucket) > 2**32


def test_a_directory_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard.compat.proto.event_pb2")
    (tmp_path / "file").write_text("")
    with pytest.raises(GraphscopeError, match="the event file cannot be written"):
        export_tensorboard(load(GOLDEN / "small_cnn.gscope"), tmp_path / "file" / "tb")
