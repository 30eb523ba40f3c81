"""Records of layers and ops that were let go of memory are read again, equal to the bit; only places stay."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from graphscope.errors import RunFileError
from graphscope.run import Run, RunWriter, load
from graphscope.run.filed import FiledRecords, StepIndex
from graphscope.schema import BatchNormStats, DropoutStats, OpGradients, RunRecord
from tests.golden import small_cnn
from tests.run.random_records import same

LAYERS = [r for r in small_cnn.whole_run() if isinstance(r, BatchNormStats | DropoutStats | OpGradients)]


def recorded(run_dir: Path, max_bytes: int, steps: int = 40) -> Run:
    """A live run of so many steps, as the recorder feeds it."""
    run, writer = Run(max_bytes=max_bytes), RunWriter(run_dir, small_cnn.HEADER)
    run.add(small_cnn.HEADER)
    for n in range(steps):
        kinds: dict[type, RunRecord] = {type(r): dataclasses.replace(r, step=n) for r in LAYERS}
        writer.append(list(kinds.values()))
        assert writer.places is not None
        for record, place in zip(kinds.values(), writer.places, strict=True):
            run.add(record, place)
    writer.close()
    return run


def test_a_live_run_keeps_the_newest_records_of_layers_and_reads_the_others(tmp_path: Path) -> None:
    assert {type(r) for r in LAYERS} == {BatchNormStats, DropoutStats, OpGradients}
    bounded, whole = recorded(tmp_path / "a", 8 * 8_000), recorded(tmp_path / "b", 1 << 30)
    assert 1 <= len(bounded._filed._held) < 12 and len(whole._filed._held) == 120
    for fqn, call in whole.layers:
        assert same(bounded.layer_series(fqn, call), whole.layer_series(fqn, call))
        assert [one.step for one in bounded.layer_series(fqn, call)] == list(range(40))
        for step in (0, 17, 39, None):
            assert same(bounded.layer((fqn, call, 0), step), whole.layer((fqn, call, 0), step))
    for step in (0, 39, None):
        np.testing.assert_array_equal(bounded.op_gradients(step), whole.op_gradients(step))
    for step in (0, 39):
        assert same(bounded.records_at(step), whole.records_at(step)) and len(bounded.records_at(step)) == 3
    assert all(same(a, b) for a, b in zip(bounded.records(), whole.records(), strict=True))


def test_a_loaded_run_answers_the_same(tmp_path: Path) -> None:
    live, run = recorded(tmp_path, 1 << 30), load(tmp_path)
    for fqn, call in live.layers:
        assert same(run.layer_series(fqn, call), live.layer_series(fqn, call))
    np.testing.assert_array_equal(run.op_gradients(3), live.op_gradients(3))


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    run = recorded(tmp_path, 8)
    next(tmp_path.glob("*.gscope")).unlink()
    for place in [run._filed._files[0]]:
        place.close()
    fqn, call = run.layers[0]
    with pytest.raises(RunFileError, match="cannot be read any more"):
        run.layer((fqn, call, 0), 0)


def test_what_lies_in_no_file_stays() -> None:
    filed = FiledRecords(1)
    numbers = [filed.add(record, None) for record in LAYERS]
    assert all(filed[number] is record for number, record in zip(numbers, LAYERS, strict=True))


def test_steps_rise_in_whatever_order_they_come() -> None:
    index = StepIndex()
    for number, step in enumerate((5, 1, 3, 5, 2**62, -4)):
        index.put(step, number + 2**40, number)
    assert list(index.steps) == [-4, 1, 3, 5, 2**62]
    assert list(index.numbers) == [5, 1, 2, 3, 4], "the second record of step 5 took the place of the first"
    assert index.find(3) == 2 and index.find(4) is None and index.find(2**63 - 1) is None
