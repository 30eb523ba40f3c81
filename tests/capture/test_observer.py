"""Watching changes nothing: bits, random numbers, hooks, attributes and exceptions are as without it."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import subprocess
import sys
import threading
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules import module as torch_module
from torch.optim import optimizer as torch_optimizer
from torch.overrides import _get_current_function_mode_stack

from graphscope.session import live_sessions, watch
from tests.capture import models

CASES = {
    "mlp": (models.Mlp, lambda: torch.randn(8, 6), 3),
    "cnn": (models.Cnn, lambda: torch.randn(8, 1, 8, 8), 3),
    "residual": (lambda: nn.Sequential(nn.Conv2d(1, 4, 1), models.Residual(), nn.Flatten(), nn.Linear(100, 3)),
                 lambda: torch.randn(8, 1, 5, 5), 3),
    "recurrent": (models.Recurrent, lambda: torch.randint(0, 11, (8, 6)), 2),
    "attention": (lambda: nn.Sequential(models.Attention(), nn.Flatten(), nn.Linear(40, 3)),
                  lambda: torch.randn(8, 5, 8), 3),
    "encoder": (lambda: nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(),
                                      nn.Linear(40, 3)), lambda: torch.randn(8, 5, 8), 3),
}  # fmt: skip


def train(model, inputs, classes, steps=6, accumulate=1, session=None):
    """A plain loop -> losses, state, random state. Seeds are set by the caller."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        for _ in range(accumulate):
            loss = F.cross_entropy(model(inputs), torch.randint(0, classes, (len(inputs),)))
            (loss / accumulate).backward()
            losses.append(loss.item())
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    with torch.no_grad():
        losses.append(model(inputs).sum().item())
    return losses, {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()


def state_of_torch():
    """Everything of torch's that a watch could leave something in."""
    return (
        list(torch_module._global_forward_hooks),
        list(torch_module._global_forward_pre_hooks),
        list(torch_optimizer._global_optimizer_pre_hooks),
        list(torch_optimizer._global_optimizer_post_hooks),
        _get_current_function_mode_stack(),
    )


def attributes(model):
    """Names of everything that hangs in the model's modules, and whatever hooks are on it."""
    names = [(fqn, sorted(vars(module))) for fqn, module in model.named_modules()]
    modules = [d for m in model.modules() for d in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks) if d]
    return names, modules, [p for p in model.parameters() if p._backward_hooks or p._post_accumulate_grad_hooks]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_losses_weights_buffers_and_random_numbers_are_equal_to_the_bit(name, accumulate, tmp_path):
    make, inputs, classes = CASES[name]
    results = []
    for watched in (False, True):
        torch.manual_seed(0)
        model, x = make(), inputs()
        before, fresh = state_of_torch(), attributes(model)
        if watched:
            with watch(model, every=1, run_dir=tmp_path / "run") as session:
                results.append(train(model, x, classes, accumulate=accumulate))
            assert session.run.captured_steps == [0, 1, 2, 3, 4, 5]
        else:
            results.append(train(model, x, classes, accumulate=accumulate))
        assert state_of_torch() == before
        assert attributes(model) == fresh
    (losses, state, rng), (watched_losses, watched_state, watched_rng) = results
    assert losses == watched_losses
    assert all(torch.equal(state[key], watched_state[key]) for key in state)
    assert torch.equal(rng, watched_rng)


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_an_exception_passes_through_unchanged_and_leaves_nothing(kind, where, tmp_path):
    class Bomb(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, g):
            raise error

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            x = self.a(x)
            if where == "forward":
                raise error
            return self.b(Bomb.apply(x))

    error = kind("mine")
    model, before = Net(), state_of_torch()
    fresh = attributes(model)
    session = watch(model, every=1, run_dir=tmp_path / "run")
    with pytest.raises(kind) as caught:
        model(torch.randn(2, 3)).sum().backward()
    assert caught.value is error
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert _get_current_function_mode_stack() == []
    session.close()
    assert state_of_torch() == before
    assert attributes(model) == fresh
    assert session.run.finished
    if where == "forward" and kind is RuntimeError:
        graph = session.graph
        assert [n.op for n in graph.nodes] == ["linear"]
        assert graph.partial == "RuntimeError: mine"
        assert session.run.passes[-1].error == "RuntimeError: mine"


def test_a_failing_op_is_shown_and_marked(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(5, 2))
    with watch(model, run_dir=tmp_path / "run") as session, pytest.raises(RuntimeError, match="mat1 and mat2"):
        model(torch.randn(2, 3))
    assert [(n.op, n.fqn, n.failed) for n in session.graph.nodes] == [
        ("linear", "0", False), ("relu", "1", False), ("linear", "2", True),
    ]  # fmt: skip
    assert session.run.passes[-1].error_fqn == "2"


