"""Every statistic against float64 numpy, ordinary and hostile numbers, by the C kernel and by torch operations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphscope.capture import native
from graphscope.capture.summary import FIELDS, collect, measure, measure_all
from graphscope.schema import HISTOGRAM_BINS, HISTOGRAM_ESTIMATE, NOT_MEASURED


@pytest.fixture(autouse=True, params=["native", "torch"])
def path(request, monkeypatch) -> str:
    """Each test once with the kernel and once as where none was built."""
    if request.param == "torch":
        monkeypatch.setattr(native, "library", None)
    elif native.library is None:
        pytest.skip(native.missing)
    return request.param


# Hypothesis runs one test many times with the same fixture: nothing in it is used up.
both_paths = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def statistics(tensor: torch.Tensor) -> dict[str, float]:
    table, _, _ = collect([measure(tensor)])
    return dict(zip(FIELDS, table[0].tolist(), strict=True))


def reference(array: np.ndarray) -> dict[str, float]:
    """What the names mean, in float64 numpy."""
    x = array.astype(np.float64).ravel()
    finite = x[np.isfinite(x)]
    some = finite.size > 0
    return {
        "mean": finite.mean() if some else np.nan,
        "std": finite.std() if some else np.nan,
        "min": finite.min() if some else np.nan,
        "max": finite.max() if some else np.nan,
        "absmax": np.abs(finite).max() if some else np.nan,
        "l2": np.sqrt((finite**2).sum()) if some else np.nan,
        "zeros": float((x == 0).sum()),
        "nan": float(np.isnan(x).sum()),
        "pos_inf": float((x == np.inf).sum()),
        "neg_inf": float((x == -np.inf).sum()),
    }


def reference_histogram(array: np.ndarray) -> np.ndarray:
    counts = np.zeros(HISTOGRAM_BINS, dtype=np.uint32)
    for value in array.astype(np.float64).ravel():
        if value == 0 or not np.isfinite(value):
            continue
        place = int(np.clip(np.frexp(abs(value))[1] - 1, -40, 23)) + 40
        counts[64 + place if value > 0 else 63 - place] += 1
    return counts


floats = hnp.arrays(
    np.float32,
    hnp.array_shapes(max_dims=3, max_side=8),
    elements=st.one_of(
        st.floats(-1e6, 1e6, width=32), st.sampled_from([0.0, -0.0, 1e-45, np.nan, np.inf, -np.inf, 3e38, -3e38])
    ),
)


@given(floats)
@settings(both_paths, max_examples=150)
def test_statistics_equal_numpy_in_float64(array):
    got, want = statistics(torch.from_numpy(array)), reference(array)
    # Sums of numbers that cancel are only as exact as float64 is at their largest; extremes and counts are exact.
    rounding = 1e-14 * array.size * np.nan_to_num(want["absmax"])
    for name in FIELDS:
        slack = rounding if name in ("mean", "std", "l2") else 0.0
        np.testing.assert_allclose(got[name], want[name], rtol=1e-6, atol=slack, err_msg=name)


@given(floats)
@settings(both_paths, max_examples=100)
def test_histogram_counts_each_finite_nonzero_number_in_its_power_of_two(array):
    _, rows, histograms = collect([measure(torch.from_numpy(array))])
    assert rows.tolist() == [0]
    np.testing.assert_array_equal(histograms[0], reference_histogram(array))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_are_measured_as_their_own_numbers(dtype):
    x = torch.randn(50, 7).to(dtype)
    got, want = statistics(x), reference(x.double().numpy())
    for name in FIELDS:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, err_msg=name)


doubles = hnp.arrays(
    np.float64,
    hnp.array_shapes(max_dims=2, max_side=40),
    elements=st.one_of(st.floats(), st.floats(-1, 1), st.sampled_from([0.0, 5e-324, 1e-200, -1e-200, 1e200, -1e200])),
)


@given(doubles)
@settings(both_paths, max_examples=150)
def test_doubles_whose_squares_no_double_holds_have_statistics(array):
    got = statistics(torch.from_numpy(array))
    finite = array[np.isfinite(array)]
    scale = float(np.abs(finite).max(initial=0)) or 1.0
    with np.errstate(all="ignore"):
        want, scaled = reference(array), reference(finite / scale)
    for name in ("min", "max", "absmax", "zeros", "nan", "pos_inf", "neg_inf"):
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)
    for name in ("mean", "std", "l2"):
        with np.errstate(over="ignore"):
            expected = np.float64(scaled[name]) * scale
        np.testing.assert_allclose(got[name], expected, rtol=1e-9, atol=1e-13 * array.size * scale, err_msg=name)


def scaled_normal(n, scale=1.0, mean=0.0):
    return mean + scale * np.random.default_rng(n).standard_normal(n)


LARGE = {
    "ordinary": scaled_normal(100_001),
    "half zeros": np.maximum(scaled_normal(100_001), 0),
    "constant": np.full(100_001, 0.1),
    "zeros": np.zeros(100_001),
    "tiny": scaled_normal(100_001, 1e-25),
    "huge": scaled_normal(100_001, 1e25),
    "large mean": scaled_normal(100_001, 1e-3, 1000.0),
    "an outlier first": np.concatenate([[1e6], scaled_normal(100_000, 1e-3)]),
    "channels": scaled_normal(100_000, 1e-2) + np.repeat(np.arange(200.0) * 10, 500),
    "holes": np.where(np.arange(100_001) % 7 == 0, np.nan, scaled_normal(100_001)),
    "nothing finite": np.full(100_001, np.inf),
}


@pytest.mark.parametrize("array", LARGE.values(), ids=LARGE)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_large_tensors_of_every_kind(array, dtype, path):
    x = torch.from_numpy(array).to(dtype)
    got, want = statistics(x), reference(x.double().numpy())
    for name in FIELDS:
        rtol = 1e-6 if path == "native" else 1e-4  # torch adds up floats in float
        slack = {"mean": 1e-6 * want["std"], "std": 1e-8 * want["absmax"]}.get(name, 0.0)
        np.testing.assert_allclose(got[name], want[name], rtol=rtol, atol=slack, err_msg=name)


def test_large_tensors_have_exact_counts_and_an_announced_histogram_sample():
    x = torch.randn(400, 500)
    x[0, :7] = float("nan")
    x[1, :5] = float("inf")
    x[2, :3] = 0
    row = measure(x)
    got, want = statistics(x), reference(x.numpy())
    for name in FIELDS:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-6, err_msg=name)
    assert row.flags & HISTOGRAM_ESTIMATE
    _, _, histograms = collect([row])
    share = histograms[0] / histograms[0].sum()
    exact = reference_histogram(x.numpy())
    assert 0.5 * np.abs(share - exact / exact.sum()).sum() < 0.03, "total variation distance"


@pytest.mark.parametrize(
    "view",
    [lambda x: x.t(), lambda x: x[::3, 1::2], lambda x: x.unsqueeze(0).permute(2, 0, 1), lambda x: x[:, 0]],
    ids=["transposed", "strided", "permuted", "column"],
)
def test_layout_in_memory_does_not_matter(view):
    x = view(torch.randn(30, 20))
    got, want = statistics(x), reference(x.contiguous().numpy())
    for name in FIELDS:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-6, err_msg=name)


def test_a_view_whose_memory_has_the_other_sign_is_read_as_it_is_seen():
    x = torch.view_as_complex(torch.randn(500, 2)).conj().imag
    assert x.is_neg()
    got, want = statistics(x), reference(x.resolve_neg().numpy())
    for name in FIELDS:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-6, err_msg=name)


def test_memory_that_is_not_aligned_is_read():
    raw = torch.randn(3000).numpy().tobytes()
    x = torch.frombuffer(bytearray(b"!" + raw), dtype=torch.float32, offset=1)
    assert x.data_ptr() % 4
    np.testing.assert_allclose(statistics(x)["std"], np.frombuffer(raw, np.float32).std(), rtol=1e-5)


def test_many_tensors_at_once_have_the_rows_that_each_would_have():
    many = [torch.randn(7, 9), torch.randn(20_000).bfloat16(), torch.arange(3), torch.randn(5, 6).t(), torch.empty(0)]
    (table, with_histogram, histograms), alone = collect(measure_all(many)), collect([measure(x) for x in many])
    np.testing.assert_array_equal(table, alone[0])
    np.testing.assert_array_equal(with_histogram, alone[1])
    np.testing.assert_array_equal(histograms, alone[2])
    assert [row.flags for row in measure_all(many)] == [measure(x).flags for x in many]


def test_an_expanded_view_of_a_terabyte_is_measured_from_what_it_stores():
    small = torch.tensor([1.0, 0.0, -2.0])
    got = statistics(small.expand(10**12, 3))
    assert got["zeros"] == 10**12
    np.testing.assert_allclose([got["mean"], got["std"]], [small.mean(), small.std(correction=0)], rtol=1e-6)
    np.testing.assert_allclose(got["l2"], np.sqrt(5e12), rtol=1e-6)


def freed():
    """A view whose memory sharded training has given back."""
    whole = torch.randn(8)
    view = whole[2:5]
    whole.untyped_storage().resize_(0)
    return view


@pytest.mark.parametrize(
    ("tensor", "why"),
    [
        (torch.arange(3), "int64"),
        (torch.tensor([True]), "bool"),
        (torch.randn(2, dtype=torch.complex64), "complex"),
        (torch.randn(2, 2).to_sparse(), "sparse"),
        (torch.empty(0, 3), "no elements"),
        (torch.empty(3, device="meta"), "meta"),
        (torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8), "quantised"),
        (torch.nested.nested_tensor([torch.randn(2), torch.randn(3)]), "nested"),
        (torch.randn(2).to(torch.float8_e4m3fn), "float8"),
        (freed(), "freed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_measured_says_why_and_is_not_zero(tensor, why):
    row = measure(tensor)
    assert row.flags & NOT_MEASURED
    assert why in row.unmeasured
    table, rows, _ = collect([row])
    assert np.isnan(table[0, :6]).all()
    assert rows.size == 0


def test_inside_vmap_there_is_nothing_to_measure_and_nothing_raises():
    rows = []
    torch.func.vmap(lambda t: rows.append(measure(t)) or t * 2)(torch.randn(3, 2))
    assert "torch.func" in rows[0].unmeasured


def test_inside_grad_there_is_nothing_to_measure_and_nothing_raises():
    rows = []
    torch.func.grad(lambda t: (rows.append(measure(t)), t.sum())[1])(torch.randn(3))
    assert "torch.func" in rows[0].unmeasured


def test_a_fake_tensor_says_that_it_is_one():
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        row = measure(torch.randn(4, 4))
    assert row.flags & NOT_MEASURED
    assert "FakeTensor" in row.unmeasured


def test_a_distributed_tensor_is_not_taken_for_the_part_that_is_here(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.tensor import Shard, distribute_tensor

        row = measure(distribute_tensor(torch.randn(4, 2), init_device_mesh("cpu", (1,)), [Shard(0)]))
    finally:
        torch.distributed.destroy_process_group()
    assert row.flags & NOT_MEASURED
    assert "DTensor" in row.unmeasured
    assert row.shape == (4, 2)


def test_measuring_draws_no_random_number_and_changes_nothing():
    x = torch.randn(100_000, requires_grad=True)
    before, state = x.detach().clone(), torch.get_rng_state()
    measure(x)
    assert torch.equal(x.detach(), before)
    assert torch.equal(torch.get_rng_state(), state)
    assert x._version == 0
