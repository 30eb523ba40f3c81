"""Changes of the graph between captured steps: noticed, recorded when they come again, and no price for known ones."""

from __future__ import annotations

import copy
import gc
import pickle
import sys
import threading
import weakref

import pytest
import torch
from torch import Tensor, nn

from graphscope.capture.fingerprint import Fingerprints, fingerprint, kinds_of
from graphscope.capture.guard import Guard
from graphscope.capture.topologies import AT_ONCE, FIRST_GAP, Topologies
from graphscope.session import watch
from tests.capture.zoo.test_zoo import CASES, loss_of


class Branches(nn.Module):
    """Takes the way, and goes as often round, as it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.drop, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Dropout(0.5), nn.Linear(4, 2)
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.way, self.rounds = "a", 1

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x)) if self.way == "a" else torch.tanh(self.b(x)) * 2
        for _ in range(self.rounds):
            x = x + 1
        x = torch.relu(self.experts[int(self.way == "expert")](x))
        return self.head(self.drop(x))


def train(model, session=None, choose=lambda step: None, steps=12, x=None):
    """Steps of which each may choose another way; returns ids of ``run.graph_at`` of all."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)  # a loss that jumps would have steps captured
    x = torch.ones(3, 4) if x is None else x
    for step in range(steps):
        choose(step)
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
    if session is None:
        return None
    return [graph.graph_id if (graph := session.run.graph_at(step)) else None for step in range(steps)]


