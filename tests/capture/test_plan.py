"""When and what: schedules keep their budget in any loop, selections take what their globs say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphscope.capture.plan import DENSE_STEPS, FLOOR_SECONDS, LOG_SPACED, Schedule, Selection, checked_every
from graphscope.errors import UnknownName


def simulate(schedule: Schedule, steps: int, step_cost: float, capture_cost: float, light_cost: float):
    """A loop with fixed prices -> (captured steps, our share of its own time per step)."""
    captured, shares = [], []
    for step in range(steps):
        capture = schedule.wants(step)
        ours = capture_cost if capture else light_cost if schedule.wants_loss() else 0.0
        captured += [step] if capture else []
        shares.append(ours)
        schedule.account(step, capture, step_cost + ours if step else None, ours)
    return captured, shares


def test_auto_begins_dense_then_thins_out():
    captured, _ = simulate(Schedule("auto", 0.01), 2_000, 0.01, 0.005, 0.00003)
    assert set(range(DENSE_STEPS + 1)) <= set(captured)
    assert set(captured) >= LOG_SPACED
    assert 30 < len(captured) < 100


@given(
    step_cost=st.floats(1e-4, 10),
    capture_share=st.floats(0.001, 5),
    light=st.floats(1e-6, 1e-4),
    budget=st.floats(0.001, 0.2),
)
def test_auto_keeps_its_budget_after_the_first_hundred_steps(step_cost, capture_share, light, budget):
    steps = 1_500
    _, ours = simulate(Schedule("auto", budget), steps, step_cost, capture_share * step_cost, light)
    later = ours[101:]
    allowed = max(budget * step_cost, FLOOR_SECONDS) * len(later)
    one_more = capture_share * step_cost + light
    assert sum(later) <= allowed * 1.05 + one_more


def test_auto_goes_on_capturing_where_the_bookkeeping_of_a_tiny_step_takes_the_budget():
    schedule, captured = Schedule("auto", 0.01), []
    for step in range(5_000):
        capture = schedule.wants(step)
        captured += [step] if capture else []
        schedule.account(step, capture, 0.003 if step else None, 0.004 if capture else 0.00005)
    later = [step for step in captured if step > 100]
    assert len(later) > 10
    assert sum(0.004 for _ in later) <= 0.01 * 0.003 * 5_000, "the captures themselves keep the budget"


def test_the_steady_overhead_leaves_the_first_steps_out():
    schedule = Schedule("auto", 0.01)
    for step in range(60):
        capture = schedule.wants(step)
        ours = 0.5 if capture else 0.001
        schedule.account(step, capture, 1 + ours, ours)
        if step <= DENSE_STEPS:
            assert schedule.steady_overhead is None
    assert schedule.overhead > 0.1
    assert schedule.steady_overhead == pytest.approx(0.001, rel=1e-6)
    counted = Schedule(1)
    counted.account(0, True, 1.5, 0.5)
    assert counted.steady_overhead == counted.overhead == 0.5


def test_numbers_and_functions_decide_for_themselves():
    assert simulate(Schedule(7), 22, 1, 1, 0)[0] == [0, 7, 14, 21]
    assert simulate(Schedule(lambda step: step in (3, 5)), 9, 1, 1, 0)[0] == [3, 5]


def test_capture_next_is_served_once_whatever_the_schedule_says():
    schedule = Schedule(100)
    schedule.account(0, True, None, 0.0)
    schedule.capture_next(2)
    assert simulate(schedule, 5, 1, 0.1, 0)[0] == [0, 1]


@pytest.mark.parametrize("every", [0, -1, 1.5, "often", True, None])
def test_other_schedules_are_refused_with_words(every):
    with pytest.raises(UnknownName, match='wanted "auto"'):
        checked_every(every)


def test_selection_takes_globs():
    chosen = Selection.of(["layer1.*", "fc"], "layer1.*.bn*", None)
    assert [n for n in ("layer1.0.conv1", "layer1.0.bn1", "layer2.0", "fc") if chosen.wants(n)] == [
        "layer1.0.conv1", "fc",
    ]  # fmt: skip


def test_an_unknown_role_is_named_with_its_neighbour():
    with pytest.raises(UnknownName, match='Did you mean "gradient"'):
        Selection.of(None, None, ["gradients"])
