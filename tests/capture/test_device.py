"""The way of a GPU's tensors: rows stay on the device, one copy a step brings them, training waits for nothing.

Where there is no GPU, memory of the CPU takes the device's place: the same code enqueues, copies and waits. Triton's
interpreter runs the kernel itself on the CPU where Triton is installed.
"""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import graphscope
from graphscope.capture import arrival, device_rows, native, summary
from graphscope.capture.arrival import Arrival, Deferred, sent
from graphscope.capture.summary import FIELDS, collect, deferred, land, measure
from graphscope.schema import NOT_MEASURED, BatchNormStats, StepStats
from tests.capture.models import Cnn
from tests.capture.test_summary import reference, reference_histogram

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")


@pytest.fixture
def as_device(monkeypatch):
    """Memory of the CPU counts as that of a device."""
    monkeypatch.setattr(native, "library", None)
    monkeypatch.setattr(summary, "HERE", ())


def odd_numbers(dtype=torch.float32):
    x = torch.randn(70, 300, generator=torch.Generator().manual_seed(0))
    x[0, :5], x[1, :4], x[2, :3], x[3, :2] = torch.nan, torch.inf, -torch.inf, 0.0
    x[4, 0], x[4, 1] = 1e-42, 3e38
    return x.to(dtype)


def check(row, x):
    want = reference(x.double().numpy())
    for name, value in zip(FIELDS, np.asarray(row.values, float), strict=True):
        np.testing.assert_allclose(value, want[name], rtol=1e-5, atol=1e-7 * want["l2"], err_msg=name)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
def test_rows_stay_on_the_device_until_they_are_fetched(as_device, dtype):
    x = odd_numbers(dtype)
    if dtype == torch.float16:
        x[4, 1] = 6e4
    row = measure(x)
    (part,) = deferred([row, row])
    assert part.shape == (device_rows.WIDTH,)
    land([row, row], [part.numpy()])
    check(row, x)
    _, _, histograms = collect([row])
    exact = reference_histogram(x.double().numpy()) / (x.numel() - 16)
    assert 0.5 * np.abs(histograms[0] / histograms[0].sum() - exact).sum() < 0.06, "total variation of a sample"


def test_one_copy_brings_everything_of_a_step_and_each_gets_its_own():
    made = []
    parts = [Deferred([torch.arange(3.0), torch.tensor(7)], lambda a: made.append(a) or ["first"]), "plain",
             Deferred([torch.ones(2, 2)], lambda a: made.append(a) or ["second"], statistics=False)]  # fmt: skip
    records = sent(parts)
    assert records[0] == "plain"
    assert isinstance(records[1], Arrival) and records[1].statistics
    assert len(records[1]._copies) == 1
    assert made == []
    assert records[1].records() == ["first", "second"]
    assert [[array.tolist() for array in arrays] for arrays in made] == [[[0, 1, 2], [7]], [[1, 1, 1, 1]]]
    assert sent(["plain"]) == ["plain"]


def train(folder, steps=4, around=lambda: None, device="cpu"):
    torch.manual_seed(0)
    model = Cnn().to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=False)
    x, y = torch.randn(5, 1, 8, 8).to(device), torch.randint(3, (5,)).to(device)
    with graphscope.watch(model, optimizer, every=2, run_dir=folder) as session:
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            around()
    return session.run


