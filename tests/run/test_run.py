"""Queries against the numbers that went in, live and from files, and what they say when asked for what is not there."""

from __future__ import annotations

import dataclasses
import math
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graphscope.errors import NoSuchStep, RunFileError, UnknownAddress, UnknownName
from graphscope.run import Address, Run, RunWriter, decode, histogram_edges, load, split
from graphscope.schema import (
    ROLES,
    STATISTICS,
    AddressTable,
    BatchNormStats,
    DropoutStats,
    Note,
    PassRecord,
    RunEnd,
    RunHeader,
    RunRecord,
    ScalarRecord,
    StepRecord,
    StepStats,
)
from tests.golden import small_cnn
from tests.run.random_records import same

HEADER = RunHeader(run_id="r", name="Test-1", model="Test", created="2026-01-01")


def stats_of(
    step: int, tensors: dict[int, np.ndarray[Any, Any]], role: str = "activation", pass_index: int = 0
) -> StepStats:
    """Address number -> tensor, as the statistics float64 numpy gives."""
    with np.errstate(all="ignore"):
        finite = [t[np.isfinite(t)].astype(np.float64) for t in tensors.values()]
    n = len(tensors)

    def each(f: Any) -> list[float]:
        return [float(f(t)) if t.size else math.nan for t in finite]

    return StepStats(
        step=step, pass_index=pass_index, address=list(tensors), role=[ROLES.index(role)] * n, flags=[0] * n,
        dtype=[0] * n, dtypes=("float64",), ndim=[t.ndim for t in tensors.values()],
        sizes=[s for t in tensors.values() for s in t.shape], count=[t.size for t in tensors.values()],
        mean=each(np.mean), std=each(np.std), min=each(np.min), max=each(np.max), absmax=each(lambda t: abs(t).max()),
        l2=each(np.linalg.norm), zeros=[int((t == 0).sum()) for t in tensors.values()],
        nan=[int(np.isnan(t).sum()) for t in tensors.values()],
        pos_inf=[int(np.isposinf(t).sum()) for t in tensors.values()],
        neg_inf=[int(np.isneginf(t).sum()) for t in tensors.values()],
        histogram_row=[0], histogram=np.full((1, 128), step, np.uint32),
    )  # fmt: skip


def table(*names: str, start: int = 0) -> AddressTable:
    return AddressTable(start=start, fqn=names, call=[0] * len(names), output=[0] * len(names))


def step(n: int, captured: bool = True, **scalars: float) -> StepRecord:
    return StepRecord(
        step=n, captured=captured, passes=1, seconds=float(n), step_seconds=1.0, self_seconds=0.25, scalars=scalars
    )


def run_of(*records: RunRecord) -> Run:
    run = Run()
    for record in records:
        run.add(record)
    return run


@pytest.fixture
def run() -> Run:
    return run_of(*small_cnn.whole_run())