CHANGES = {
    "branch": lambda m, on: setattr(m, "way", "b" if on else "a"),
    "loop count": lambda m, on: setattr(m, "rounds", 4 if on else 1),
    "loop not entered": lambda m, on: setattr(m, "rounds", 0 if on else 1),
    "expert": lambda m, on: setattr(m, "way", "expert" if on else "b"),
    "eval mode": lambda m, on: m.train(not on),
    "one layer in eval mode": lambda m, on: m.drop.train(not on),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed_within_the_step_and_recorded_when_it_comes_again(change, tmp_path):
    """Only step 0 is captured. The change holds in steps 3, 5, 6 and 9."""
    model, on = Branches(), {3, 5, 6, 9}
    CHANGES[change](model, False)
    with watch(model, every=1_000, budget=1.0, run_dir=tmp_path / "run") as session:
        ids = train(model, session, lambda step: CHANGES[change](model, step in on))
    run = session.run
    assert run.captured_steps == [0], "a graph is recorded without statistics"
    assert len(run.graphs) == 2
    first, second = run.graphs
    assert ids == [second if step in on else first for step in range(12)], "step 3 has the graph that step 5 showed"
    recorded = [one.step for one in run.passes if one.graph_id == second]
    assert recorded == [5], "once, and at its next occurrence"
    assert run.graphs[first].diff(run.graphs[second])
    # What was recorded is what a capture of that very state gives.
    CHANGES[change](model, True)
    with watch(model, every=1, run_dir=tmp_path / "again") as again:
        train(model, again, steps=1)
    assert again.graph.graph_id == second


def test_alternating_branches_that_are_known_cost_no_recording(tmp_path):
    model = Branches()
    with watch(model, every=1_000, budget=1.0, run_dir=tmp_path / "run") as session:
        ids = train(model, session, lambda step: CHANGES["branch"](model, step % 2), steps=40)
    assert len({*ids[::2]}) == len({*ids[1::2]}) == 1
    assert ids[0] != ids[1]
    captured = {step.step for step in session.run.step_records if step.captured}
    assert sum(one.graph_id is not None and one.step not in captured for one in session.run.passes) <= 2


def test_a_graph_that_never_comes_again_is_said_to_be_unknown(tmp_path):
    model = Branches()
    with watch(model, every=1_000, budget=1.0, run_dir=tmp_path / "run") as session:
        ids = train(model, session, lambda step: CHANGES["loop count"](model, step == 4), steps=8)
    assert [i for i, graph_id in enumerate(ids) if graph_id is None] == [4]
    assert session.graph.graph_id == ids[0]


def test_a_short_batch_and_another_sequence_length_are_no_new_graph(tmp_path):
    model = nn.Sequential(nn.Embedding(7, 4), nn.GRU(4, 4, batch_first=True))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    with watch(model, every=1_000, budget=1.0, run_dir=tmp_path / "run") as session:
        for batch, length in ((4, 5), (4, 5), (1, 5), (4, 9), (3, 2)):
            optimizer.zero_grad()
            model(torch.zeros(batch, length, dtype=torch.long))[0].sum().backward()
            optimizer.step()
    assert {record.topology for record in session.run.step_records} == {0}
    assert len(session.run.graphs) == 1
    assert len(session.run.passes) == 1


def test_an_evaluation_has_a_graph_of_its_own(tmp_path):
    model = Branches()
    with watch(model, every=1_000, budget=1.0, run_dir=tmp_path / "run") as session:
        for _ in range(2):
            train(model, steps=2)
            model.eval()
            with torch.no_grad():
                for _ in range(3):
                    model(torch.ones(2, 4))
            model.train()
    evaluations = [one for one in session.run.passes if not one.grad_enabled]
    assert sum(one.repeats for one in evaluations) == 6
    (told,) = [one for one in evaluations if one.graph_id]
    graph = session.run.graphs[told.graph_id]
    assert [node.grad_fn for node in graph.nodes if node.grad_fn] == []
    assert session.graph.graph_id != told.graph_id, "the graph of the run is the one that is trained"
    assert not session.run.findings


def test_what_a_fingerprint_cannot_see_is_recorded_anew_at_a_captured_step_and_at_doubling_distances(tmp_path):
    class Swaps(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin, self.op = nn.Linear(3, 3), torch.sin

        def forward(self, x):
            return self.op(self.lin(x))

    for every, seen_at in ((30, 30), (100_000, FIRST_GAP + 1)):
        model = Swaps()
        with watch(model, every=every, budget=1.0, run_dir=tmp_path / str(every)) as session:
            steps = FIRST_GAP + 4
            ids = train(
                model, session, lambda step, m=model: setattr(m, "op", torch.cos if step >= 10 else torch.sin), steps,
                torch.ones(2, 3),
            )  # fmt: skip
        assert {record.topology for record in session.run.step_records} == {0}
        assert [step for step in range(1, steps) if ids[step] != ids[step - 1]] == [seen_at]


@pytest.mark.parametrize("name", CASES)
def test_a_model_of_the_zoo_has_one_fingerprint_captured_or_not_and_keeps_no_tap(name, tmp_path):
    torch.manual_seed(0)
    case = CASES[name]
    model = case.make()
    inputs = case.inputs()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.0)
    with watch(model, optimizer, every=lambda step: step in (1, 4), budget=1.0, run_dir=tmp_path / "run") as session:
        for _ in range(6):
            optimizer.zero_grad()
            loss_of(model(*inputs)).backward()
            optimizer.step()
            for module in model.modules():
                assert module is model or "_compiled_call_impl" not in module.__dict__
    assert {record.topology for record in session.run.step_records} == {0}
    assert {one.step for one in session.run.passes if one.graph_id} <= {1, 4}


def counted(model, *args, fine=True):
    """The fingerprint of one forward, taken by hand."""
    prints = Fingerprints(model, Guard(strict=True))
    sight = prints.begin(kinds_of(model, args, {}), fine)
    try:
        output = model(*args)
    finally:
        prints.finish(sight)
    prints.close()
    return fingerprint(sight, output)


def test_fingerprints_see_dtype_and_dimensions_and_no_sizes():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    plain = counted(model, torch.ones(2, 4))
    assert plain == counted(model, torch.ones(5, 4))
    assert plain != counted(model, torch.ones(2, 3, 4))
    assert plain != counted(copy.deepcopy(model).double(), torch.ones(2, 4).double())
    with torch.no_grad():
        assert plain != counted(model, torch.ones(2, 4))
    coarse, fine = counted(model, torch.ones(2, 4), fine=False)
    assert (coarse, fine) == (plain[0], None)


def test_the_roots_own_fingerprint_is_the_same_with_and_without_taps_where_nodes_follow_the_length():
    model = nn.Sequential(nn.LSTM(4, 4))
    tapped, untapped = counted(model, torch.ones(2, 1, 4)), counted(model, torch.ones(7, 1, 4), fine=False)
    assert untapped == (tapped[0], None)
    assert tapped == counted(model, torch.ones(7, 1, 4))


def test_copies_made_while_a_forward_runs_are_untapped_or_run_themselves(tmp_path):
    class Copies(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(2, 2)

        def forward(self, x):
            deep, pickled = copy.deepcopy(self.inner), pickle.loads(pickle.dumps(self.inner))
            attributes = nn.Linear.__new__(nn.Linear)  # as DataParallel and MAML libraries do it
            attributes.__dict__ = self.inner.__dict__.copy()
            attributes._parameters = {"weight": torch.zeros(2, 2), "bias": torch.ones(2)}
            seen.append(("_compiled_call_impl" in deep.__dict__, "_compiled_call_impl" in pickled.__dict__))
            seen.append(attributes(x).tolist())
            return self.inner(x)

    seen = []
    model = Copies()
    with watch(model, every=1_000, budget=1.0, run_dir=tmp_path / "run"):
        train(model, steps=2, x=torch.ones(1, 2))
    assert seen == [(False, False), [[1.0, 1.0]]] * 2


@pytest.mark.parametrize("how", ["wrapped", "in place"])
def test_a_part_that_is_compiled_after_the_watch_began_is_compiled_as_without_it(how, tmp_path):
    import torch._dynamo as dynamo
    from torch._dynamo.testing import CompileCounter

    def run(watched):
        dynamo.reset()
        torch.manual_seed(0)
        counter = CompileCounter()
        model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU()), nn.Linear(4, 1))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        session = watch(model, optimizer, every=1_000, budget=1.0, run_dir=tmp_path / "run") if watched else None
        losses = []
        for step in range(8):
            if step == 3 and how == "wrapped":
                model[1] = torch.compile(model[1], backend=counter)
            elif step == 3:
                model[1].compile(backend=counter)
            optimizer.zero_grad()
            loss = model(torch.ones(2, 4)).sum()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if session is not None:
            session.close()
        return losses, counter.frame_count, counter.op_count

    assert run(False) == run(True)