def same_run(run, want):
    assert run.captured_steps == want.captured_steps
    assert run.steps == want.steps
    for name in ("loss", "grad_norm"):
        got, expected = run.scalars(name), want.scalars(name)
        shared = sorted({*got[0].tolist()} & {*expected[0].tolist()})
        assert set(shared) >= {0, 2}
        for step in shared:
            np.testing.assert_allclose(
                got[1][got[0] == step], expected[1][expected[0] == step], rtol=1e-4, err_msg=name
            )
    for role in ("activation", "gradient", "parameter", "parameter_gradient", "update"):
        assert run.addresses(role) == want.addresses(role)
        for address in run.addresses(role):
            for stat in ("mean", "std", "l2", "zeros"):
                np.testing.assert_allclose(
                    run.series(address, stat, role)[1], want.series(address, stat, role)[1], rtol=1e-3, atol=1e-6
                )
    name = "conv.weight"
    np.testing.assert_allclose(run.series(name, "cosine", "parameter_gradient")[1],
                               want.series(name, "cosine", "parameter_gradient")[1], rtol=1e-3)  # fmt: skip
    layers = [run.layer("bn", 2), want.layer("bn", 2)]
    assert all(isinstance(layer, BatchNormStats) for layer in layers)
    np.testing.assert_allclose(layers[0].batch_mean, layers[1].batch_mean, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(layers[0].running_var, layers[1].running_var, rtol=1e-4)
    assert layers[0].batches_tracked == layers[1].batches_tracked
    assert run.layer("drop", 2).dropped == pytest.approx(want.layer("drop", 2).dropped)


def test_a_run_by_way_of_a_device_is_the_run(tmp_path, monkeypatch):
    want = train(tmp_path / "want")
    monkeypatch.setattr(native, "library", None)
    monkeypatch.setattr(summary, "HERE", ())
    run = train(tmp_path / "run")
    same_run(run, want)
    same_run(graphscope.load(tmp_path / "run"), want)


WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique"}


class Waits(TorchDispatchMode):
    """Ops on this thread that would wait for a GPU."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        name = op.overloadpacket.__name__
        self.seen += [name] if name in WAITS else []
        return op(*args, **(kwargs or {}))


def test_the_training_thread_asks_for_no_value_of_a_device(tmp_path, as_device):
    with Waits() as waits:
        train(tmp_path / "run")
    assert waits.seen == []


def test_rows_are_made_here_and_records_on_the_recorders_thread(tmp_path, as_device, monkeypatch):
    threads = []
    real = arrival.Arrival.records
    monkeypatch.setattr(
        arrival.Arrival, "records", lambda self: threads.append(threading.current_thread().name) or real(self)
    )
    train(tmp_path / "run")
    assert set(threads) == {"graphscope-recorder"}


def test_a_loss_that_arrives_late_still_begins_a_burst(tmp_path, as_device):
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with graphscope.watch(model, optimizer, every=100, budget=1.0, run_dir=tmp_path / "run") as session:
        for step in range(40):
            optimizer.zero_grad()
            model(torch.full((2, 3), torch.nan if step == 10 else 1.0)).sum().backward()
            optimizer.step()
            session.flush()
    assert len(session.run.captured_steps) >= 9
    assert any("is NaN" in note.text for note in session.run.notes)


# The kernel itself, interpreted.


@pytest.fixture
def triton_kernel(monkeypatch):
    pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    from graphscope.capture import device_kernel

    return device_kernel


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("rows", [1, 70])
def test_the_triton_kernel_gives_the_numbers_of_numpy_and_the_whole_histogram(triton_kernel, dtype, rows):
    x = odd_numbers(dtype)[:rows] if rows > 1 else torch.randn(7).to(dtype)
    if dtype == torch.float16 and rows > 1:
        x[4, 1] = 6e4
    (row,) = device_rows.fresh_rows(1, torch.device("cpu"))
    triton_kernel.add(x.contiguous(), row)
    done = summary.Row(tuple(x.shape), str(dtype), x.numel(), x.numel(), row, sums=True)
    land([done], [row.numpy()])
    check(done, x)
    np.testing.assert_array_equal(done.histogram, reference_histogram(x.double().numpy()))


def test_the_triton_kernel_says_nothing_of_what_is_not_finite(triton_kernel):
    (row,) = device_rows.fresh_rows(1, torch.device("cpu"))
    triton_kernel.add(torch.tensor([torch.nan, torch.inf]), row)
    fields = device_rows.fields_of_sums(row[:10].numpy())
    assert np.isnan(fields[:6]).all()
    assert fields[6:].tolist() == [0, 1, 1, 0]


# On a GPU.


@needs_gpu
def test_on_a_gpu_nothing_waits_and_the_run_is_the_same(tmp_path):
    want = train(tmp_path / "warm", device="cuda")  # compiles the kernel, allocates the pinned memory
    torch.cuda.set_sync_debug_mode("error")
    try:
        run = train(tmp_path / "run", device="cuda")
    finally:
        torch.cuda.set_sync_debug_mode("default")
    same_run(run, want)


@needs_gpu
@pytest.mark.parametrize("by", ["triton", "torch"])
def test_on_a_gpu_statistics_are_those_of_numpy(by, monkeypatch):
    if by == "torch":
        monkeypatch.setattr(device_rows, "kernel", lambda: (None, "left out"))
    elif device_rows.kernel()[0] is None:
        pytest.skip(device_rows.kernel()[1])
    x = odd_numbers()
    row = measure(x.cuda())
    land([row], [part.cpu().numpy() for part in deferred([row])])
    check(row, x)


@needs_gpu
def test_inside_a_cuda_graph_nothing_is_measured():
    x = torch.ones(8, device="cuda")
    graph, rows = torch.cuda.CUDAGraph(), []
    with torch.cuda.graph(graph):
        rows.append(measure(x * 2))
    assert rows[0].flags & NOT_MEASURED
    assert "CUDA graph" in rows[0].unmeasured


def test_what_was_deferred_is_statistics_to_a_slow_disk(as_device):
    row = measure(torch.randn(3))
    assert Arrival([Deferred([row.values], lambda a: [StepStats])]).statistics
    assert not Arrival([Deferred([row.values], lambda a: [], statistics=False)]).statistics