def test_copies_and_pickles_of_a_watched_model_are_unwatched_models(tmp_path):
    model = models.Cnn()
    fresh = attributes(model)
    with watch(model, every=1, run_dir=tmp_path / "run"):
        keys = list(model.state_dict())
        twin = copy.deepcopy(model)
        loaded = pickle.loads(pickle.dumps(model))
        buffer = io.BytesIO()
        torch.save(model, buffer)
        assert b"graphscope" not in pickle.dumps(nn.Sequential(nn.Linear(2, 2), model.conv))
        for other in (twin, loaded):
            assert "_compiled_call_impl" not in other.__dict__
            assert list(other.state_dict()) == keys
            assert torch.equal(other.conv.weight, model.conv.weight)
            assert attributes(other) == fresh


def test_a_pickle_of_a_watched_model_loads_where_graphscope_is_absent(tmp_path):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with watch(model, every=1, run_dir=tmp_path / "run"):
        model(torch.randn(4, 2)).sum().backward()
        torch.save(model, tmp_path / "model.pt")
    code = (
        "import sys; sys.modules['graphscope'] = None\n"
        f"import torch; m = torch.load({str(tmp_path / 'model.pt')!r}, weights_only=False)\n"
        "print(m(torch.zeros(3, 2)).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "torch.Size([3, 2])" in done.stdout


def test_the_model_and_its_activations_die_on_time(tmp_path):
    def living_tensors():
        gc.collect()
        return sum(issubclass(type(thing), torch.Tensor) for thing in gc.get_objects())

    model = models.Cnn()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    session = watch(model, optimizer, every=1, run_dir=tmp_path / "run")
    counts = []
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(4, 1, 8, 8)).sum().backward()
        optimizer.step()
        counts.append(living_tensors())
    assert len(set(counts[1:])) == 1, counts
    reference = weakref.ref(model)
    del model, optimizer
    gc.collect()
    assert reference() is None
    assert session.state == "closed"


def test_a_second_watch_of_a_model_ends_the_first_with_one_line(tmp_path, capsys):
    model = models.Mlp()
    fresh = attributes(model)
    first = watch(model, run_dir=tmp_path / "a")
    second = watch(model, run_dir=tmp_path / "b")
    assert first.state == "closed"
    assert second.state == "live"
    assert capsys.readouterr().out.count("\n") == 1
    second.close()
    assert attributes(model) == fresh
    assert live_sessions()[0] is second


def test_an_error_of_our_own_switches_recording_off_with_one_warning(tmp_path, monkeypatch):
    from graphscope.capture import activations

    def broken(*args, **kwargs):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(activations, "measure", broken)
    model = models.Mlp()
    fresh = attributes(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run", strict=False) as session:
        with pytest.warns(UserWarning, match="GraphScope stopped recording") as caught:
            for _ in range(3):
                optimizer.zero_grad()
                model(torch.randn(4, 6)).sum().backward()
                optimizer.step()
        assert len(caught) == 1
        assert session.state == "off"
        assert "ZeroDivisionError" in session.failure
        assert attributes(model) == fresh
    monkeypatch.undo()
    monkeypatch.setattr(activations, "measure", broken)
    with (
        watch(model, every=1, run_dir=tmp_path / "strict", strict=True),
        pytest.raises(ZeroDivisionError, match="ours"),
    ):
        model(torch.randn(4, 6))
    assert _get_current_function_mode_stack() == []


def test_ops_of_another_thread_are_not_taken_for_the_models(tmp_path):
    stop = threading.Event()

    def busy():
        other = nn.Linear(5, 5)
        while not stop.is_set():
            other(torch.randn(2, 5))

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        model = models.Cnn()
        with watch(model, every=1, run_dir=tmp_path / "run") as session:
            for _ in range(10):
                model(torch.randn(2, 1, 8, 8)).sum().backward()
        assert {len(g.nodes) for g in session.run.graphs.values()} == {9}
    finally:
        stop.set()
        thread.join()


def test_activation_checkpointing_is_neither_counted_twice_nor_a_failure(tmp_path):
    from torch.utils.checkpoint import checkpoint

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.b(checkpoint(lambda t: self.a(t).relu(), x, use_reentrant=False))

    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(2):
            optimizer.zero_grad()
            model(torch.randn(3, 4)).sum().backward()
            optimizer.step()
    assert [p.error for p in session.run.passes] == [None, None]
    assert [n.op for n in session.graph.nodes].count("linear") == 2


def test_a_replica_made_by_dataparallel_runs_itself_and_not_the_original(tmp_path):
    model = nn.Linear(2, 2)
    with watch(model, every=1, run_dir=tmp_path / "run"):
        replica = model._replicate_for_data_parallel()
        replica.weight, replica.bias = torch.zeros(2, 2), torch.ones(2)
        assert replica(torch.randn(3, 2)).tolist() == [[1.0, 1.0]] * 3
