"""The C kernel itself: how it is built and left out, both of its variants, and what a channel has."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import graphscope
from graphscope.capture import native
from graphscope.capture.probes.batchnorm import channel_moments

ROOT = Path(__file__).parents[2]
needs_kernel = pytest.mark.skipif(native.library is None, reason=native.missing)


@pytest.fixture
def build_kernel():
    specification = importlib.util.spec_from_file_location("build_kernel", ROOT / "build_kernel.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path):
    """A copy of what the build reads."""
    folder = tmp_path / "graphscope" / "capture"
    folder.mkdir(parents=True)
    (folder / "kernel.c").write_bytes((ROOT / "graphscope/capture/kernel.c").read_bytes())
    return tmp_path


def test_the_kernel_that_is_used_is_where_the_build_puts_it(build_kernel):
    assert build_kernel.library_path(ROOT) == native.library_path()


def test_it_compiles_without_a_warning_and_loads(build_kernel, tree, monkeypatch):
    if build_kernel.compiler() is None:
        pytest.skip("no C compiler")
    monkeypatch.setattr(build_kernel, "FLAGS", (*build_kernel.FLAGS, "-Wall", "-Wextra", "-Werror", "-Wno-psabi"))
    monkeypatch.delenv("GRAPHSCOPE_STATISTICS", raising=False)
    library = build_kernel.build(tree)
    assert library == build_kernel.library_path(tree)
    kernel, missing = native.load(library)
    assert kernel is not None, missing
    assert kernel.graphscope_version() == native.VERSION
    assert sorted(path.name for path in library.parent.iterdir()) == sorted(["kernel.c", library.name])


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [("CC", "no-such-compiler", "no-such-compiler"), ("CC", "false", "failed"), ("GRAPHSCOPE_KERNEL", "0", "compiler")],
)
def test_without_a_compiler_the_build_goes_on_and_says_so(
    build_kernel, tree, monkeypatch, capsys, variable, value, why
):
    stale = build_kernel.library_path(tree)
    stale.write_bytes(b"of an older build")
    monkeypatch.setenv(variable, value)
    assert build_kernel.build(tree) is None
    assert not stale.exists()
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("compiles", [True, False])
def test_a_wheel_with_the_kernel_is_for_this_platform_and_one_without_for_all(build_kernel, monkeypatch, compiles):
    library = ROOT / "graphscope/capture/_kernel.any.so"
    monkeypatch.setattr(build_kernel, "build", lambda root: library if compiles else None)
    hook = build_kernel.KernelHook(str(ROOT), {}, None, None, str(ROOT), "wheel")
    data = {"artifacts": [], "pure_python": True}
    hook.initialize("standard", data)
    if compiles:
        tag = data["tag"]
        assert tag.startswith("py3-none-")
        assert "any" not in tag
        assert not data["pure_python"]
        assert data["artifacts"] == [str(library.relative_to(ROOT))]
    else:
        assert data == {"artifacts": [], "pure_python": True}


def test_what_does_not_load_is_left_out_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.delenv("GRAPHSCOPE_STATISTICS", raising=False)
    broken = tmp_path / "_kernel.so"
    assert native.load(broken) == (None, "no C kernel was built for this machine")
    broken.write_bytes(b"no library")
    assert "does not load" in native.load(broken)[1]
    monkeypatch.setattr(native, "VERSION", native.VERSION + 1)
    if native.library_path().is_file():
        kernel, why = native.load(native.library_path())
        assert kernel is None
        assert "install again" in why
    monkeypatch.setenv("GRAPHSCOPE_STATISTICS", "torch")
    assert native.load(broken) == (None, "GRAPHSCOPE_STATISTICS=torch")


@pytest.mark.parametrize("asked", ["torch", ""])
def test_a_run_says_which_code_took_its_statistics(asked, tmp_path):
    code = (
        "import sys, torch, graphscope\n"
        "session = graphscope.watch(torch.nn.Linear(2, 2), run_dir=sys.argv[1])\n"
        "session.close()\n"
        "print(graphscope.load(sys.argv[1]).header.statistics)"
    )
    env = {**os.environ, "GRAPHSCOPE_STATISTICS": asked}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.split() == ["torch" if asked or not native.library_path().is_file() else "native"], done.stderr


def watched_training(tmp_path, name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(288, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with graphscope.watch(model, optimizer, every=1, run_dir=tmp_path / name) as session:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(5, 3, 8, 8)).square().mean().backward()
            optimizer.step()
        run = session.run
    return model.state_dict(), run


@needs_kernel
def test_a_training_is_the_same_to_the_bit_and_its_statistics_agree_with_those_of_torch(tmp_path, monkeypatch):
    weights, with_kernel = watched_training(tmp_path, "native")
    monkeypatch.setattr(native, "library", None)
    weights_too, with_torch = watched_training(tmp_path, "torch")
    assert all(torch.equal(weights[name], weights_too[name]) for name in weights)
    assert (with_kernel.header.statistics, with_torch.header.statistics) == ("native", "torch")
    for role in ("activation", "gradient", "parameter", "parameter_gradient", "update"):
        addresses = with_torch.addresses(role=role)
        assert addresses
        for address in addresses:
            for name in ("mean", "std", "min", "max", "l2", "zeros"):
                got, want = (run.series(address, name, role=role)[1] for run in (with_kernel, with_torch))
                np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-9, err_msg=f"{address} {role} {name}")
    np.testing.assert_allclose(
        with_kernel.layer("1", 2).batch_var, with_torch.layer("1", 2).batch_var, rtol=1e-5, err_msg="per channel"
    )


@pytest.fixture
def both_variants():
    """Restores the variant after a test that chooses one."""
    assert native.library is not None
    yield native.library.graphscope_variant
    native.library.graphscope_variant(1)


@needs_kernel
@pytest.mark.parametrize("dtype", native.CODES, ids=str)
@pytest.mark.parametrize("n", [1, 15, 17, 2047, 2049, 16_385, 65_537])
def test_the_variant_for_old_processors_gives_the_same(both_variants, dtype, n):
    x = torch.randn(n).to(dtype)
    x[n // 2] = 0
    x[: n // 3 : 5] = torch.inf
    answers = []
    for best in (0, 1):
        both_variants(best)
        answers.append(native.statistics(x, True))
    np.testing.assert_allclose(answers[0][0], answers[1][0], rtol=1e-6)
    np.testing.assert_array_equal(answers[0][1], answers[1][1])


@needs_kernel
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_every_half_float_there_is_is_read_as_torch_reads_it(dtype):
    bits = torch.arange(65_536, dtype=torch.int32).to(torch.int16)
    halves = bits.view(dtype)
    wide = halves.double()
    finite = wide[wide.isfinite()]
    assert finite.numel() == 65_536 - int(wide.isnan().sum()) - 2
    for part, exact in zip(halves.split(4096), wide.split(4096), strict=True):
        values, counts = native.statistics(part, True)
        _, want = native.statistics(exact, True)
        np.testing.assert_array_equal(counts, want)
        few = exact[exact.isfinite()]
        if few.numel():
            np.testing.assert_allclose(values[0], float(few.mean()), rtol=1e-12)
            assert (values[2], values[3]) == (float(few.min()), float(few.max()))
        assert values[6:] == [int((exact == v).sum()) if v == v else int(exact.isnan().sum())
                              for v in (0.0, float("nan"), float("inf"), float("-inf"))]  # fmt: skip


@needs_kernel
def test_subnormal_numbers_are_counted_also_while_torch_flushes_them():
    x = torch.tensor([0.0, 1e-40, -1e-40, 1.0])
    half = torch.tensor([6e-8, 1.0], dtype=torch.float16)
    torch.set_flush_denormal(True)
    try:
        values, counts = native.statistics(x, True)
        halves, _ = native.statistics(half, True)
    finally:
        torch.set_flush_denormal(False)
    assert counts is not None
    assert values[6] == 1
    assert (counts[63], counts[64], counts.sum()) == (1, 1, 3)
    assert halves[2] == pytest.approx(6e-8, rel=0.01)


@needs_kernel
def test_a_sampled_histogram_is_near_also_where_channels_differ():
    x = torch.randn(64, 100, 30) * torch.logspace(-3, 3, 100)[None, :, None]
    _, sample = native.statistics(x, True)
    exact = sum(native.statistics(part.contiguous(), True)[1] for part in x.view(-1).split(16_000))
    assert sample is not None
    assert sample.sum() == pytest.approx(x.numel(), abs=64)
    assert 0.5 * np.abs(sample / sample.sum() - exact / exact.sum()).sum() < 0.03, "total variation distance"


@needs_kernel
def test_other_threads_run_while_the_kernel_does():
    x = torch.randn(8_000_000)
    counted, done = 0, threading.Event()

    def measure():
        for _ in range(10):
            native.statistics(x, True)
        done.set()

    thread = threading.Thread(target=measure)
    thread.start()
    while not done.is_set():
        counted += 1
    thread.join()
    assert counted > 1000, "the kernel kept the GIL"


LAYOUTS = {
    "images": lambda: torch.randn(6, 5, 7, 9),
    "channels last": lambda: torch.randn(6, 5, 7, 9).to(memory_format=torch.channels_last),
    "rows": lambda: torch.randn(300, 40),
    "long": lambda: torch.randn(2, 3, 5000),
    "many channels": lambda: torch.randn(3, 5000),
    "half": lambda: torch.randn(6, 5, 40).bfloat16(),
    "one value": lambda: torch.randn(1, 4),
    "a large mean": lambda: 1000 + 1e-3 * torch.randn(8, 4, 600),
    "strided": lambda: torch.randn(6, 5, 14)[:, :, ::2],
    "double": lambda: torch.randn(6, 5, 14).double(),
    "not a number": lambda: torch.randn(6, 2, 40).index_fill_(1, torch.tensor([1]), torch.nan),
    "infinite": lambda: torch.randn(6, 2, 40).index_fill_(1, torch.tensor([1]), torch.inf),
    "other sign": lambda: torch.view_as_complex(torch.randn(4, 3, 2)).conj().imag,
}


@needs_kernel
@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)
def test_channels_have_the_moments_of_numpy(make):
    x = make()
    mean, variance, count = channel_moments(x)
    channels = np.moveaxis(x.double().resolve_neg().numpy(), 1, 0).reshape(x.shape[1], -1)
    assert count == channels.shape[1]
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(mean, channels.mean(axis=1), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(variance, channels.var(axis=1), rtol=1e-6)


def test_pointers_live_for_as_long_as_the_kernel_reads_them(monkeypatch):
    made, plain = [], native._pointers

    def pointers(tensors):
        array = plain(tensors)
        made.append(weakref.ref(array))
        return array

    class Kernel:
        def __getattr__(self, name):
            return lambda *arguments: seen.append((name, [ref() is not None for ref in made]))

    seen = []
    monkeypatch.setattr(native, "_pointers", pointers)
    monkeypatch.setattr(native, "library", Kernel())
    x = torch.randn(100)
    for call in (
        lambda: native.samples([x, x], 4),
        lambda: native.changes([x], [x], 4),
        lambda: native.cosines([x], [x], 4),
        lambda: native.statistics_of_many([x], False),
    ):
        made.clear()
        call()
    assert len(seen) == 4 and all(all(alive) for _, alive in seen), seen
