"""What the statistics of a CPU tensor cost: the C kernel beside a plain read of the same bytes and torch operations.

Times are process CPU time, in rounds that measure all candidates one after the other; a ratio is the median over the
rounds, so that another program on the machine slows both of its sides. ``torch.sum`` is the plain read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import pytest
import torch

from graphscope.capture import native
from graphscope.capture.probes.batchnorm import channel_moments
from graphscope.capture.summary import measure, measure_all

pytestmark = [
    pytest.mark.skipif(native.library is None, reason=native.missing),
    pytest.mark.slow,
    pytest.mark.timeout(600),
]
SIZES = (10_000, 1_000_000, 10_000_000)
MAX_READ_RATIO = 1.6
"""Of float32 with its histogram, at 10,000,000 numbers, to a plain read."""
MAX_HALF_RATIO = 1.3
"""Of a bfloat16 number to a float32 number."""


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def rounds(works: dict[str, Callable[[], object]], number: int = 15, repeat: int = 1) -> list[dict[str, float]]:
    """Seconds of CPU time of each, once a round."""
    measured = []
    for _ in range(number + 1):
        seconds = {}
        for name, work in works.items():
            started = time.process_time()
            for _ in range(repeat):
                work()
            seconds[name] = (time.process_time() - started) / repeat
        measured.append(seconds)
    return measured[1:]  # the first one warms up


def ratio(measured: list[dict[str, float]], of: str, to: str) -> float:
    return median(seconds[of] / seconds[to] for seconds in measured)


def by_torch(work: Callable[[], object]) -> object:
    """The same where no kernel was built."""
    library, native.library = native.library, None
    try:
        return work()
    finally:
        native.library = library


def test_one_tensor_costs_about_one_read():
    print(
        f"\n{'numbers':>10} {'type':9} {'GB/s':>6} {'plain read':>10} {'ratio':>6} {'no hist.':>8} {'torch path':>10}"
    )
    ratios = {}
    for n in SIZES:
        for dtype in native.CODES:
            x = torch.randn(n).to(dtype)
            same_bytes = x if dtype == torch.float64 else x.view(torch.float32)
            works = {
                "read": same_bytes.sum,
                "kernel": lambda x=x: native.statistics(x, True),
                "moments": lambda x=x: native.statistics(x, False),
            }
            measured = rounds(works, repeat=max(1, 200_000 // n))
            (slow,) = rounds({"torch": lambda x=x: by_torch(lambda: measure(x))}, number=1)
            best = {name: min(seconds[name] for seconds in measured) for name in works}
            gigabytes = n * x.element_size() / 1e9
            ratios[n, dtype] = ratio(measured, "kernel", "read")
            print(
                f"{n:10,} {str(dtype).removeprefix('torch.'):9} {gigabytes / best['kernel']:6.1f} "
                f"{gigabytes / best['read']:10.1f} {ratios[n, dtype]:6.2f} {ratio(measured, 'moments', 'read'):8.2f} "
                f"{slow['torch'] / best['read']:10.0f}"
            )
    assert ratios[10_000_000, torch.float32] <= MAX_READ_RATIO


def test_a_half_float_costs_little_more_than_a_float():
    wide = torch.randn(10_000_000)
    half = wide.bfloat16()
    measured = rounds(
        {"wide": lambda: native.statistics(wide, True), "half": lambda: native.statistics(half, True)}, number=25
    )
    found = ratio(measured, "half", "wide")
    print(f"\nbfloat16: {found:.2f} times a float32 number")
    assert found <= MAX_HALF_RATIO


def test_many_small_tensors():
    tensors = [torch.randn(int(n)) for n in torch.logspace(1, 5, 50)]
    measured = rounds(
        {
            "one call": lambda: measure_all(tensors),
            "one by one": lambda: [measure(x) for x in tensors],
            "torch": lambda: by_torch(lambda: measure_all(tensors)),
        },
        number=7,
    )
    print("\n50 tensors of 10 to 100,000 numbers, microseconds a tensor:")
    for name in measured[0]:
        print(f"  {name:10} {median(seconds[name] for seconds in measured) / len(tensors) * 1e6:8.1f}")
    assert ratio(measured, "one call", "torch") < 0.5


def test_moments_per_channel():
    print()
    for name, layout in (("contiguous", torch.contiguous_format), ("channels last", torch.channels_last)):
        x = torch.randn(64, 64, 24, 24).to(memory_format=layout)
        measured = rounds(
            {"kernel": lambda x=x: channel_moments(x), "torch": lambda x=x: by_torch(lambda: channel_moments(x))}
        )
        milliseconds = {name: min(seconds[name] for seconds in measured) * 1e3 for name in ("kernel", "torch")}
        print(f"64x64x24x24 {name:13} kernel {milliseconds['kernel']:.2f} ms, torch {milliseconds['torch']:.2f} ms")
        assert ratio(measured, "kernel", "torch") < 1