def test_threads_with_forwards_of_one_root_at_the_same_time(tmp_path):
    model = Branches()
    barrier, failures = threading.Barrier(2), []

    def work(way):
        try:
            for _ in range(20):
                barrier.wait()
                model(torch.ones(2, 4)).sum().backward()
        except Exception as error:
            failures.append(error)
            barrier.abort()

    with watch(model, every=3, run_dir=tmp_path / "run") as session:
        threads = [threading.Thread(target=work, args=(way,)) for way in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert session.failure is None
        assert not any("_compiled_call_impl" in module.__dict__ for module in model.modules() if module is not model)


def test_deep_models_fit_and_the_recursion_limit_is_as_before(tmp_path):
    from tests.capture.zoo.test_limits import deepest_that_runs, nested

    limit = sys.getrecursionlimit()
    model = nested(deepest_that_runs())
    with watch(model, every=1_000, budget=1.0, run_dir=tmp_path / "run"):
        for _ in range(3):
            model(torch.ones(1, 2)).sum().backward()
    assert sys.getrecursionlimit() == limit


def test_taps_keep_no_module_alive():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    prints, gone = Fingerprints(model, Guard(strict=True)), weakref.ref(model[0])
    counted(model, torch.ones(1, 2))
    del model
    gc.collect()
    assert gone() is None
    assert prints.begin((), True).fine is False


def test_a_topology_is_waited_for_and_then_less_and_less():
    known = Topologies()
    a, b = known.number(1, 10), known.number(2, 20)
    assert (known.number(1, 10), known.number(2, 20), a, b) == (0, 1, 0, 1)
    known.recorded(a)
    known.learn(a, "graph a")
    known.saw(b, "key")
    assert not known.wants("another beginning")
    due = [i for i in range(1, 10 * AT_ONCE) if known.wants("key")]
    assert due[:AT_ONCE] == list(range(1, AT_ONCE + 1))
    assert due[AT_ONCE:] == [2 * AT_ONCE, 4 * AT_ONCE, 8 * AT_ONCE]
    known.recorded(b)
    assert not known.wants("key"), "its graph is on the way"
    known.saw(b, "key")
    known.learn(b, "graph b")
    assert not known.wants("key")
    assert known.graphs == {a: "graph a", b: "graph b"}
    assert known.number(2, None) == b, "by the root's call alone"