def test_every_statistic_of_a_series_equals_numpy_in_float64() -> None:
    rng = np.random.default_rng(0)
    tensors = [rng.normal(size=(3, 50)) for _ in range(6)]
    for i, tensor in enumerate(tensors):
        tensor[0, : i + 1] = 0
    tensors[2][1, 1], tensors[2][1, 2], tensors[2][1, 3] = np.nan, np.inf, -np.inf
    run = run_of(HEADER, table("x"), *(stats_of(10 * i, {0: t}) for i, t in enumerate(tensors)))

    def finite(t: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return t[np.isfinite(t)]

    want = {
        "mean": [finite(t).mean() for t in tensors], "std": [finite(t).std() for t in tensors],
        "min": [finite(t).min() for t in tensors], "max": [finite(t).max() for t in tensors],
        "absmax": [abs(finite(t)).max() for t in tensors], "l2": [np.sqrt((finite(t) ** 2).sum()) for t in tensors],
        "zeros": [1, 2, 3, 4, 5, 6], "nan": [0, 0, 1, 0, 0, 0], "inf": [0, 0, 2, 0, 0, 0],
        "zero_share": [n / 150 for n in range(1, 7)],
    }  # fmt: skip
    assert set(want) == set(STATISTICS)
    for name, values in want.items():
        steps, got = run.series("x", name)
        assert steps.tolist() == [0, 10, 20, 30, 40, 50]
        np.testing.assert_allclose(got, values, rtol=1e-12, err_msg=name)
    summary = run.summary("x", step=20)
    assert (summary.shape, summary.dtype, summary.inf, summary.nan) == ((3, 50), "float64", 2, 1)
    assert summary.rms == pytest.approx(np.sqrt((finite(tensors[2]) ** 2).mean()))


def test_an_empty_tensor_has_no_moments_and_no_zero_share() -> None:
    run = run_of(HEADER, table("x"), stats_of(0, {0: np.zeros((0, 3))}))
    summary = run.summary("x")
    assert summary.count == 0 and summary.zeros == 0 and summary.shape == (0, 3)
    assert math.isnan(summary.mean) and math.isnan(summary.zero_share) and math.isnan(summary.rms)
    assert math.isnan(run.series("x", "zero_share")[1][0])


def test_a_series_is_extended_as_steps_come_and_gaps_are_nan() -> None:
    run = run_of(HEADER, table("a", "b"))
    one, two = np.ones(3), np.full(3, 2.0)
    run.add(stats_of(0, {0: one}))
    assert same(run.series("a", "mean"), (np.array([0]), np.array([1.0])))
    run.add(stats_of(2, {1: two}))
    run.add(stats_of(5, {1: two, 0: two}))
    steps, values = run.series("a", "mean")
    assert steps.tolist() == [0, 2, 5]
    np.testing.assert_array_equal(values, [1, np.nan, 2])
    np.testing.assert_array_equal(run.series("b", "mean")[1], [np.nan, 2, 2])
    values[:] = 7  # what is handed out is the caller's own
    np.testing.assert_array_equal(run.series("a", "mean")[1], [1, np.nan, 2])


def test_a_step_with_several_passes_shows_the_last_that_measured_the_tensor() -> None:
    run = run_of(HEADER, table("a", "b"))
    run.add(stats_of(0, {0: np.ones(2), 1: np.ones(2)}))
    run.add(stats_of(0, {0: np.full(2, 3.0)}, pass_index=1))
    for name, want in (("a", 3.0), ("b", 1.0)):
        assert run.series(name, "mean")[1].tolist() == [want]
        assert run.summary(name, step=0).mean == want
    assert len(run.records_at(0)) == 2


def test_steps_that_come_out_of_order_are_put_in_order() -> None:
    run = run_of(HEADER, table("a"), *(stats_of(n, {0: np.full(2, float(n))}) for n in (4, 6, 5, 4)))
    assert [column.tolist() for column in run.series("a", "mean")] == [[4, 5, 6], [4.0, 5.0, 6.0]]
    assert run.captured_steps == [4, 5, 6]


def test_calls_and_outputs_have_addresses_of_their_own() -> None:
    run = run_of(
        HEADER, AddressTable(start=0, fqn=["e", "e", "e"], call=[0, 1, 1], output=[0, 0, 2]),
        stats_of(0, {0: np.ones(2), 1: np.full(2, 2.0), 2: np.full(2, 3.0)}),
    )  # fmt: skip
    assert run.addresses() == ["e", ("e", 1, 0), ("e", 1, 2)]
    assert run.series(("e", 1), "mean")[1].tolist() == [2.0] and run.series(("e", 1, 2), "mean")[1].tolist() == [3.0]
    assert run.series(Address("e"), "mean")[1].tolist() == [1.0]


def test_records_come_out_as_they_went_in(run: Run) -> None:
    went_in, came_out = small_cnn.whole_run(), list(run.records())
    assert [type(r) for r in came_out] == [type(r) for r in went_in]
    again = run_of(*(decode(split(frame).payloads[0][1]) for frame in run.frames()))  # type: ignore[arg-type]
    assert all(
        same(a, b) for a, b in zip(again.records(), run_of(*came_out).records(), strict=True) if a.kind != "graph"
    )
    assert run.records_at(4)[0].step == 4 and run.records_at(3) == []


def test_written_and_read_back_it_answers_the_same(run: Run, tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, small_cnn.HEADER)
    writer.append(small_cnn.whole_run()[1:-1])
    writer.close()
    read = load(tmp_path)
    for role in ROLES:
        assert read.addresses(role) == run.addresses(role)
        for address in run.addresses(role):
            for name in STATISTICS:
                assert same(read.series(address, name, role), run.series(address, name, role))
    assert (
        read.graph == run.graph
        and read.steps == run.steps
        and list(read.step_records)[1:5] == list(run.step_records)[1:5]
    )


def test_the_histogram_is_that_of_the_step_and_has_edges(run: Run) -> None:
    values = small_cnn.values("activation", "conv1", 4)
    counts = run.histogram("conv1", "activation", 4)
    assert counts is not None and counts.sum() == len(values) and run.histogram("fc.bias", "parameter", 4) is None
    by_numpy, _ = np.histogram(values, histogram_edges())
    np.testing.assert_array_equal(counts, by_numpy)


def test_live_memory_is_bounded_by_giving_up_histograms_of_every_second_step() -> None:
    run = Run(max_bytes=20 * 512)
    for record in (HEADER, table("a"), *(stats_of(n, {0: np.ones(2)}) for n in range(100))):
        run.add(record)
    with_histogram = [n for n in run.captured_steps if run.histogram("a", step=n) is not None]
    assert len(with_histogram) <= 20 and with_histogram[-1] == 99 and run.thinned == 100 - len(with_histogram)
    assert all(run.histogram("a", step=n)[0] == n for n in with_histogram)  # type: ignore[index]
    assert len(run.series("a", "mean")[0]) == 100


def test_scalars_join_steps_and_later_words(run: Run) -> None:
    assert run.scalar_names() == ["loss", "lr", "test_accuracy"]
    more = run_of(HEADER, step(0, loss=3.0), step(1), step(2, loss=1.0), ScalarRecord(step=1, scalars={"loss": 2.0}))
    assert [c.tolist() for c in more.scalars("loss")] == [[0, 1, 2], [3.0, 2.0, 1.0]]
    more.add(ScalarRecord(step=2, scalars={"loss": 9.0}))
    assert more.scalars("loss")[1].tolist() == [3.0, 2.0, 9.0]


def test_step_records_are_a_list_that_is_made_on_demand(run: Run) -> None:
    records = run.step_records
    assert len(records) == 6 and records[0].step_seconds is None and records[-1].step == 5
    assert [r.step for r in records[1:3]] == [1, 2] and records[2].scalars == {"loss": 1.75, "lr": 0.125}
    assert list(records)[3] == small_cnn.step_record(3)
    with pytest.raises(IndexError, match="step record 6 of 6"):
        records[6]
    assert run.overhead == pytest.approx(2.0**-10 / (0.125 - 2.0**-10))


def test_a_million_steps_take_less_than_a_hundred_megabytes() -> None:
    from graphscope.run.steps import StepColumns

    columns = StepColumns()
    record = step(0, loss=1.0, lr=0.1)
    for _ in range(20_000):
        columns.add(record)
    arrays = [v for v in vars(columns).values() if hasattr(v, "itemsize")]
    size = sum(a.itemsize * len(a) for a in arrays) + sum(16 * len(s.rows) for s in columns._scalars.values())
    assert size / 20_000 < 100


def test_layers_at_a_step_and_over_all(run: Run) -> None:
    assert isinstance(run.layer("bn1", 2), BatchNormStats) and isinstance(run.layer("drop"), DropoutStats)
    assert [s.step for s in run.layer_series("bn1")] == list(small_cnn.CAPTURED) and run.layer_series("fc") == []
    assert run.layers == [("bn1", 0), ("drop", 0)]


def test_graphs_by_step() -> None:
    first, second = small_cnn.graph(), dataclasses.replace(small_cnn.graph(), partial="ValueError: no")
    records = [first.to_record(), second.to_record()]

    def forward(at: int, graph_id: str | None, grad: bool = True) -> PassRecord:
        return PassRecord(step=at, pass_index=0, graph_id=graph_id, training=True, grad_enabled=grad)

    run = run_of(
        HEADER, *records, forward(0, None), step(0), forward(1, first.graph_id), step(1), forward(2, None), step(2),
        forward(3, second.graph_id), forward(3, first.graph_id, grad=False), step(3), forward(4, None), step(4),
    )  # fmt: skip
    graph_ids = [run.graph_at(n).graph_id for n in range(5)]  # type: ignore[union-attr]
    assert graph_ids == [first.graph_id] * 3 + [second.graph_id] * 2
    # The graph of a pass that raised is that step's; the run's stays the last whole one.
    assert run.graph is not None and run.graph.partial == "" and list(run.graphs) == [r.graph_id for r in records]
    only = run_of(HEADER, records[1], forward(0, second.graph_id), step(0)).graph
    assert only is not None and only.partial == "ValueError: no"
    with pytest.raises(NoSuchStep, match=r"run.graph_at\(9\): this run holds steps 0 to 4"):
        run.graph_at(9)
    assert run_of(HEADER).graph is None and run_of(HEADER).graph_at(3) is None


def test_a_step_that_was_not_recorded_has_the_graph_of_its_fingerprint() -> None:
    first, second = small_cnn.graph(), dataclasses.replace(small_cnn.graph(), partial="ValueError: no")

    def forward(at: int, graph_id: str, topology: int, grad: bool = True) -> PassRecord:
        return PassRecord(
            step=at, pass_index=0, graph_id=graph_id, training=True, grad_enabled=grad, topology=topology
        )  # fmt: skip

    def done(at: int, topology: int | None) -> StepRecord:
        return dataclasses.replace(step(at), topology=topology)

    one, two = first.graph_id, second.graph_id
    run = run_of(
        HEADER, first.to_record(), second.to_record(), forward(0, one, 0), done(0, 0), done(1, 1), done(2, 0),
        forward(3, one, 5, grad=False), forward(3, two, 1), done(3, 1), done(4, 0), done(5, 1), done(6, 2),
        done(7, None), done(8, 5),
    )  # fmt: skip
    ids = [graph.graph_id if (graph := run.graph_at(at)) else None for at in range(9)]
    # Step 1 ran what step 3 showed; step 6 something that was never recorded; of step 7 nothing is known.
    assert ids == [one, two, one, two, one, two, None, two, one]
    # A second file numbers its topologies anew.
    run.begin_file()
    run.add(forward(9, two, 0))
    run.add(done(9, 0))
    run.add(done(10, 0))
    assert [run.graph_at(at).graph_id for at in (4, 9, 10)] == [one, two, two]  # type: ignore[union-attr]


def test_a_graph_whose_columns_do_not_fit_is_counted_and_left_out() -> None:
    broken = dataclasses.replace(small_cnn.graph().to_record(), op_call=np.full(8, 99, np.uint32))
    run = run_of(HEADER, broken)
    assert run.graphs == {} and run.graph is None and run.damaged == 1 and run.graphs == {}


def test_columns_that_do_not_fit_are_refused() -> None:
    good = stats_of(0, {0: np.ones(2)})
    for change, says in (
        ({"mean": [1.0, 2.0]}, r"StepStats\.mean: shape \(2,\); wanted \(1,\)"),
        ({"sizes": [2, 3]}, "2 sizes for 1 dimensions"),
        ({"dtype": [1]}, "number 1 of 1 dtypes"),
        ({"histogram_row": [4]}, "row 4 of 1"),
        ({"histogram": np.zeros((1, 64), np.uint32)}, r"shape \(1, 64\) for 1 rows"),
        ({"count": [1.5]}, r"StepStats\.count: wanted whole numbers"),
    ):
        with pytest.raises(RunFileError, match=says):
            Run().add(dataclasses.replace(good, **change))


def test_errors_say_what_was_asked_what_there_is_and_what_was_meant(run: Run) -> None:
    with pytest.raises(UnknownName) as error:
        run.series("conv1", "avg")
    assert str(error.value).startswith("run.series('conv1', 'avg', 'activation'): no statistic is called 'avg'")
    assert "Recorded: mean, std, min, max, absmax, l2, zeros, nan, inf, zero_share." in str(error.value)
    with pytest.raises(UnknownName, match=r'no role is called .grad.*Did you mean "gradient"\?'):
        run.series("conv1", "mean", "grad")
    with pytest.raises(UnknownAddress, match=r'nothing is recorded of conv2.*Did you mean "conv1"\?'):
        run.series("conv2", "mean")
    with pytest.raises(
        UnknownAddress, match=r"conv1.weight has no activation. Recorded of it: parameter, parameter_grad"
    ):
        run.series("conv1.weight", "mean")
    with pytest.raises(UnknownAddress, match="is no address; wanted a module path"):
        run.series(("conv1", "mean", "x", 1), "mean")  # type: ignore[arg-type]
    with pytest.raises(NoSuchStep, match=r"measured at 0, 1, 2, 4, 5; nearest: (2|4)"):
        run.summary("conv1", step=3)
    with pytest.raises(NoSuchStep, match=r"run.histogram|run.summary"):
        run.histogram("conv1", "gradient", small_cnn.WITHOUT_GRADIENT)
    with pytest.raises(
        UnknownName, match=r'run.scalars\(.los.\).*Recorded: loss, lr, test_accuracy. Did you mean "loss"\?'
    ):
        run.scalars("los")
    with pytest.raises(UnknownAddress, match=r'no layer of that path recorded itself.*bn1, drop.*Did you mean "bn1"'):
        run.layer("bn2")
    with pytest.raises(NoSuchStep, match="nearest"):
        run.layer("bn1", 3)
    with pytest.raises(UnknownName, match="run.addresses"):
        run.addresses("grad")


def test_long_names_do_not_flood_an_error() -> None:
    run = run_of(HEADER, table(*(f"m{i}" * 500 for i in range(50))), stats_of(0, {i: np.ones(1) for i in range(50)}))
    with pytest.raises(UnknownAddress) as error:
        run.series("x" * 10_000, "mean")
    assert "and 45 more" in str(error.value) and len(str(error.value)) < 21_000


def test_reading_one_address_over_a_thousand_steps_of_200_tensors_takes_less_than_ten_milliseconds() -> None:
    run = run_of(HEADER, table(*(f"layer{i}" for i in range(200))))
    tensors = {i: np.full(2, float(i)) for i in range(200)}
    one = stats_of(0, tensors)
    for n in range(1000):
        run.add(dataclasses.replace(one, step=n))
    times = []
    for i in range(20):
        begun = time.perf_counter()
        _, values = run.series(f"layer{i}", "absmax")
        times.append(time.perf_counter() - begun)
        assert len(values) == 1000 and values[-1] == i
    assert min(times) < 0.010, "the least of many: the machine may be busy"


def test_queries_are_safe_while_another_thread_adds() -> None:
    run = run_of(HEADER, table("a", "b"))
    failures: list[BaseException] = []
    done = threading.Event()

    def add() -> None:
        try:
            for n in range(400):
                run.add(stats_of(n, {0: np.full(2, float(n)), 1: np.ones(2)}))
                run.add(step(n, loss=float(n)))
        except BaseException as error:
            failures.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=add)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        thread.start()
        while not done.is_set():
            if not run.steps or not run.captured_steps or len(run.step_records) < 2:
                continue
            steps, values = run.series("a", "mean")
            assert (steps == values).all()
            steps, values = run.scalars("loss")
            assert (steps == values).all()
            assert run.summary("b").mean == 1.0
            assert run.step_records[-1].scalars["loss"] == run.step_records[-1].step or not done.is_set()
            assert sum(1 for _ in run.records()) >= 3
    finally:
        sys.setswitchinterval(interval)
        thread.join()
    assert not failures and len(run.series("a", "mean")[0]) == 400


def test_a_data_frame_has_one_row_a_tensor_and_step(run: Run) -> None:
    frame = run.to_dataframe()
    assert len(frame) == sum(len(small_cnn.rows_at(n)) for n in small_cnn.CAPTURED)
    conv = frame[(frame.fqn == "conv1") & (frame.role == "activation")]
    np.testing.assert_array_equal(conv["mean"], run.series("conv1", "mean")[1])
    assert conv["shape"].iloc[0] == (4, 8, 8, 8) and set(STATISTICS) <= set(frame.columns)
    lost = frame[(frame.fqn == "conv1.bias") & (frame.role == "update")]
    assert lost["l2"].isna().all() and lost["zeros"].isna().all() and not lost["estimate"].any()
    assert Run().to_dataframe().empty


def test_without_pandas_the_data_frame_says_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UnknownName, match="pandas is not installed. Install it"):
        run.to_dataframe()


def test_a_run_describes_itself(run: Run) -> None:
    assert repr(run) == "Run(SmallCnn-1: 6 steps, 5 captured, finished)"
    unfinished = run_of(*small_cnn.whole_run()[:-1])
    assert "unfinished" in repr(unfinished) and not unfinished.finished
    unfinished.add(RunEnd(steps=6, records=1))
    assert unfinished.finished and unfinished.notes == [note for note in unfinished.records() if isinstance(note, Note)]
